package billyfstest

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/util"

	"twofold/replica/billyfs"
	"twofold/replica/vfs"
)

// testPermission uses one directory as two users who share a group.
func testPermission(t *testing.T, store vfs.FS) {
	const staff = 50
	dir := newDir(t, store)
	alice := view(t, store, dir, vfs.Cred{UID: 1000, GID: 1000, Groups: []uint32{staff}})
	bob := view(t, store, dir, vfs.Cred{UID: 1001, GID: 1001, Groups: []uint32{staff}})

	writeFile(t, alice, "home/secret", "mine")
	fi, err := alice.Stat("home/secret")
	must(t, err)
	if st := stat(t, fi); st.uid != 1000 || st.gid != 1000 || fi.Mode() != 0o644 {
		t.Errorf("new file: %v, %+v", fi.Mode(), st)
	}
	_, write := bob.OpenFile("home/secret", os.O_WRONLY, 0)
	_, trunc := bob.Create("home/secret")
	_, create := bob.Create("home/other")
	change := bob.(billy.Change)
	for what, err := range map[string]error{
		"write": write, "truncate": trunc, "create": create,
		"remove": bob.Remove("home/secret"), "rename": bob.Rename("home/secret", "stolen"),
		"mkdir": bob.MkdirAll("home/x/y", 0o755), "symlink": bob.Symlink("x", "home/l"),
		"chmod": change.Chmod("home/secret", 0o777), "chown": change.Chown("home/secret", 1001, -1),
		"chtimes": change.Chtimes("home/secret", time.Unix(1, 0), time.Unix(1, 0)),
	} {
		wantErr(t, what+" by another", err, iofs.ErrPermission)
	}
	if got := readFile(t, bob, "home/secret"); got != "mine" {
		t.Errorf("read by another: %q", got)
	}

	own := alice.(billy.Change)
	must(t, own.Chown("home/secret", -1, staff))
	must(t, own.Chmod("home/secret", 0o660))
	f, err := bob.OpenFile("home/secret", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write([]byte(" and ours"))
	must(t, err)
	must(t, f.Close())
	if got := readFile(t, alice, "home/secret"); got != "mine and ours" {
		t.Errorf("after a write by the group: %q", got)
	}
	must(t, own.Chmod("home", 0o700))
	_, stat := bob.Stat("home/secret")
	wantErr(t, "stat in a closed directory", stat, iofs.ErrPermission)
	_, list := bob.ReadDir("home")
	wantErr(t, "list a closed directory", list, iofs.ErrPermission)

	// Whoever makes a file may fill it, whatever mode it gets (git does so).
	f, err = alice.OpenFile("home/readonly", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o444)
	must(t, err)
	_, err = f.Write([]byte("once"))
	must(t, err)
	must(t, f.Close())
	_, err = alice.OpenFile("home/readonly", os.O_WRONLY, 0)
	wantErr(t, "open a read-only file to write", err, iofs.ErrPermission)

	open := view(t, store, dir, vfs.Cred{UID: 1000, GID: 1000}, billyfs.WithUmask(0o077))
	writeFile(t, open, "private", "")
	fi, err = open.Stat("private")
	must(t, err)
	if fi.Mode() != 0o600 {
		t.Errorf("umask: mode %v", fi.Mode())
	}
}

const (
	workers = 8
	rounds  = 20
)

// parallel runs f in several goroutines and reports the first error of each.
func parallel(t *testing.T, f func(worker int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if err := f(w); err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	wg.Wait()
}

func testConcurrency(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	t.Run("OneFile", func(t *testing.T) { testOneFile(t, fs) })
	t.Run("OneName", func(t *testing.T) { testOneName(t, fs) })
	t.Run("OneTree", func(t *testing.T) { testOneTree(t, fs) })
}

// testOneFile writes and reads one open file from several goroutines.
func testOneFile(t *testing.T, fs billy.Filesystem) {
	f := open(t, fs, "shared", os.O_RDWR|os.O_CREATE)
	parallel(t, func(w int) error {
		for i := range rounds {
			at := int64((i*workers + w) * 4)
			if _, err := f.WriteAt(fmt.Appendf(nil, "%02d%02d", w, i), at); err != nil {
				return err
			}
			if _, err := f.ReadAt(make([]byte, 4), at); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, f.Close())
	got := readFile(t, fs, "shared")
	for i := range rounds {
		for w := range workers {
			at := (i*workers + w) * 4
			if want := fmt.Sprintf("%02d%02d", w, i); got[at:at+4] != want {
				t.Fatalf("at %d: %q, want %q", at, got[at:at+4], want)
			}
		}
	}
}

// testOneName lets several goroutines make the same files exclusively.
func testOneName(t *testing.T, fs billy.Filesystem) {
	var mu sync.Mutex
	won := 0
	parallel(t, func(int) error {
		for i := range rounds {
			f, err := fs.OpenFile(fmt.Sprint("once", i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if os.IsExist(err) {
				continue
			}
			if err == nil {
				mu.Lock()
				won++
				mu.Unlock()
				err = f.Close()
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if won != rounds {
		t.Errorf("%d files were made exclusively, want %d", won, rounds)
	}
}

// testOneTree lets several goroutines make one tree and rename over one name.
func testOneTree(t *testing.T, fs billy.Filesystem) {
	parallel(t, func(w int) error {
		for i := range rounds {
			name := fmt.Sprintf("tree/a/b/c/%d-%d", w, i)
			data := bytes.Repeat([]byte{byte(w)}, 100*i)
			if err := util.WriteFile(fs, name, data, 0o644); err != nil {
				return err
			}
			if err := fs.Rename(name, "target"); err != nil {
				return err
			}
			got, err := util.ReadFile(fs, "target")
			if err != nil && !errors.Is(err, iofs.ErrNotExist) && !staleFile(err) {
				return err
			}
			for _, b := range got {
				if b != got[0] {
					return fmt.Errorf("a torn file: %v", got)
				}
			}
		}
		return nil
	})
	infos, err := fs.ReadDir("tree/a/b/c")
	must(t, err)
	if len(infos) != 0 {
		t.Errorf("%d files were left behind", len(infos))
	}
}

func testLock(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	writeFile(t, fs, "counter", "\x00")
	parallel(t, func(int) error {
		for range rounds {
			f, err := fs.OpenFile("counter", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			if err := f.Lock(); err != nil {
				return err
			}
			var b [1]byte
			if _, err := f.ReadAt(b[:], 0); err != nil {
				return err
			}
			b[0]++
			if _, err := f.Write(b[:]); err != nil {
				return err
			}
			if err := f.Close(); err != nil { // Sends, then lets the lock go.
				return err
			}
		}
		return nil
	})
	if got := readFile(t, fs, "counter")[0]; got != workers*rounds {
		t.Errorf("counted to %d, want %d", got, workers*rounds)
	}
	f := open(t, fs, "counter", os.O_RDWR)
	must(t, f.Lock())
	must(t, f.Lock()) // As flock(2): one open file, one lock.
	must(t, f.Unlock())
	must(t, f.Unlock())
	must(t, f.Close())
	wantErr(t, "Lock of a closed file", f.Lock(), os.ErrClosed)
}
