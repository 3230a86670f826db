package replica

import (
	"sync"
	"sync/atomic"

	"twofold/raftlog"
)

// appliedIndex is the node's applied index and those who wait for it.
type appliedIndex struct {
	index atomic.Uint64 // only grows

	mu struct {
		sync.Mutex
		waits []appliedWait
	}
}

type appliedWait struct {
	index raftlog.Index
	done  chan struct{}
}

func (a *appliedIndex) load() raftlog.Index { return raftlog.Index(a.index.Load()) }

// advance moves the index on and releases who waited for it.
func (a *appliedIndex) advance(to raftlog.Index) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index.Store(uint64(to))
	kept := a.mu.waits[:0]
	for _, w := range a.mu.waits {
		if w.index <= to {
			close(w.done)
		} else {
			kept = append(kept, w)
		}
	}
	clear(a.mu.waits[len(kept):])
	a.mu.waits = kept
}

// wait returns once index is applied, or stop is closed; it reports which.
func (a *appliedIndex) wait(index raftlog.Index, stop <-chan struct{}) bool {
	if a.load() >= index {
		return true
	}
	w := appliedWait{index: index, done: make(chan struct{})}
	a.mu.Lock()
	if a.load() >= index {
		a.mu.Unlock()
		return true
	}
	a.mu.waits = append(a.mu.waits, w)
	a.mu.Unlock()
	select {
	case <-w.done:
		return true
	case <-stop:
		return a.load() >= index
	}
}
