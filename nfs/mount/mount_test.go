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
func makeHandle(v vfs.Volume, ref vfs.Ref) []byte {
	return fmt.Appendf(nil, "%08d%016d%08d", v.ID, ref.Ino, ref.Gen)
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

// start serves MOUNT with the given rules and returns the address.
func start(t *testing.T, fs vfs.FS, rules ...string) string {
	t.Helper()
	var list []export.Rule
	for _, r := range rules {
		f := strings.Fields(r)
		rule, err := export.ParseRule(f[0], f[1:])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rule)
	}
	table, err := export.New(list)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mount.New(mount.Config{FS: fs, Exports: table, Handle: makeHandle})
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
		if err := errors.Join(s.Close(), p.Close()); err != nil {
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
	c := dial(t, start(t, fs, "127.0.0.0/8 insecure"))
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
		if want := makeHandle(v, ref); string(res.FH) != string(want) {
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
	c := dial(t, start(t, fs, "127.0.0.0/8 insecure"))
	for path, ref := range map[string]vfs.Ref{"": vfs.RootRef(), "/": vfs.RootRef(), "/a": a} {
		if err := c.MountNull(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fh, err := c.Root(t.Context(), path); err != nil || string(fh) != string(makeHandle(v, ref)) {
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
	c := dial(t, start(t, fs, "127.0.0.0/8 insecure"))
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
		name  string
		rules []string
		want  client.MountStatus
	}{
		{"no rule at all", nil, client.MountErrAcces},
		{"a rule for others", []string{"10.0.0.0/8 insecure"}, client.MountErrAcces},
		{"secure, from a high port", []string{"127.0.0.1"}, client.MountErrAcces},
		{"read-only", []string{"127.0.0.1 ro insecure"}, client.MountOK},
	} {
		c := dial(t, start(t, fs, tc.rules...))
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
		c := dial(t, start(t, &broken, "127.0.0.1 insecure"))
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
	c := dial(t, start(t, fs, "127.0.0.1 insecure"))
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
	c := dial(t, start(t, fs, "127.0.0.1 insecure"))
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

func TestDump_FollowsMountsAndUnmounts(t *testing.T) {
	fs, _, _ := volume(t)
	addr := start(t, fs, "127.0.0.0/8 insecure")
	one := dial(t, addr)
	two := dial(t, addr, client.WithLocalAddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}))
	for _, c := range []*client.Client{one, two, one} {
		for _, path := range []string{"/a", "/a/b/", "/none"} {
			if _, err := c.Mnt(t.Context(), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(step string, entries ...client.MountEntry) {
		t.Helper()
		if got, err := one.Dump(t.Context()); err != nil || !slices.Equal(got, entries) {
			t.Errorf("%s: %v, %v; want %v", step, got, err, entries)
		}
	}
	want("mounted", client.MountEntry{Host: "127.0.0.1", Dir: "/a"}, client.MountEntry{Host: "127.0.0.1", Dir: "/a/b"},
		client.MountEntry{Host: "127.0.0.2", Dir: "/a"}, client.MountEntry{Host: "127.0.0.2", Dir: "/a/b"})
	for _, path := range []string{"/a/", "/none", ""} {
		if err := one.Umnt(t.Context(), path); err != nil {
			t.Errorf("UMNT %q: %v", path, err)
		}
	}
	want("one unmounted", client.MountEntry{Host: "127.0.0.1", Dir: "/a/b"},
		client.MountEntry{Host: "127.0.0.2", Dir: "/a"}, client.MountEntry{Host: "127.0.0.2", Dir: "/a/b"})
	if err := two.UmntAll(t.Context()); err != nil {
		t.Error(err)
	}
	want("all of one host unmounted", client.MountEntry{Host: "127.0.0.1", Dir: "/a/b"})
}

func TestExport_ListsTheRules(t *testing.T) {
	fs, _, _ := volume(t)
	c := dial(t, start(t, fs, "127.0.0.0/8 insecure", "10.1.2.3 rw", "fd00::/64"))
	got, err := c.Export(t.Context())
	if err != nil || len(got) != 1 || got[0].Dir != "/" || !slices.Equal(got[0].Groups, []string{"fd00::/64", "10.1.2.3/32", "127.0.0.0/8"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := dial(t, start(t, fs)).Export(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("without rules: %v, %v", got, err)
	}
}

func TestMnt_Concurrently(t *testing.T) {
	fs, a, _ := volume(t)
	v, _ := fs.Volume()
	c := dial(t, start(t, fs, "127.0.0.0/8 insecure"))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if fh, err := c.Root(t.Context(), "/a"); err != nil || string(fh) != string(makeHandle(v, a)) {
				t.Errorf("%q, %v", fh, err)
			}
		})
	}
	wg.Wait()
}
