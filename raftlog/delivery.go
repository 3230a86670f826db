package raftlog

import (
	"sync"
	"time"
)

// maxHeldBytes bounds the committed entries that wait to become visible. Beyond
// it raft's own delivery waits.
const maxHeldBytes = 16 << 20

// delivery hands committed entries to the state machine as they become visible
// (rule R7), from its own goroutine: whatever waits inside of raft's FSM would
// hold up raft itself in the end.
type delivery struct {
	sm     StateMachine
	leases *leases
	poll   time.Duration

	more    chan struct{} // 1: there are entries, or some may have become visible
	room    chan struct{} // 1: the queue is shorter
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once

	// commit is held while entries are handed over.
	commit sync.Mutex

	mu struct {
		sync.Mutex
		queue []Entry
		bytes int
	}
}

func newDelivery(sm StateMachine, l *leases, poll time.Duration) *delivery {
	return &delivery{
		sm: sm, leases: l, poll: poll,
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// moved says that entries may have become visible.
func (d *delivery) moved() { signal(d.more) }

// put queues committed entries, in order. It waits while the queue is full.
func (d *delivery) put(entries []Entry) {
	for {
		d.mu.Lock()
		if d.mu.bytes < maxHeldBytes {
			for _, e := range entries {
				d.mu.bytes += len(e.Data)
			}
			d.mu.queue = append(d.mu.queue, entries...)
			d.mu.Unlock()
			d.moved()
			return
		}
		d.mu.Unlock()
		select {
		case <-d.room:
		case <-d.stop:
			return // the entries stay in the log, nothing comes after them
		}
	}
}

// run delivers until stop.
func (d *delivery) run() {
	defer close(d.stopped)
	for {
		select {
		case <-d.stop:
			return
		default:
		}
		more, wait := d.deliver()
		if more {
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			// The clock of leases may run otherwise than the timer's.
			timer = time.After(max(min(wait, d.poll), time.Millisecond))
		}
		select {
		case <-d.more:
		case <-timer:
		case <-d.stop:
			return
		}
	}
}

// deliver hands over what is visible. If that is nothing it says for how long at
// most that will be so, if something waits.
func (d *delivery) deliver() (some bool, wait time.Duration) {
	d.commit.Lock()
	defer d.commit.Unlock()
	batch, wait := d.take()
	if len(batch) > 0 {
		d.sm.Commit(batch)
	}
	return len(batch) > 0, wait
}

// reset forgets what waits, and returns when nothing is being handed over: the
// state is replaced by one that has all of it.
func (d *delivery) reset() {
	d.commit.Lock()
	defer d.commit.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.queue, d.mu.bytes = nil, 0
	signal(d.room)
}

// take takes what is visible off the queue. If that is nothing while something
// waits, it says for how long at most that will be so.
func (d *delivery) take() ([]Entry, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.mu.queue)
	if n == 0 {
		return nil, 0
	}
	upTo, wait := d.leases.release(d.mu.queue[n-1].Index)
	for n > 0 && d.mu.queue[n-1].Index > upTo {
		n--
	}
	if n == 0 {
		return nil, wait
	}
	batch := d.mu.queue[:n:n]
	d.mu.queue = d.mu.queue[n:]
	if len(d.mu.queue) == 0 {
		d.mu.queue = nil
	}
	for _, e := range batch {
		d.mu.bytes -= len(e.Data)
	}
	signal(d.room)
	return batch, 0
}

// close ends delivery. Entries that wait are not delivered: they are in the log.
func (d *delivery) close() {
	d.once.Do(func() { close(d.stop) })
	<-d.stopped
}
