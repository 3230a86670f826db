package billyfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/util"

	"twofold/replica/billyfs"
	"twofold/replica/vfs"
)

// Run runs every test of the package on the volume behind store.
func Run(t *testing.T, store vfs.FS) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, vfs.FS)
	}{
		{"Conformance", func(t *testing.T, s vfs.FS) {
			Conformance(t, func() billy.Filesystem { return subtree(t, s) }, fewTempFiles)
		}},
		{"Files", testFiles},
		{"Append", testAppend},
		{"Durable", testDurable},
		{"Coherence", testCoherence},
		{"Errors", testErrors},
		{"Links", testLinks},
		{"Attributes", testAttributes},
		{"ReadDir", testReadDir},
		{"Chroot", testChroot},
		{"Permission", testPermission},
		{"Concurrency", testConcurrency},
		{"Lock", testLock},
		{"GoGit", testGoGit},
		{"GoNFS", testGoNFS},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, store) })
	}
}

// subtree makes a new directory that anybody may use, as a file system.
func subtree(t *testing.T, store vfs.FS, opts ...billyfs.Option) billy.Filesystem {
	t.Helper()
	return view(t, store, newDir(t, store), vfs.Root, opts...)
}

// newDir makes a new directory that anybody may use.
func newDir(t *testing.T, store vfs.FS) string {
	t.Helper()
	fs := billyfs.New(store, vfs.Root, billyfs.WithUmask(0))
	dir, err := util.TempDir(fs, "/", "billyfstest")
	if err == nil {
		err = fs.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatalf("make a directory for the test: %v", err)
	}
	return dir
}

// view is dir as cred may use it.
func view(t *testing.T, store vfs.FS, dir string, cred vfs.Cred, opts ...billyfs.Option) billy.Filesystem {
	t.Helper()
	fs, err := billyfs.New(store, cred, opts...).Chroot(dir)
	if err != nil {
		t.Fatalf("Chroot(%q): %v", dir, err)
	}
	return fs
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr reports an error that is not want.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func writeFile(t *testing.T, fs billy.Filesystem, name, data string) {
	t.Helper()
	must(t, util.WriteFile(fs, name, []byte(data), 0o644))
}

func readFile(t *testing.T, fs billy.Filesystem, name string) string {
	t.Helper()
	b, err := util.ReadFile(fs, name)
	must(t, err)
	return string(b)
}

func open(t *testing.T, fs billy.Filesystem, name string, flag int) *billyfs.File {
	t.Helper()
	f, err := fs.OpenFile(name, flag, 0o644)
	must(t, err)
	return f.(*billyfs.File)
}

// testFiles mixes positions, sizes over several buffers, and holes.
func testFiles(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	f := open(t, fs, "big", os.O_RDWR|os.O_CREATE)
	want := make([]byte, 3*vfs.MaxIO+12345)
	for i := range want {
		want[i] = byte(i * 7 / 3)
	}
	for rest := want; len(rest) > 0; { // Odd pieces, so that none fits a buffer.
		n, err := f.Write(rest[:min(len(rest), 70001)])
		must(t, err)
		rest = rest[n:]
	}
	copy(want[100:], "overwritten")
	_, err := f.WriteAt([]byte("overwritten"), 100)
	must(t, err)
	got := make([]byte, len(want)+10)
	n, err := f.ReadAt(got, 0) // Sees what is not sent yet.
	if n != len(want) || err != io.EOF || !bytes.Equal(got[:n], want) {
		t.Fatalf("ReadAt: %d bytes, %v; equal: %v", n, err, bytes.Equal(got[:n], want))
	}
	must(t, f.Close())
	if readFile(t, fs, "big") != string(want) {
		t.Error("read back through another file: differs")
	}

	f = open(t, fs, "hole", os.O_RDWR|os.O_CREATE)
	_, err = f.Seek(1<<32, io.SeekStart)
	must(t, err)
	_, err = f.Write([]byte("x"))
	must(t, err)
	if end, err := f.Seek(0, io.SeekEnd); end != 1<<32+1 || err != nil {
		t.Errorf("Seek to the end: %d, %v", end, err)
	}
	must(t, f.Truncate(3))
	if fi, err := f.Stat(); err != nil || fi.Size() != 3 {
		t.Errorf("Stat after Truncate: %v, %v", fi, err)
	}
	must(t, f.Close())
	if got := readFile(t, fs, "hole"); got != "\x00\x00\x00" {
		t.Errorf("hole reads %q", got)
	}
}

func testAppend(t *testing.T, store vfs.FS) {
	dir := newDir(t, store)
	fs, elsewhere := view(t, store, dir, vfs.Root), view(t, store, dir, vfs.Root)
	writeFile(t, fs, "log", "start,")
	a := open(t, elsewhere, "log", os.O_WRONLY|os.O_APPEND)
	b := open(t, fs, "log", os.O_RDWR|os.O_APPEND)
	for i, f := range []*billyfs.File{a, b, a, b} {
		_, err := fmt.Fprintf(f, "line %d,", i)
		must(t, err)
		must(t, f.Sync())
	}
	want := "start,line 0,line 1,line 2,line 3,"
	if pos, err := b.Seek(0, io.SeekCurrent); pos != int64(len(want)) || err != nil {
		t.Errorf("position after appending: %d, %v", pos, err)
	}
	_, err := b.WriteAt([]byte("x"), 0)
	wantErr(t, "WriteAt on a file opened to append", err, syscall.EINVAL)
	// Bytes that are not sent yet go behind what another file appended since.
	_, err = a.Write([]byte("late,"))
	must(t, err)
	_, err = b.Write([]byte("early,"))
	must(t, err)
	must(t, b.Sync())
	must(t, a.Close())
	must(t, b.Close())
	if got := readFile(t, fs, "log"); got != want+"early,late," {
		t.Errorf("got %q", got)
	}
	big := bytes.Repeat([]byte("0123456789"), vfs.MaxIO/4)
	a = open(t, fs, "log2", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	_, err = a.Write(big)
	must(t, err)
	_, err = a.Write(big)
	must(t, err)
	must(t, a.Close())
	if got := readFile(t, fs, "log2"); got != string(big)+string(big) {
		t.Errorf("large appends: %d bytes, want %d", len(got), 2*len(big))
	}
}

// testCoherence uses one file through two opens: neither Sync nor Close stands
// between a write and whoever looks for it.
func testCoherence(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	a := open(t, fs, "f", os.O_RDWR|os.O_CREATE)
	b := open(t, fs, "f", os.O_RDWR)
	_, err := a.Write([]byte("first"))
	must(t, err)
	got := make([]byte, 5)
	if _, err := b.Read(got); err != nil || string(got) != "first" {
		t.Errorf("Read: %q, %v", got, err)
	}
	_, err = a.Write([]byte(" second"))
	must(t, err)
	if fi, err := fs.Stat("f"); err != nil || fi.Size() != 12 {
		t.Errorf("Stat: %v, %v", fi, err)
	}
	_, err = a.Write([]byte(" third"))
	must(t, err)
	if infos, err := fs.ReadDir("/"); err != nil || len(infos) != 1 || infos[0].Size() != 18 {
		t.Errorf("ReadDir: %v, %v", infos, err)
	}
	_, err = a.WriteAt([]byte("FIRST"), 0)
	must(t, err)
	_, err = b.WriteAt([]byte("B"), 0) // The later write wins.
	must(t, err)
	must(t, b.Close())
	must(t, a.Close())
	if got := readFile(t, fs, "f"); got != "BIRST second third" {
		t.Errorf("got %q", got)
	}
	a = open(t, fs, "f", os.O_RDWR)
	_, err = a.Write([]byte("older"))
	must(t, err)
	writeFile(t, fs, "f", "newer") // Opened with O_TRUNC.
	must(t, a.Close())
	if got := readFile(t, fs, "f"); got != "newer" {
		t.Errorf("after O_TRUNC: %q", got)
	}
}

// testDurable shows that what Sync and Close acknowledge is in the store.
func testDurable(t *testing.T, store vfs.FS) {
	dir := newDir(t, store)
	fs, other := view(t, store, dir, vfs.Root), view(t, store, dir, vfs.Root)
	f := open(t, fs, "f", os.O_RDWR|os.O_CREATE)
	_, err := f.Write([]byte("one"))
	must(t, err)
	must(t, f.Sync())
	if got := readFile(t, other, "f"); got != "one" {
		t.Errorf("after Sync: %q", got)
	}
	_, err = f.Write([]byte(" two"))
	must(t, err)
	must(t, f.Close())
	if got := readFile(t, other, "f"); got != "one two" {
		t.Errorf("after Close: %q", got)
	}
	// A file that is removed while it is open fails at Close at the latest.
	f = open(t, fs, "f", os.O_RDWR)
	_, err = f.Write([]byte("lost"))
	must(t, err)
	must(t, other.Remove("f"))
	if err := f.Close(); err == nil {
		t.Error("Close acknowledged bytes of a file that is gone")
	}
	wantErr(t, "second Close", f.Close(), os.ErrClosed)
}

func testAttributes(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	change := fs.(billy.Change)
	writeFile(t, fs, "f", "12345")
	must(t, fs.Symlink("f", "l"))
	must(t, change.Chmod("l", 0o640|os.ModeSetuid|os.ModeSetgid))
	must(t, change.Chown("l", 12, 34))
	must(t, change.Lchown("l", 56, -1))
	atime, mtime := time.Unix(1000, 1), time.Unix(2000, 2)
	must(t, change.Chtimes("f", atime, mtime))
	must(t, change.Chtimes("f", time.Time{}, mtime.Add(1)))
	fi, err := fs.Stat("l")
	must(t, err)
	st := stat(t, fi)
	// Chown takes setuid away; setgid without group execute stays.
	if fi.Mode() != 0o640|os.ModeSetgid || st.uid != 12 || st.gid != 34 || st.nlink != 1 || st.ino == 0 {
		t.Errorf("mode %v, %+v", fi.Mode(), st)
	}
	if !fi.ModTime().Equal(mtime.Add(1)) || !st.atime.Equal(atime) || fi.Size() != 5 || fi.Name() != "l" {
		t.Errorf("%v, %+v", fi, st)
	}
	fi, err = fs.Lstat("l")
	must(t, err)
	if st := stat(t, fi); st.uid != 56 || fi.Mode() != os.ModeSymlink|0o777 {
		t.Errorf("link: %v, %+v", fi.Mode(), st)
	}
	wantErr(t, "a time that does not fit", change.Chtimes("f", time.Time{}, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)), syscall.EINVAL)
	wantErr(t, "a bad uid", change.Chown("f", -2, 0), syscall.EINVAL)

	node := fs.(interface {
		Mknod(string, uint32, uint32, uint32) error
		Mkfifo(string, uint32) error
		Socket(string) error
		Link(string, string) error
	})
	must(t, node.Mkfifo("fifo", 0o600))
	must(t, node.Socket("socket"))
	must(t, node.Mknod("chr", modeChr|0o600, 1, 3))
	must(t, node.Mknod("blk", 0o600, 8, 1))
	must(t, node.Link("f", "g"))
	for name, want := range map[string]os.FileMode{
		"fifo": os.ModeNamedPipe | 0o600, "socket": os.ModeSocket | 0o755,
		"chr": os.ModeDevice | os.ModeCharDevice | 0o600, "blk": os.ModeDevice | 0o600,
	} {
		fi, err := fs.Stat(name)
		must(t, err)
		if fi.Mode() != want {
			t.Errorf("%s: mode %v, want %v", name, fi.Mode(), want)
		}
	}
	fi, err = fs.Stat("g")
	must(t, err)
	if st := stat(t, fi); st.nlink != 2 {
		t.Errorf("hard link: %+v", st)
	}
	_, err = fs.Open("fifo")
	wantErr(t, "open of a fifo", err, errNXIO)
}
