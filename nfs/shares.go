package nfs

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// shares counts the calls in flight and their bytes, for the whole server and
// for each client, under one lock. Taking waits until there is room. Four rules:
//
//   - A client holds no more than its own limits.
//   - A client that holds something takes more only while it holds no more than
//     half of what is free, so that whoever comes next finds room. (Choudhury
//     and Hahne, "Dynamic queue length thresholds", 1998; as in intake, but with
//     a smaller share, since here nobody is let through beyond the maximum.) One
//     client alone gets a third; when ten that take all they can have come one
//     after the other, the next still finds (2/3)^10, which is 71 of 4,096 calls.
//   - Clients that wait have their turn one after the other, however many
//     connections each has; the calls of one client go in their order.
//   - While a client that holds nothing waits for room, nobody else takes any, or
//     a large call would wait for as long as others make small ones.
//
// Nobody waits for ever: what is held is given back when calls end and replies
// are written, or after Limits.WriteTime with their connection, and neither needs
// anything from here (see charge).
type shares struct {
	maxCalls, maxBytes             int // in all
	maxClientCalls, maxClientBytes int // of one client
	observer                       Observer

	mu      sync.Mutex
	calls   int
	bytes   int      // may exceed maxBytes, see charge
	queue   []*share // the clients that wait, in the order of their turns
	starved *share   // holds nothing and waits for room; nil for none
}

// shareOfFree is the part of what is free, one in so many, that a client may hold.
const shareOfFree = 2

// share is what one client holds.
type share struct {
	client netip.Addr
	conns  int // open connections; under Server.mu

	// Under shares.mu.
	calls   int
	bytes   int
	waiters []*waiter
}

// take counts one call of sh that holds n bytes, as soon as there is room for
// it, and reports for how long it waited. It returns false if cancel is closed
// first. A call over a whole limit is let through alone, or it would wait for
// ever.
func (s *shares) take(sh *share, n int, cancel <-chan struct{}) (time.Duration, bool) {
	s.mu.Lock()
	obstacle := s.obstacleLocked(sh, n)
	first := s.starved
	if len(sh.waiters) > 0 {
		first = sh
	}
	if obstacle == "" && first == nil {
		s.addLocked(sh, n)
		s.mu.Unlock()
		return 0, true
	}
	if obstacle == "" { // it waits because another does
		obstacle = s.obstacleLocked(first, first.waiters[0].bytes)
	}
	w := &waiter{bytes: n, ready: make(chan struct{})}
	if sh.waiters = append(sh.waiters, w); len(sh.waiters) == 1 {
		s.queue = append(s.queue, sh)
		if s.starved == nil && sh.calls == 0 {
			s.starved = sh
		}
	}
	s.mu.Unlock()
	waited, ok := await(s.observer, obstacle, w.ready, cancel)
	if !ok {
		ok = s.abandon(sh, w)
	}
	return waited, ok
}

// tryTake is take where there is room at once.
func (s *shares) tryTake(sh *share, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.starved != nil || len(sh.waiters) > 0 || s.obstacleLocked(sh, n) != "" {
		return false
	}
	s.addLocked(sh, n)
	return true
}

// await waits on behalf of a connection that a limit holds back.
func await(o Observer, limit string, ready, cancel <-chan struct{}) (time.Duration, bool) {
	begin := time.Now()
	o.HeldBack(limit)
	ok := false
	select {
	case <-ready:
		ok = true
	case <-cancel:
	}
	waited := time.Since(begin)
	o.LetGo(limit, waited)
	return waited, ok
}

// abandon takes w out of the queue. It returns true if w got its room just
// before, which the caller then has and must give back.
func (s *shares) abandon(sh *share, w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(sh.waiters, w)
	if i < 0 {
		return true
	}
	sh.waiters = slices.Delete(sh.waiters, i, i+1)
	if len(sh.waiters) == 0 {
		s.queue = slices.DeleteFunc(s.queue, func(q *share) bool { return q == sh })
	}
	s.grantLocked() // w may have held up others
	return false
}

// charge counts n more bytes for a call of sh that is counted already. It never
// waits: two calls that each hold bytes and wait for more would wait for each
// other. The next take pays for it.
func (s *shares) charge(sh *share, n int) {
	s.mu.Lock()
	s.bytes += n
	sh.bytes += n
	s.mu.Unlock()
}

// release gives back calls and bytes of sh.
func (s *shares) release(sh *share, calls, n int) {
	s.mu.Lock()
	s.calls -= calls
	s.bytes -= n
	sh.calls -= calls
	sh.bytes -= n
	if len(s.queue) > 0 {
		s.grantLocked()
	}
	s.mu.Unlock()
}

// grantLocked lets those in whose turn it is, as far as there is room. A client
// that its own share holds up is passed over.
func (s *shares) grantLocked() {
	s.starved = nil
	for i := 0; i < len(s.queue); {
		sh := s.queue[i]
		w := sh.waiters[0]
		if s.obstacleLocked(sh, w.bytes) != "" {
			if sh.calls == 0 {
				s.starved = sh
				return
			}
			i++
			continue
		}
		s.addLocked(sh, w.bytes)
		close(w.ready)
		sh.waiters = slices.Delete(sh.waiters, 0, 1)
		s.queue = slices.Delete(s.queue, i, i+1)
		if len(sh.waiters) > 0 {
			s.queue = append(s.queue, sh) // its next turn comes after all others
		}
	}
}

// obstacleLocked returns the limit that keeps sh from taking n bytes for a call,
// or "" if there is room. Only what others hold keeps a client from its first.
func (s *shares) obstacleLocked(sh *share, n int) string {
	switch {
	case s.calls >= s.maxCalls:
		return limitCalls
	case s.calls > 0 && s.bytes+n > s.maxBytes:
		return limitBytes
	case sh.calls == 0:
		return ""
	case sh.calls >= s.maxClientCalls:
		return limitCallsPerClient
	case sh.bytes+n > s.maxClientBytes:
		return limitBytesPerClient
	case sh.calls+1 > (s.maxCalls-s.calls)/shareOfFree:
		return limitCalls
	case sh.bytes+n > (s.maxBytes-s.bytes)/shareOfFree:
		return limitBytes
	}
	return ""
}

func (s *shares) addLocked(sh *share, n int) {
	s.calls++
	s.bytes += n
	sh.calls++
	sh.bytes += n
}

// used returns what is held in all, and the most that one of clients holds.
func (s *shares) used(clients []*share) (calls, bytes, clientCalls, clientBytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range clients {
		clientCalls, clientBytes = max(clientCalls, sh.calls), max(clientBytes, sh.bytes)
	}
	return s.calls, s.bytes, clientCalls, clientBytes
}
