package billyfs_test

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"twofold/replica/billyfs"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

func openFile(t *testing.T, fs *billyfs.FS) *billyfs.File {
	t.Helper()
	f, err := fs.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return f.(*billyfs.File)
}

func TestLock_WaitsForUnlockAndClose(t *testing.T) {
	for name, release := range map[string]func(*billyfs.File) error{
		"Unlock": (*billyfs.File).Unlock,
		"Close":  (*billyfs.File).Close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := billyfs.New(modelfs.New(), vfs.Root)
				a, b := openFile(t, fs), openFile(t, fs)
				if err := a.Lock(); err != nil {
					t.Fatal(err)
				}
				var locked atomic.Bool
				go func() {
					if err := b.Lock(); err != nil {
						t.Errorf("Lock: %v", err)
					}
					locked.Store(true)
				}()
				synctest.Wait()
				if locked.Load() {
					t.Error("two files have the lock")
				}
				if err := release(a); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if !locked.Load() {
					t.Error("the lock was not handed on")
				}
			})
		})
	}
}

func TestLock_EndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		fs := billyfs.New(modelfs.New(), vfs.Root, billyfs.WithContext(ctx))
		a, b := openFile(t, fs), openFile(t, fs)
		if err := a.Lock(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- b.Lock() }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Lock: %v", err)
		}
	})
}
