package mount_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"twofold/nfs"
	"twofold/nfs/client"
	"twofold/nfs/export"
	"twofold/nfs/mount"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// makeHandle is an easily read stand-in for nfs/handle.
func makeHandle(v vfs.Volume, root vfs.Ino, ref vfs.Ref) []byte {
	return fmt.Appendf(nil, "%08d%08d%016d%08d", v.ID, root, ref.Ino, ref.Gen)
}

// brokenFS can be told to give no verdict, or to panic.
type brokenFS struct {
	vfs.FS
	err     error
	panic   bool
	block   bool
	entered chan struct{} // closed when a look-up blocks
}

func (b *brokenFS) Lookup(ctx context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	switch {
	case b.panic:
		panic("planted")
	case b.block:
		close(b.entered)
		<-ctx.Done()
		return vfs.LookupResult{}, ctx.Err()
	case b.err != nil:
		return vfs.LookupResult{}, b.err
	}
	return b.FS.Lookup(ctx, cred, dir, name)
}

// volume makes a model volume with the directories /a and /a/b, which only root
// may enter, and the file /a/f, and returns the directories' inodes.
func volume(t *testing.T) (fs *brokenFS, a, b vfs.Ref) {
	t.Helper()
	fs = &brokenFS{FS: modelfs.New()}
	a = mkdir(t, fs, vfs.RootRef(), "a")
	b = mkdir(t, fs, a, "b")
	create := &vfs.OpCreate{Dir: a, Name: "f", Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o644}}
	if res, err := fs.Mutate(t.Context(), &vfs.Call{}, create); err != nil || res.Kind != vfs.OK {
		t.Fatal(res.Kind, err)
	}
	return fs, a, b
}

func mkdir(t *testing.T, fs vfs.FS, dir vfs.Ref, name string) vfs.Ref {
	t.Helper()
	op := &vfs.OpMkdir{Dir: dir, Name: name, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o700}}
	res, err := fs.Mutate(t.Context(), &vfs.Call{}, op)
	if err != nil || res.Kind != vfs.OK {
		t.Fatal(res.Kind, err)
	}
	return res.Attr.Ref
}

// everyone is the export of the whole volume to this host.
const everyone = "127.0.0.0/8(insecure)"

// start serves MOUNT with the whole volume exported and returns the address.
func start(t *testing.T, fs vfs.FS, clients string) string {
	t.Helper()
	return serve(t, mount.Config{FS: fs}, vfs.Export{Path: "/", Root: vfs.RootRef(), Clients: clients})
}

// serve serves MOUNT with a table of exports, without one if its first export
// has no clients.
func serve(t *testing.T, cfg mount.Config, exports ...vfs.Export) string {
	t.Helper()
	cfg.Exports, cfg.Handle = export.New(export.Config{}), makeHandle
	if exports[0].Clients != "" {
		if err := cfg.Exports.Set(vfs.ExportTable{Exports: exports}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := mount.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := nfs.NewServer(nfs.Config{Programs: []nfs.Program{{Number: nfs.ProgramMount, Version: nfs.VersionMount, Handler: p}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), p.Close(), cfg.Exports.Close()); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestMnt_FindsDirectories(t *testing.T) {
	fs, a, b := volume(t)
	c := dial(t, start(t, fs, everyone))
	v, _ := fs.Volume()
	root := vfs.RootRef()
	for path, ref := range map[string]vfs.Ref{
		"/": root, "": root, "//": root, "/a": a, "/a/": a, "//a//b/": b, "/a/b/..": a, "/..": root, "/a/./b": b,
	} {
		res, err := c.As(client.Sys(1000, 1000)).Mnt(t.Context(), path)
		if err != nil || res.Status != client.MountOK {
			t.Errorf("%q: status %d, %v", path, res.Status, err)
			continue
		}
		if want := makeHandle(v, vfs.RootIno, ref); string(res.FH) != string(want) {
			t.Errorf("%q: handle %q, want %q", path, res.FH, want)
		}
		if !slices.Equal(res.Flavors, []uint32{rpc.AuthSys, rpc.AuthNone}) {
			t.Errorf("%q: flavors %d", path, res.Flavors)
		}
	}
}

// libnfs mounts what stands before the last slash of its URL, which is nothing
// for a file in the root. On the same connection it then asks for the exports
// and mounts each one that lies at or below its path.
func TestMnt_TheWayLibnfsMounts(t *testing.T) {
	fs, a, _ := volume(t)
	v, _ := fs.Volume()
	c := dial(t, start(t, fs, everyone))
	for path, ref := range map[string]vfs.Ref{"": vfs.RootRef(), "/": vfs.RootRef(), "/a": a} {
		if err := c.MountNull(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fh, err := c.Root(t.Context(), path); err != nil || string(fh) != string(makeHandle(v, vfs.RootIno, ref)) {
			t.Errorf("%q: handle %q, %v", path, fh, err)
		}
		list, err := c.Export(t.Context())
		if err != nil || len(list) == 0 {
			t.Fatalf("%q: exports %v, %v", path, list, err)
		}
		for _, e := range list {
			if _, err := c.Root(t.Context(), e.Dir); err != nil {
				t.Errorf("%q: the export %q: %v", path, e.Dir, err)
			}
		}
	}
}

func TestMnt_Refuses(t *testing.T) {
	fs, _, _ := volume(t)
	c := dial(t, start(t, fs, everyone))
	for _, tc := range []struct {
		path string
		want client.MountStatus
	}{
		{"/a/f", client.MountErrNotDir},
		{"/a/f/x", client.MountErrNotDir},
		{"/none", client.MountErrNoEnt},
		{"/none/b", client.MountErrNoEnt},
		{"a", client.MountErrAcces},
		{"/" + strings.Repeat("x", 256), client.MountErrNameTooLong},
	} {
		res, err := c.Mnt(t.Context(), tc.path)
		if err != nil || res.Status != tc.want || res.FH != nil {
			t.Errorf("%.20q: status %d, handle %x, %v; want %d", tc.path, res.Status, res.FH, err, tc.want)
		}
	}
}

func TestMnt_ExportRules(t *testing.T) {
	fs, _, _ := volume(t)
	for _, tc := range []struct {
		name    string
		clients string
		want    client.MountStatus
	}{
		{"no export at all", "", client.MountErrAcces},
		{"for others", "10.0.0.0/8(insecure)", client.MountErrAcces},
		{"secure, from a high port", "127.0.0.1", client.MountErrAcces},
		{"read-only", "127.0.0.1(ro,insecure)", client.MountOK},
	} {
		c := dial(t, start(t, fs, tc.clients))
		if res, err := c.Mnt(t.Context(), "/"); err != nil || res.Status != tc.want {
			t.Errorf("%s: status %d, %v; want %d", tc.name, res.Status, err, tc.want)
		}
	}
}

func TestMnt_StoreWithoutAVerdict(t *testing.T) {
	for name, broken := range map[string]brokenFS{
		"no quorum": {err: vfs.ErrNoQuorum},
		"panic":     {panic: true},
	} {
		fs, _, _ := volume(t)
		broken.FS = fs.FS
		c := dial(t, start(t, &broken, everyone))
		if res, err := c.Mnt(t.Context(), "/a"); err != nil || res.Status != client.MountErrServerFault {
			t.Errorf("%s: status %d, %v", name, res.Status, err)
		}
		if res, err := c.Mnt(t.Context(), "/"); err != nil || res.Status != client.MountOK {
			t.Errorf("%s: afterwards: status %d, %v", name, res.Status, err)
		}
	}
}

func TestMnt_EndsWithItsConnection(t *testing.T) {
	fs, _, _ := volume(t)
	fs.block, fs.entered = true, make(chan struct{})
	c := dial(t, start(t, fs, everyone))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-fs.entered
		cancel()
	}()
	if _, err := c.Mnt(ctx, "/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// The server's Close, in the cleanup, must not wait for the look-up.
}

func TestMount_WrongVersionsAndProcedures(t *testing.T) {
	fs, _, _ := volume(t)
	c := dial(t, start(t, fs, everyone))
	for _, v := range []uint32{1, 2, 4} {
		var m *rpc.MismatchError
		if _, err := c.Call(t.Context(), nfs.ProgramMount, v, 0, nil); !errors.As(err, &m) || m.Low != 3 || m.High != 3 {
			t.Errorf("version %d: %v", v, err)
		}
	}
	if _, err := c.Call(t.Context(), nfs.ProgramMount, 3, 6, nil); !errors.Is(err, rpc.ErrProcUnavail) {
		t.Errorf("procedure 6: %v", err)
	}
	var long xdr.Writer
	long.String("/" + strings.Repeat("x/", 512))
	for name, args := range map[string][]byte{
		"none": nil, "length without a path": {0, 0, 0, 8, 'a'}, "length of 4 GiB": {255, 255, 255, 255}, "1025 bytes": long.B,
	} {
		for _, proc := range []uint32{client.MountProcMnt, client.MountProcUmnt} {
			if _, err := c.Call(t.Context(), nfs.ProgramMount, 3, proc, args); !errors.Is(err, rpc.ErrGarbageArgs) {
				t.Errorf("procedure %d, arguments: %s: %v", proc, name, err)
			}
		}
	}
	if err := c.MountNull(t.Context()); err != nil {
		t.Errorf("NULL: %v", err)
	}
}

func TestMnt_Concurrently(t *testing.T) {
	fs, a, _ := volume(t)
	v, _ := fs.Volume()
	c := dial(t, start(t, fs, everyone))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if fh, err := c.Root(t.Context(), "/a"); err != nil || string(fh) != string(makeHandle(v, vfs.RootIno, a)) {
				t.Errorf("%q, %v", fh, err)
			}
		})
	}
	wg.Wait()
}
