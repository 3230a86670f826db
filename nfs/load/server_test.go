package load_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/nfs"
	"twofold/nfs/client"
	"twofold/nfs/export"
	"twofold/nfs/handle"
	"twofold/nfs/load"
	"twofold/nfs/mount"
	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spoiler answers some calls itself, before the file system sees them.
type spoiler struct {
	rpc.Handler
	server *nfs.Server
	answer atomic.Pointer[answer]
	calls  atomic.Int64
}

// answer returns false if the call is to go on.
type answer func(ctx context.Context, call *rpc.Call, w *xdr.Writer) (bool, error)

func (s *spoiler) with(a answer) { s.answer.Store(&a) }

func (s *spoiler) ServeRPC(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	s.calls.Add(1)
	if a := s.answer.Load(); a != nil && *a != nil {
		if done, err := (*a)(ctx, call, w); done {
			return err
		}
	}
	return s.Handler.ServeRPC(ctx, call, w)
}

// serve runs the NFS front end over the reference file system, and returns its address and what spoils its answers.
func serve(t *testing.T) (string, *spoiler) {
	t.Helper()
	fs := modelfs.New()
	table := export.New(export.Config{})
	if err := table.Set(vfs.ExportTable{Exports: []vfs.Export{
		{Path: "/", Root: vfs.RootRef(), Clients: "127.0.0.1(rw,no_root_squash,insecure)"},
	}}); err != nil {
		t.Fatal(err)
	}
	mnt, err := mount.New(mount.Config{FS: fs, Exports: table, Handle: handle.Encode})
	if err != nil {
		t.Fatal(err)
	}
	sp := &spoiler{Handler: nfs3.New(nfs3.Config{FS: fs, Exports: table})}
	srv, err := nfs.NewServer(nfs.Config{
		Programs: []nfs.Program{
			{Number: nfs.ProgramNFS, Version: nfs.VersionNFS, Handler: sp},
			{Number: nfs.ProgramMount, Version: nfs.VersionMount, Handler: mnt},
		},
		Admit: table.Admits,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sp.server = srv
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		_ = mnt.Close()
		_ = table.Close()
	})
	return l.Addr().String(), sp
}

func config(t *testing.T, addrs ...string) load.Config {
	t.Helper()
	cfg := load.Config{Connections: 2, Width: 8, FileSize: 3<<20 + 4096, Seed: 7, Timeout: 30 * time.Second}
	for _, a := range addrs {
		target, err := load.ParseTarget(a + "/")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Targets = append(cfg.Targets, target)
	}
	return cfg
}

// open opens a Bench and sees at the end of the test that nothing is left.
func open(t *testing.T, cfg load.Config) *load.Bench {
	t.Helper()
	b, err := load.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Clean(context.Background()); err != nil {
			t.Error(err)
		}
		b.Close()
		empty(t, cfg.Targets[0])
	})
	return b
}

// empty sees that a server's root has no entries.
func empty(t *testing.T, at load.Target) {
	t.Helper()
	c, err := client.Dial(context.Background(), net.JoinHostPort(at.Host, portOf(at)))
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	root, err := c.Root(context.Background(), "/")
	if err != nil {
		t.Error(err)
		return
	}
	list, err := c.ReadAll(context.Background(), root, false, 4096)
	if err != nil {
		t.Error(err)
	}
	for _, e := range list {
		if e.Name != "." && e.Name != ".." {
			t.Errorf("%s is left", e.Name)
		}
	}
}
