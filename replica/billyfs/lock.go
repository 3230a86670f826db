package billyfs

import (
	"context"
	"sync"

	"twofold/replica/vfs"
)

// lockTable has the locks of all files opened through one [New].
type lockTable struct {
	mu   sync.Mutex
	held map[vfs.Ref]*lock
}

// lock is held by one open file. Its channel is closed when it is let go.
type lock struct {
	owner *File
	free  chan struct{}
}

func newLockTable() *lockTable { return &lockTable{held: make(map[vfs.Ref]*lock)} }

// acquire waits until f has the lock. To ask for it twice is no error.
func (t *lockTable) acquire(ctx context.Context, f *File) error {
	for {
		t.mu.Lock()
		l := t.held[f.ref]
		if l == nil {
			t.held[f.ref] = &lock{owner: f, free: make(chan struct{})}
		}
		t.mu.Unlock()
		if l == nil || l.owner == f {
			return nil
		}
		select {
		case <-l.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release lets the lock go if f has it.
func (t *lockTable) release(f *File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.held[f.ref]; l != nil && l.owner == f {
		delete(t.held, f.ref)
		close(l.free)
	}
}
