package replica

import (
	"slices"
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

// reached is the channel of those who need not wait.
var reached = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

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

// notify returns a channel that is closed once index is applied. Who gives up
// hands it to forget.
func (a *appliedIndex) notify(index raftlog.Index) <-chan struct{} {
	if a.load() >= index {
		return reached
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.load() >= index {
		return reached
	}
	w := appliedWait{index: index, done: make(chan struct{})}
	a.mu.waits = append(a.mu.waits, w)
	return w.done
}

// forget drops a wait that notify began.
func (a *appliedIndex) forget(done <-chan struct{}) {
	if done == (<-chan struct{})(reached) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.waits = slices.DeleteFunc(a.mu.waits, func(w appliedWait) bool { return w.done == done })
}

// wait returns once index is applied, or stop is closed; it reports which.
func (a *appliedIndex) wait(index raftlog.Index, stop <-chan struct{}) bool {
	done := a.notify(index)
	select {
	case <-done:
		return true
	case <-stop:
		a.forget(done)
		return a.load() >= index
	}
}
