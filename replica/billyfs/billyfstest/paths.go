package billyfstest

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/billyfs"
	"twofold/replica/vfs"
)

func testErrors(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	writeFile(t, fs, "file", "x")
	writeFile(t, fs, "dir/file", "x")
	_, noFile := fs.Open("none")
	_, noDir := fs.Open("none/none")
	_, throughFile := fs.Open("file/x")
	_, isDir := fs.OpenFile("dir", os.O_WRONLY, 0)
	_, exists := fs.OpenFile("file", os.O_CREATE|os.O_EXCL, 0)
	_, long := fs.Create(strings.Repeat("n", vfs.MaxName+1))
	_, outside := fs.Open("../x")
	_, notLink := fs.Readlink("file")
	ro := open(t, fs, "file", os.O_RDONLY)
	_, write := ro.Write([]byte("x"))
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"open what is not there", noFile, iofs.ErrNotExist},
		{"open in what is not there", noDir, iofs.ErrNotExist},
		{"open through a file", throughFile, syscall.ENOTDIR},
		{"write to a directory", isDir, syscall.EISDIR},
		{"create what is there", exists, iofs.ErrExist},
		{"a long name", long, syscall.ENAMETOOLONG},
		{"outside", outside, billy.ErrCrossedBoundary},
		{"readlink of a file", notLink, syscall.EINVAL},
		{"write to a file opened to read", write, syscall.EBADF},
		{"truncate it", ro.Truncate(0), syscall.EINVAL},
		{"remove what is not there", fs.Remove("none"), iofs.ErrNotExist},
		{"remove a full directory", fs.Remove("dir"), syscall.ENOTEMPTY},
		{"remove the root", fs.Remove("/"), syscall.EBUSY},
		{"rename what is not there", fs.Rename("none", "x"), iofs.ErrNotExist},
		{"rename into itself", fs.Rename("dir", "dir/x"), syscall.EINVAL},
		{"rename over a directory", fs.Rename("file", "dir"), syscall.EISDIR},
		{"mkdir over a file", fs.MkdirAll("file", 0o755), syscall.ENOTDIR},
		{"mkdir through a file", fs.MkdirAll("file/x", 0o755), syscall.ENOTDIR},
		{"symlink over a file", fs.Symlink("x", "file"), iofs.ErrExist},
		{"symlink to nothing", fs.Symlink("", "l"), syscall.ENOENT},
	} {
		wantErr(t, tt.name, tt.err, tt.want)
		var pe *iofs.PathError
		if tt.want != billy.ErrCrossedBoundary && !errors.As(tt.err, &pe) {
			t.Errorf("%s: %T is no *fs.PathError", tt.name, tt.err)
		}
	}
	must(t, ro.Close())
	if _, err := fs.Stat("x"); !os.IsNotExist(err) {
		t.Errorf("a failed rename made something: %v", err)
	}
}

func testLinks(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	writeFile(t, fs, "a/b/file", "found")
	for link, target := range map[string]string{
		"abs":       "/a/b/file",
		"a/up":      "../a/b",
		"a/b/far":   "../../a/up/../b/./file",
		"chain":     "a/b/far",
		"loop":      "loop",
		"loop1":     "loop2",
		"loop2":     "loop1",
		"dangling":  "a/new",
		"deep":      "none/new",
		"file-up":   "a/b/file/..",
		"out":       "../x",
		"out-again": "a/../../x",
	} {
		must(t, fs.Symlink(target, link))
		if got, err := fs.Readlink(link); got != target || err != nil {
			t.Errorf("Readlink(%q): %q, %v", link, got, err)
		}
	}
	for _, name := range []string{"abs", "a/up/file", "a/b/far", "chain", "a/up/../b/file"} {
		if got := readFile(t, fs, name); got != "found" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, want := range map[string]error{
		"loop": syscall.ELOOP, "loop1": syscall.ELOOP, "loop/x": syscall.ELOOP,
		"dangling": iofs.ErrNotExist, "file-up": syscall.ENOTDIR,
		"out": billy.ErrCrossedBoundary, "out-again": billy.ErrCrossedBoundary,
	} {
		_, err := fs.Stat(name)
		wantErr(t, "Stat("+name+")", err, want)
	}
	_, err := fs.OpenFile("dangling", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	wantErr(t, "O_EXCL on a dangling link", err, iofs.ErrExist)
	_, err = fs.Create("deep")
	wantErr(t, "create through a link into nothing", err, iofs.ErrNotExist)
	wantErr(t, "mkdir on a dangling link", fs.MkdirAll("dangling", 0o755), iofs.ErrExist)
	writeFile(t, fs, "dangling", "made")
	if got := readFile(t, fs, "a/new"); got != "made" {
		t.Errorf("create through a link: %q", got)
	}
	for i := range 41 { // c0 -> c1 -> ... -> c41, a file: 41 links.
		must(t, fs.Symlink(fmt.Sprint("c", i+1), fmt.Sprint("c", i)))
	}
	writeFile(t, fs, "c41", "end")
	if got := readFile(t, fs, "c1"); got != "end" {
		t.Errorf("40 links: %q", got)
	}
	_, err = fs.Stat("c0")
	wantErr(t, "41 links", err, syscall.ELOOP)
	must(t, fs.Remove("chain"))
	if got := readFile(t, fs, "a/b/file"); got != "found" {
		t.Errorf("Remove followed a link: %q", got)
	}
}

// testReadDir lists more entries than one call to the store returns.
func testReadDir(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	const n = 1100
	for i := range n {
		must(t, fs.(*billyfs.FS).Symlink("x", fmt.Sprintf("d/%04d", (i*7)%n)))
	}
	infos, err := fs.ReadDir("d")
	must(t, err)
	if len(infos) != n || !sort.SliceIsSorted(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() }) {
		t.Errorf("%d entries", len(infos))
	}
	_, err = fs.ReadDir("none")
	wantErr(t, "ReadDir of nothing", err, iofs.ErrNotExist)
	_, err = fs.ReadDir("d/0000/x")
	wantErr(t, "ReadDir through a dangling link", err, iofs.ErrNotExist)
}

func testChroot(t *testing.T, store vfs.FS) {
	dir := newDir(t, store)
	fs := view(t, store, dir, vfs.Root)
	outer, err := fs.Chroot("outer")
	must(t, err)
	inner, err := outer.Chroot("in/ner")
	must(t, err)
	if _, err := inner.Stat("/"); !os.IsNotExist(err) {
		t.Errorf("a root that is not made yet: %v", err)
	}
	writeFile(t, inner, "f", "deep")
	if got := readFile(t, fs, "outer/in/ner/f"); got != "deep" {
		t.Errorf("got %q", got)
	}
	if got, want := inner.Root(), fs.Join(dir, "outer/in/ner"); got != want {
		t.Errorf("Root: %q, want %q", got, want)
	}
	must(t, inner.Symlink("/f", "abs"))
	if got := readFile(t, inner, "abs"); got != "deep" {
		t.Errorf("absolute link within: %q", got)
	}
	must(t, inner.Symlink("../../../secret", "leak"))
	writeFile(t, fs, "secret", "x")
	for _, name := range []string{"leak", "../../secret", "/../../secret"} {
		if _, err := inner.Open(name); !errors.Is(err, billy.ErrCrossedBoundary) {
			t.Errorf("Open(%q): %v", name, err)
		}
	}
	_, err = fs.Chroot("../x")
	wantErr(t, "Chroot to outside", err, billy.ErrCrossedBoundary)
	wantErr(t, "Rename of a root", outer.Rename("/", "x"), syscall.EBUSY)
}
