package replica

import (
	"context"
	"sync"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

const (
	// maxMarks is how many of its own digests a node remembers. The leader tells
	// its own with the next marker, so that two would do if nothing were late.
	maxMarks = 64
	// maxSteps bounds what apply has found and nobody has looked at yet. What does
	// not fit is found again at the next marker.
	maxSteps = 64
	// sayLimit bounds one attempt to tell the other node something.
	sayLimit = 5 * time.Second
)

// integrity is what this node knows of how its copy compares with the other one
// (rule M5). Apply takes part in it with numbers only; what takes time is done by
// runIntegrity.
//
// The order of a comparison: the leader's marker has both nodes note their digests
// after it; the leader's next one bears what it noted; the follower, when it applies
// that, says in the log whether it noted the same. So both know at the same entry,
// and a node that is away holds nothing up.
type integrity struct {
	steps chan command.Integrity // capacity maxSteps; to be answered or acted upon

	mu struct {
		sync.Mutex
		marks      []mark // at most maxMarks, in the order of the log
		changes    uint64 // entries that changed the volume, since the start
		published  uint64 // changes at the mark that a marker bore last
		agreed     raftlog.Index
		mismatches uint64
		dispute    *dispute
		scrub      ScrubStatus
	}
}

// mark is this node's running digest after an entry.
type mark struct {
	index   raftlog.Index
	digest  state.Digest
	changes uint64
}

// dispute is a difference that is not settled.
type dispute struct {
	index    raftlog.Index
	term     raftlog.Term // of the entry that says so
	follower string       // which found it
	scans    map[string]command.IntegrityStep
	replays  map[string]command.IntegrityStep
}

func newIntegrity() *integrity { return &integrity{steps: make(chan command.Integrity, maxSteps)} }

// noteIntegrity takes what an applied entry says of digests, and notes this node's
// own where it is asked to. The apply goroutine calls it before anything else is
// applied.
func (s *Store) noteIntegrity(index raftlog.Index, term raftlog.Term, cmds []command.Command) {
	in := s.integrity
	for i := range cmds {
		switch op := cmds[i].Op.(type) {
		case *command.Nop:
		case *command.Integrity:
			if op.Step == command.DigestMarker {
				s.noteMarker(index, op)
			}
			// What is in the log of a difference was found before this copy came.
			if !s.replaying && s.takeStep(term, op) {
				select {
				case in.steps <- *op:
				default:
				}
			}
		default:
			in.mu.Lock()
			in.mu.changes++
			in.mu.Unlock()
		}
	}
}

func (s *Store) noteMarker(index raftlog.Index, op *command.Integrity) {
	in := s.integrity
	digest, _, _ := s.state.RunningDigest()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.mu.marks {
		if m.index == raftlog.Index(op.Index) {
			in.mu.published = max(in.mu.published, m.changes)
		}
	}
	if len(in.mu.marks) == maxMarks {
		in.mu.marks = append(in.mu.marks[:0], in.mu.marks[1:]...)
	}
	in.mu.marks = append(in.mu.marks, mark{index, digest, in.mu.changes})
}

// takeStep notes what a step says, and reports whether there is something to do.
func (s *Store) takeStep(term raftlog.Term, op *command.Integrity) bool {
	in, index := s.integrity, raftlog.Index(op.Index)
	in.mu.Lock()
	defer in.mu.Unlock()
	d := in.mu.dispute
	switch op.Step {
	case command.DigestMarker:
		return op.Index != 0 && op.Node != s.cfg.Self.Name
	case command.DigestEqual:
		in.mu.agreed = max(in.mu.agreed, index)
		s.metrics.SetAgreed(uint64(in.mu.agreed))
		if d != nil && d.index < index {
			in.mu.dispute = nil // one of the copies was replaced
		}
		return true
	case command.DigestDiffers:
		in.mu.mismatches++
		s.metrics.DigestMismatch()
		// One that is said again is of a process that knows nothing of the first.
		in.mu.dispute = &dispute{
			index: index, term: term, follower: op.Node,
			scans: map[string]command.IntegrityStep{}, replays: map[string]command.IntegrityStep{},
		}
		return true
	case command.ScanSound, command.ScanDamaged:
		if d == nil || d.index != index {
			return false
		}
		d.scans[op.Node] = op.Step
		return len(d.scans) == 2
	default:
		if d == nil || d.index != index {
			return false
		}
		d.replays[op.Node] = op.Step
		return len(d.replays) == 2
	}
}

// forget drops what was noted of a copy that is no more.
func (in *integrity) forget() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mu.marks, in.mu.dispute = nil, nil
}

// ownMark returns what this node noted after an entry.
func (in *integrity) ownMark(index raftlog.Index) (mark, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.mu.marks {
		if m.index == index {
			return m, true
		}
	}
	return mark{}, false
}

// due returns the marker that a leader is to propose, if anything has changed
// since what was told last.
func (in *integrity) due(node string) (command.Integrity, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	op := command.Integrity{Step: command.DigestMarker, Node: node}
	if n := len(in.mu.marks); n > 0 {
		op.Index, op.Digest = uint64(in.mu.marks[n-1].index), in.mu.marks[n-1].digest
	}
	return op, in.mu.changes > in.mu.published
}

// runIntegrity proposes markers while this node leads, and does what the steps in
// the log ask for.
func (s *Store) runIntegrity() {
	tick := time.NewTicker(s.cfg.DigestEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			st, _ := s.log.Watch()
			if !st.Ready || s.quarantined() {
				continue
			}
			if op, due := s.integrity.due(s.cfg.Self.Name); due {
				s.say(op)
			}
		case op := <-s.integrity.steps:
			s.act(&op)
		case <-s.stopped:
			return
		}
	}
}

// say puts a step into the log, or lets it be: what matters is found again.
func (s *Store) say(op command.Integrity) bool {
	ctx, cancel := context.WithTimeout(context.Background(), sayLimit)
	defer cancel()
	_, err := s.mutate(ctx, &vfs.Call{}, &op)
	if err != nil {
		s.logger.Debug("a step of the comparison was not told", "step", op.Step, "index", op.Index, "err", err)
	}
	return err == nil
}

// act does what a step asks for.
func (s *Store) act(op *command.Integrity) {
	switch op.Step {
	case command.DigestMarker:
		s.compare(op)
	case command.DigestEqual:
		s.keepCheckpoint(raftlog.Index(op.Index))
	case command.DigestDiffers:
		s.logger.Error("the copies of the two data nodes differ: both are read and compared with what was written",
			"index", op.Index, "found_by", op.Node)
		s.background(func() { s.scanForDispute(raftlog.Index(op.Index)) })
	case command.ScanSound, command.ScanDamaged:
		s.judgeScans(raftlog.Index(op.Index))
	default:
		s.judgeReplays(raftlog.Index(op.Index))
	}
}

// compare holds the leader's digest against this node's own of the same entry.
func (s *Store) compare(op *command.Integrity) {
	own, ok := s.integrity.ownMark(raftlog.Index(op.Index))
	if !ok || s.quarantined() {
		return // not applied by this process: nothing was noted
	}
	answer := command.Integrity{Step: command.DigestEqual, Node: s.cfg.Self.Name, Index: op.Index, Digest: own.digest}
	if own.digest != state.Digest(op.Digest) {
		answer.Step = command.DigestDiffers
		if s.integrity.underWay(s.log.Term()) {
			return
		}
	}
	s.say(answer)
}

// underWay tells whether a difference is being looked into already. In another term
// the other node may be another process, which knows nothing of it.
func (in *integrity) underWay(term raftlog.Term) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.dispute != nil && in.mu.dispute.term == term
}

// background runs work that takes long, until the Store stops.
func (s *Store) background(f func()) { s.running.Go(f) }

// untilStopped returns a context that ends with Stop.
func (s *Store) untilStopped() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-s.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
