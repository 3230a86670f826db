package mount_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"twofold/nfs/client"
	"twofold/nfs/mount"
	"twofold/replica/vfs"
)

// logBuffer is a log that a test may read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// from dials from another address of this host.
func from(ip byte) client.Option {
	return client.WithLocalAddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, ip)})
}

func rename(t *testing.T, fs vfs.FS, dir vfs.Ref, name, to string) {
	t.Helper()
	op := &vfs.OpRename{FromDir: dir, FromName: name, ToDir: dir, ToName: to}
	if res, err := fs.Mutate(t.Context(), &vfs.Call{}, op); err != nil || res.Kind != vfs.OK {
		t.Fatal(res.Kind, err)
	}
}

func TestMnt_LongestExport(t *testing.T) {
	fs, a, b := volume(t)
	v, _ := fs.Volume()
	addr := serve(t, mount.Config{FS: fs},
		vfs.Export{Path: "/a", Root: a, Clients: "127.0.0.0/8(insecure)"},
		vfs.Export{Path: "/a/b", Root: b, Clients: "127.0.0.2(insecure) 127.0.0.3"})
	sub := mkdir(t, fs, b, "sub")
	for _, tc := range []struct {
		from byte
		path string
		want client.MountStatus
		root vfs.Ino
		ref  vfs.Ref
	}{
		{1, "/a", client.MountOK, a.Ino, a},
		{1, "/a/b", client.MountOK, a.Ino, b}, // the wider export is for this client, as in mountd
		{2, "/a/b", client.MountOK, b.Ino, b},
		{2, "/a/b/sub/", client.MountOK, b.Ino, sub},
		{2, "/a/b/sub/../sub/.", client.MountOK, b.Ino, sub},
		{2, "/a/b/..", client.MountOK, a.Ino, a}, // dots choose the export
		{3, "/a/b", client.MountErrAcces, 0, vfs.Ref{}},
		{1, "/", client.MountErrAcces, 0, vfs.Ref{}},
		{1, "/a/..", client.MountErrAcces, 0, vfs.Ref{}},
		{1, "/other", client.MountErrAcces, 0, vfs.Ref{}},
		{1, "", client.MountErrAcces, 0, vfs.Ref{}},
		{1, "/a/none", client.MountErrNoEnt, 0, vfs.Ref{}},
		{1, "/a/f", client.MountErrNotDir, 0, vfs.Ref{}},
	} {
		res, err := dial(t, addr, from(tc.from)).Mnt(t.Context(), tc.path)
		if err != nil || res.Status != tc.want {
			t.Errorf("%q from %d: status %d, %v, want %d", tc.path, tc.from, res.Status, err, tc.want)
			continue
		}
		if want := makeHandle(v, tc.root, tc.ref); tc.want == client.MountOK && string(res.FH) != string(want) {
			t.Errorf("%q from %d: handle %q, want %q", tc.path, tc.from, res.FH, want)
		}
	}
}

// An export is a directory, not a name: it moves with it, and another directory
// under its name is not exported.
func TestMnt_RenamedExport(t *testing.T) {
	fs, a, b := volume(t)
	v, _ := fs.Volume()
	c := dial(t, serve(t, mount.Config{FS: fs}, vfs.Export{Path: "/a", Root: a, Clients: everyone}))
	rename(t, fs, vfs.RootRef(), "a", "moved")
	mkdir(t, fs, mkdir(t, fs, vfs.RootRef(), "a"), "b")
	for path, ref := range map[string]vfs.Ref{"/a": a, "/a/b": b} {
		if fh, err := c.Root(t.Context(), path); err != nil || string(fh) != string(makeHandle(v, a.Ino, ref)) {
			t.Errorf("%s: handle %q, %v", path, fh, err)
		}
	}
	if res, err := c.Mnt(t.Context(), "/moved"); err != nil || res.Status != client.MountErrAcces {
		t.Errorf("the new name: %d, %v", res.Status, err)
	}
}

func TestMnt_ExportWhoseDirectoryIsGone(t *testing.T) {
	fs, _, _ := volume(t)
	gone := mkdir(t, fs, vfs.RootRef(), "gone")
	if res, err := fs.Mutate(t.Context(), &vfs.Call{}, &vfs.OpRmdir{Dir: vfs.RootRef(), Name: "gone"}); err != nil || res.Kind != vfs.OK {
		t.Fatal(res.Kind, err)
	}
	mkdir(t, fs, vfs.RootRef(), "gone") // another one of that name
	var log logBuffer
	c := dial(t, serve(t, mount.Config{FS: fs, Logger: log.logger()}, vfs.Export{Path: "/gone", Root: gone, Clients: everyone}))
	for _, path := range []string{"/gone", "/gone/x", "/gone"} {
		if res, err := c.Mnt(t.Context(), path); err != nil || res.Status != client.MountErrNoEnt {
			t.Errorf("%s: status %d, %v", path, res.Status, err)
		}
	}
	if got := log.String(); !strings.Contains(got, "make it again and run twofold export set") || !strings.Contains(got, "export=/gone") ||
		strings.Count(got, "make it again") > 2 {
		t.Errorf("log: %s", got)
	}
}

func TestMnt_DoesNotFollowSymlinks(t *testing.T) {
	fs, a, _ := volume(t)
	op := &vfs.OpSymlink{Dir: a, Name: "link", Target: "/"}
	if res, err := fs.Mutate(t.Context(), &vfs.Call{}, op); err != nil || res.Kind != vfs.OK {
		t.Fatal(res.Kind, err)
	}
	c := dial(t, serve(t, mount.Config{FS: fs}, vfs.Export{Path: "/a", Root: a, Clients: everyone}))
	for _, path := range []string{"/a/link", "/a/link/a"} {
		if res, err := c.Mnt(t.Context(), path); err != nil || res.Status != client.MountErrNotDir {
			t.Errorf("%s: status %d, %v", path, res.Status, err)
		}
	}
}
