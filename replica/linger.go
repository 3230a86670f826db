package replica

import (
	"sync/atomic"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
)

// maxLingerSkips bounds for how many entries the proposer does not linger after it
// has lingered in vain.
const maxLingerSkips = 64

// linger has the callers whose changes were in one entry share the next one with those
// who came meanwhile. Most callers come back at once with their next change, and an entry costs as much
// as some ten changes in it: without a wait, half of the callers would be in one
// entry and half in the next one, for ever. The wait ends when as many changes are there
// as there may be, or after a limit. Who waits in vain does not wait for the next entries, for
// twice as many each time.
type linger struct {
	limit time.Duration // not positive: no wait
	queue <-chan pending

	want atomic.Int64  // how many changes the proposer waits for; 0 if it does not
	full chan struct{} // capacity 1: so many are there

	// Owned by the propose goroutine.
	skip, skips int
}

// queued is called after a change was put into the queue.
func (l *linger) queued() {
	if want := l.want.Load(); want > 0 && int64(len(l.queue)) >= want {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

// linger waits for the callers that the entry at index releases, of which there are so many.
func (s *Store) linger(index raftlog.Index, released int) {
	l := &s.lingering
	want := min(len(l.queue)+released, command.MaxBatchOps)
	switch {
	case l.limit <= 0 || want < 2:
		return // a lone caller has nobody to wait for
	case l.skip > 0:
		l.skip--
		s.applied.wait(index, s.stopped)
		return
	}
	if l.wait(want, s.stopped) {
		l.skips = 0
		return
	}
	l.skips = min(max(1, 2*l.skips), maxLingerSkips)
	l.skip = l.skips
}

// wait waits until the queue has so many changes, and reports false if that takes
// too long.
func (l *linger) wait(want int, stopped <-chan struct{}) bool {
	select {
	case <-l.full: // of an earlier wait
	default:
	}
	l.want.Store(int64(want))
	defer l.want.Store(0)
	if len(l.queue) >= want {
		return true
	}
	limit := time.NewTimer(l.limit)
	defer limit.Stop()
	select {
	case <-l.full:
		return true
	case <-limit.C:
		return false
	case <-stopped:
		return false
	}
}
