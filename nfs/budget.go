package nfs

import (
	"sync"
	"time"
)

// budget counts the calls in flight of one connection and the bytes that they
// hold. Taking from it waits, in turn, until there is room.
type budget struct {
	maxCalls int
	maxBytes int
	observer Observer

	mu      sync.Mutex
	calls   int
	bytes   int       // may exceed maxBytes, see charge
	waiters []*waiter // first come, first served
}

// waiter is one goroutine that waits for room.
type waiter struct {
	bytes int
	ready chan struct{} // closed once the room was taken for it
}

// take counts one call that holds n bytes, as soon as there is room for it, and
// reports for how long it waited. It returns false if cancel is closed first. A
// call over the whole budget is let through alone, or it would wait for ever.
func (b *budget) take(n int, cancel <-chan struct{}) (time.Duration, bool) {
	b.mu.Lock()
	if b.tryLocked(n) {
		b.mu.Unlock()
		return 0, true
	}
	limit := limitBytesPerConn
	if b.calls >= b.maxCalls {
		limit = limitCallsPerConn
	}
	w := &waiter{bytes: n, ready: make(chan struct{})}
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()
	waited, ok := await(b.observer, limit, w.ready, cancel)
	if !ok {
		ok = b.abandon(w)
	}
	return waited, ok
}

// tryTake is take where there is room at once.
func (b *budget) tryTake(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tryLocked(n)
}

func (b *budget) tryLocked(n int) bool {
	if len(b.waiters) > 0 || !b.fitsLocked(n) {
		return false
	}
	b.addLocked(n)
	return true
}

// abandon takes w out of the queue. It returns true if w got its room just
// before, which the caller then has and must give back.
func (b *budget) abandon(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waiters {
		if b.waiters[i] == w {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			b.wakeLocked() // w may have held up smaller ones
			return false
		}
	}
	return true
}

// charge counts n more bytes for a call that is counted already. It never
// waits: two calls that each hold bytes and wait for more would wait for each
// other. The next take pays for it.
func (b *budget) charge(n int) {
	b.mu.Lock()
	b.bytes += n
	b.mu.Unlock()
}

// release gives back calls and bytes.
func (b *budget) release(calls, n int) {
	b.mu.Lock()
	b.calls -= calls
	b.bytes -= n
	if len(b.waiters) > 0 {
		b.wakeLocked()
	}
	b.mu.Unlock()
}

func (b *budget) wakeLocked() {
	for len(b.waiters) > 0 && b.fitsLocked(b.waiters[0].bytes) {
		w := b.waiters[0]
		b.waiters[0] = nil
		b.waiters = b.waiters[1:]
		b.addLocked(w.bytes)
		close(w.ready)
	}
}

func (b *budget) fitsLocked(n int) bool {
	return b.calls < b.maxCalls && (b.bytes+n <= b.maxBytes || b.calls == 0)
}

func (b *budget) addLocked(n int) {
	b.calls++
	b.bytes += n
}

// used returns what is held.
func (b *budget) used() (calls, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls, b.bytes
}
