package raftlog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStalled is the error of a node whose disk does not answer (rule R13). It
// takes no part in leading while that lasts, and comes back by itself.
var ErrStalled = errors.New("raftlog: the disk does not answer")

// stallTicks is how many ticks of the clock of stalls make a DiskTimeout.
const stallTicks = 8

// hungLimits is how many deadlines make a disk that is slow one that hangs.
const hungLimits = 3

// diskOp is a kind of work that has a deadline.
type diskOp uint8

// The kinds.
const (
	opLog    diskOp = iota // a write to the log, or raft's deletion from it
	opVote                 // a write of the term or of a vote
	opMarker               // a write of the marker
	opApply                // the state machine takes an entry, and applies it
	opFlush                // the state machine makes its state durable
	opCut                  // what the log no longer needs is deleted
	opProbe                // a write of the probe
	opRead                 // somebody reads the state; see reads
	diskOps
)

var diskOpNames = [diskOps]string{"writing the log", "writing the vote", "writing the marker", "applying an entry", "flushing the state", "cutting the log", "probing the disk of the log", "reading the state"}

// stalls knows what is under way on this node's disk and for how long. A write
// that hangs may never return, so nothing waits for one here.
//
// Time is counted in ticks of a goroutine of this process: a process that stood
// still does not blame its disk when it goes on.
type stalls struct {
	limits [diskOps]uint64 // in ticks
	hold   uint64          // in ticks
	errs   [diskOps]error  // never changed after newStalls

	current atomic.Pointer[error] // nil while not stalled
	late    atomic.Bool           // something is late at this moment
	noReads atomic.Bool           // silent, and a read is late
	silent  atomic.Bool           // stalled, and another data node can take over or the disk hangs

	reads reads

	stop, stopped chan struct{} // of stallWatch

	mu struct {
		sync.Mutex
		tick    uint64
		next    uint64           // key of the next operation
		begun   map[uint64]begun // what is under way; raft's few goroutines bound it
		applied Index            // of the state machine
		moved   uint64           // the tick at which it last moved, or had nowhere to go
		held    uint64           // stalled until that tick at least
		wrote   time.Time        // when the last write of the log ended
		last    diskOp           // what was late, up to then
	}
}

type begun struct {
	op diskOp
	at uint64
}

func newStalls(t *Timing) *stalls {
	s := &stalls{stop: make(chan struct{}), stopped: make(chan struct{})}
	s.mu.begun = map[uint64]begun{}
	tick := t.stallTick()
	for op, d := range map[diskOp]time.Duration{
		opLog: t.DiskTimeout, opVote: t.DiskTimeout, opMarker: t.DiskTimeout, opCut: t.DiskTimeout, opProbe: t.DiskTimeout, opRead: t.ReadTimeout,
		opApply: t.ApplyTimeout, opFlush: t.FlushTimeout,
	} {
		s.limits[op] = uint64((d + tick - 1) / tick)
		s.errs[op] = fmt.Errorf("%w: %s takes more than %s", ErrStalled, diskOpNames[op], d)
	}
	s.reads.length = (s.limits[opRead] + readSpans - 3) / (readSpans - 2)
	s.hold = uint64((2*t.HeartbeatTimeout + tick - 1) / tick)
	return s
}

// stallTick is how often a node looks whether something is late.
func (t *Timing) stallTick() time.Duration { return t.DiskTimeout / stallTicks }

// begin notes that work on the disk begins. The returned function notes its end.
func (s *stalls) begin(op diskOp) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.mu.next
	s.mu.next++
	s.mu.begun[key] = begun{op, s.mu.tick}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.begun, key)
		if op == opLog {
			s.mu.wrote = time.Now()
		}
	}
}

// err returns why this node is stalled, nil if it is not.
func (s *stalls) err() error {
	if p := s.current.Load(); p != nil {
		return *p
	}
	return nil
}

// refuse is the answer to raft for a message that is not sent.
func (s *stalls) refuse() error {
	if err := s.err(); err != nil {
		return err
	}
	return ErrStalled // it ended just now
}

// step lets one tick pass. The state machine was given entries up to delivered.
// alternative says that another data node is there to lead and is not stalled.
//
// A node that was late stays stalled for a while after: the others elect a leader
// in that time. A leader whose writes take a second each would otherwise send
// messages between them and keep its lead. If nobody is known to take over, a
// slow leader is better than none: then nothing is held, and the node is silent
// only once its disk has not answered for some deadlines. Somebody that this node
// cannot see may lead with the witness then.
func (s *stalls) step(applied, delivered Index, alternative bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.tick++
	now := s.mu.tick
	if applied != s.mu.applied || applied >= delivered {
		s.mu.applied, s.mu.moved = applied, now
	}
	late := -1
	if now-s.mu.moved > s.limits[opApply] {
		late = int(opApply)
	}
	hangs := now-s.mu.moved > hungLimits*s.limits[opApply]
	for _, b := range s.mu.begun {
		if now-b.at > s.limits[b.op] && (late < 0 || int(b.op) < late) {
			late = int(b.op)
		}
		hangs = hangs || now-b.at > hungLimits*s.limits[b.op]
	}
	slow, hung := s.reads.step()
	if slow {
		hangs = hangs || hung
		if late < 0 {
			late = int(opRead)
		}
	}
	switch {
	case late >= 0:
		s.mu.last, s.mu.held = diskOp(late), now+s.hold
		s.current.Store(&s.errs[late])
	case alternative && now < s.mu.held:
		s.current.Store(&s.errs[s.mu.last])
	default:
		s.mu.held = 0
		s.current.Store(nil)
	}
	s.late.Store(late >= 0)
	s.silent.Store(s.current.Load() != nil && (alternative || hangs))
	s.noReads.Store(slow && s.silent.Load())
}

// Stalled tells why this node does not lead, hold or grant leases now: a write of
// its log, its vote or its state is late, or a read of its state. It is nil on a node whose disk answers.
// It takes no lock.
func (n *Node) Stalled() error { return n.stalls.err() }

// stalled tells whether this node must hold and grant no lease now (rule R13). It is
// silent only if another data node is there or the disk hangs, see stalls.step.
func (n *Node) stalled() bool { return n.Stalled() != nil }

// given is up to where entries were given to the state machine.
func (l *leases) given() Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.released
}

// stallWatch counts the ticks and says, once each, when the node stalls and when
// it is back. It goes on until the node's disk is closed.
func (n *Node) stallWatch() {
	defer close(n.stalls.stopped)
	tick := time.NewTicker(n.cfg.Timing.stallTick())
	defer tick.Stop()
	var since time.Time // zero while not stalled
	for {
		select {
		case <-tick.C:
		case <-n.stalls.stop:
			return
		}
		var applied, given Index
		if n.sm != nil && !n.unfit() { // a copy that is out of use takes no entry
			applied, given = n.sm.Applied(), n.leases.given()
		}
		n.stalls.step(applied, given, n.alternative())
		err := n.stalls.err()
		switch {
		case err != nil && since.IsZero():
			since = time.Now()
			n.cfg.Metrics.Stalled(true)
			n.log.Error("the disk of this node does not answer: it neither leads nor serves until it does; look at the disk and at the kernel's messages", "err", err)
		case err == nil && !since.IsZero():
			n.cfg.Metrics.Stalled(false)
			n.log.Warn("the disk of this node answers again", "after", time.Since(since).Round(time.Millisecond))
			since = time.Time{}
		}
	}
}

// alternative tells whether another data node could lead instead of this node.
func (n *Node) alternative() bool {
	for _, k := range n.peers() {
		if k.peer.Role != RoleData || !n.isVoter(k.peer.Name) {
			continue
		}
		if p, at := k.state(); !at.IsZero() && time.Since(at) < 3*n.cfg.Timing.PingInterval && !p.Stalled {
			return true
		}
	}
	return false
}
