package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// This file brings a good copy to a node whose own is known to be damaged.
//
//  1. The node asks another data node for a state of what was delivered to it, or later.
//  2. That one, if nothing speaks against its own copy, brings it as in any other
//     transfer (package catchup): staged beside the damaged one, of an entry I.
//  3. Once this node's own log has that same entry, the staged state takes the damaged
//     one's place, and with it goes the file that keeps the quarantine.
//  4. The entries from I+1 on are applied from this node's log, and the copy is in use.
//
// Raft has no part in it: its log goes on all the time. If that does not reach back
// to I (rule M4), the leader brings a state together with a marker, as to any node
// that was away for too long. After a crash each step is found as it is: nothing
// staged, or a part of it, or a good copy that needs its log.

// Steps of it, as Config.Failpoint is told of them.
const (
	StepAsk     = "ask"     // before another node is asked
	StepReplace = "replace" // before the damaged copy is replaced
	StepReplay  = "replay"  // before entries of the own log are applied to the good one
	StepLift    = "lift"    // before the copy is in use
)

const (
	// refetchPause is between two requests for another copy, at first, and
	// refetchPauseMax later.
	refetchPause    = 500 * time.Millisecond
	refetchPauseMax = 10 * time.Second
	// refetchStart is how long a node that agreed to bring a state may take to begin.
	refetchStart = 5 * time.Second
	// joinLimit is how long a state may wait for this node's log to reach its entry.
	joinLimit = 30 * time.Second
	// replayStep is how many entries are applied between two looks at what is new.
	replayStep = 256
)

// refetching is what a Store knows of the replacement of its copy. What is not
// under mu is the quarantine goroutine's.
type refetching struct {
	next   time.Time
	pause  time.Duration
	staged raftlog.Index // of the state that is to be used
	since  time.Time     // when that was seen first

	mu struct {
		sync.Mutex
		status string // for people; empty if there is nothing to do
		count  uint64 // copies that were replaced
	}
}

// refetchSays notes what goes on, and logs it if it is news.
func (s *Store) refetchSays(waiting bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r := &s.refetching
	r.mu.Lock()
	news := r.mu.status != text
	r.mu.status = text
	r.mu.Unlock()
	s.metrics.SetRefetchWaiting(waiting)
	if news && text != "" {
		s.logger.Info("another copy of the volume for this node", "state", text)
	}
}

func (r *refetching) says() (string, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.status, r.mu.count
}

// refetch takes the next step to another copy in place of one that is known to be
// bad. One that is only suspected is never replaced (rule M5).
func (s *Store) refetch() {
	why, on := s.Quarantined()
	switch {
	case !on:
		return
	case !why.Cause.Damaged():
		s.refetchSays(true, "none is asked for: a person has to decide")
		return
	case !s.quarantine.isNoted():
		return // a crash must not find the damaged copy in use
	case s.replayBegun.Load():
		return // the apply goroutine is at it
	}
	if st, _ := s.log.Watch(); st.IsLeader {
		s.refetchSays(true, "this node leads and has to hand over first")
		return
	}
	if index, term := s.catchUp.staged(); index != 0 {
		s.takeOver(raftlog.Index(index), raftlog.Term(term))
		return
	}
	if s.catchUp.sink.Active() {
		s.refetchSays(false, "it is being brought")
		return
	}
	r := &s.refetching
	if time.Now().Before(r.next) {
		return
	}
	if r.pause = min(2*r.pause, refetchPauseMax); r.pause == 0 {
		r.pause = refetchPause
	}
	wait := r.pause
	if err := s.requestState(why); err != nil {
		s.refetchSays(true, "waiting: %v", err)
	} else {
		wait = max(wait, refetchStart)
	}
	r.next = time.Now().Add(wait)
}

// requestState asks the other data nodes to bring a state.
func (s *Store) requestState(why state.Quarantine) error {
	if s.cfg.Refetch != nil {
		if err := s.cfg.Refetch(why); err != nil {
			return err
		}
	}
	s.failpoint(StepAsk)
	at := max(s.delivered.Load(), uint64(s.applied.load()), 1)
	op := command.Read{Kind: command.ReadFetch, Offset: at}
	err := errors.New("there is no other data node")
	for _, name := range s.otherNames() {
		ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
		status, body, rerr := s.peers.Read(ctx, name, command.AppendRead(nil, &op))
		cancel()
		if rerr == nil && status != peer.StatusOK {
			rerr = fmt.Errorf("it refuses (status %d)", status)
		}
		if rerr == nil {
			var refusal string
			if refusal, rerr = command.DecodeFetch(body); rerr == nil && refusal != "" {
				rerr = errors.New(refusal)
			}
		}
		if rerr == nil {
			s.refetchSays(false, "%s brings it", name)
			return nil
		}
		err = fmt.Errorf("%s: %w", name, rerr)
	}
	if failure := s.catchUp.sink.Progress.Status().Failure; failure != "" {
		err = fmt.Errorf("%w (the last transfer ended: %s)", err, failure)
	}
	return err
}

func (s *Store) otherNames() []string {
	s.others.Lock()
	defer s.others.Unlock()
	return append([]string(nil), s.others.names...)
}

// serveFetch answers ReadFetch: it has another node, whose copy is damaged, given
// this node's, unless something speaks against that.
func (s *Store) serveFetch(from string, at uint64) (refusal string) {
	applied, _ := s.state.Applied()
	switch {
	case s.quarantined():
		return "its own copy is out of use"
	case s.integrity.suspected(s.cfg.Self.Name):
		return "the copies differ, and its own is not proven sound yet"
	case !s.isOther(from):
		return fmt.Sprintf("%q is no data node that it knows", from)
	case applied < at:
		return fmt.Sprintf("it is at entry %d, one of %d is wanted", applied, at)
	case s.disk.room(time.Now()) == 0:
		return "a data node has no space left for what a transfer needs: make room"
	case !s.catchUp.giving.CompareAndSwap(false, true):
		return "it is giving its state away already"
	}
	s.background(func() {
		defer s.catchUp.giving.Store(false)
		ctx, cancel := s.untilStopped()
		defer cancel()
		if err := s.Bring(ctx, from, raftlog.Index(at)); err != nil {
			s.logger.Warn("a node with a damaged copy has not got another one yet", "peer", from, "err", err)
		}
	})
	return ""
}

func (s *Store) isOther(name string) bool {
	s.others.Lock()
	defer s.others.Unlock()
	return s.others.gone[name] != nil
}

// suspected reports that this node's copy may be the wrong one of two that differ:
// until its own scan, and if neither scan finds damage its own replay, is over. If
// those find damage it is in quarantine.
func (in *integrity) suspected(self string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	d := in.mu.dispute
	if d == nil {
		return false
	}
	if d.scans[self] != command.ScanSound {
		return true
	}
	for node, step := range d.scans {
		if node != self && step == command.ScanSound {
			return d.replays[self] == 0
		}
	}
	return false
}

// takeOver has the staged state of an entry replace the damaged one, once this
// node's log has the entry and goes on from there.
func (s *Store) takeOver(index raftlog.Index, term raftlog.Term) {
	r := &s.refetching
	if r.staged != index {
		r.staged, r.since = index, time.Now()
	}
	err := s.joins(index, term)
	if errors.Is(err, raftlog.ErrNoEntry) && raftlog.Index(s.delivered.Load()) < index && time.Since(r.since) < joinLimit {
		s.refetchSays(false, "it is there, of entry %d, which this node's log has yet to reach", index)
		return
	}
	if err != nil {
		s.refetchSays(true, "the copy that was brought cannot be used: %v", err)
		if err := s.catchUp.sink.Discard(s.cfg.Dir, s.cfg.State); err != nil {
			s.logger.Warn("what was staged cannot be removed", "err", err)
		}
		return
	}
	if err := s.dropCheckpoints(); err != nil {
		s.refetchSays(true, "copies of the damaged state cannot be removed: %v", err)
		return
	}
	s.failpoint(StepReplace)
	done := make(chan error, 1)
	select {
	case s.installs <- func() { done <- s.replaceDamaged(index) }:
	case <-s.broken:
		return
	case <-s.stopped:
		return
	}
	if err := <-done; err != nil {
		s.refetchSays(true, "the damaged copy cannot be replaced: %v", err)
	}
}

// joins checks that this node's log has the entry that a state is of (rule M4): what
// follows it there is what the state lacks. The entry is committed, since another
// node has applied it; so, by the log matching property, is all before it here.
func (s *Store) joins(index raftlog.Index, term raftlog.Term) error {
	return s.log.Entries(index, index, func(e raftlog.Entry) error {
		if e.Term != term {
			return fmt.Errorf("replica: entry %d is of term %d in the log, of term %d in the state", index, e.Term, term)
		}
		return nil
	})
}

// replaceDamaged runs on the apply goroutine. Lemma 17 of docs/consistency.md: no lease is
// held meanwhile, and the new state is of a committed entry that is not before the
// one that the old state was of.
func (s *Store) replaceDamaged(index raftlog.Index) error {
	at, _ := s.catchUp.staged()
	switch {
	case !s.quarantined() || at != uint64(index):
		return nil // a leader's marker has brought another one
	case index < s.applied.load():
		s.catchUp.setStaged(0, 0)
		return fmt.Errorf("replica: it is of entry %d, the damaged one of %d", index, s.applied.load())
	}
	s.catchUp.setStaged(0, 0)
	if err := s.state.Replace(); err != nil {
		if !errors.Is(err, state.ErrNotStaged) {
			s.breakDown(fmt.Errorf("replica: %w", err))
		}
		return err
	}
	s.adopted()
	s.replaying = true
	s.replayBegun.Store(true)
	s.refetchSays(false, "it is in place, of entry %d; the log is applied from there", index)
	return nil
}

// adopted takes note of another state in the old one's place.
func (s *Store) adopted() {
	index, term := s.state.Applied()
	s.appliedTerm = raftlog.Term(term)
	if f, _ := s.face.now(); f == nil {
		s.refreshClients()
	}
	s.applied.advance(raftlog.Index(index))
	// What became of the changes of those who wait is in the new state, or comes
	// later: nobody here saw it happen.
	s.waiters.endAll(term, fateUnknown)
	s.integrity.forget()
}

// replayLog applies the next entries of this node's own log to the new state, and takes
// it into use when it has all that was delivered.
func (s *Store) replayLog() error {
	from := s.applied.load() + 1
	// What the apply goroutine has passed over may not count as delivered yet.
	to := min(raftlog.Index(max(s.seen, s.delivered.Load())), from+replayStep-1)
	if to < from {
		s.failpoint(StepLift)
		return s.endReplay(true)
	}
	s.failpoint(StepReplay)
	var broken error
	err := s.log.Entries(from, to, func(e raftlog.Entry) error {
		_, broken = s.applyNext([]raftlog.Entry{e})
		return broken
	})
	switch {
	case broken != nil && errors.Is(broken, vfs.ErrCorrupt):
		s.setAgain(broken)
	case broken != nil:
		return fmt.Errorf("replica: apply of entry after %d: %w", s.applied.load(), broken)
	case err != nil:
		s.logger.Error("this node's log cannot be applied to the copy that was brought: another one is asked for", "from", from, "err", err)
		return s.endReplay(false)
	}
	return nil
}

// setAgain puts the copy that was just brought into quarantine.
func (s *Store) setAgain(why error) {
	index, _ := s.state.Applied()
	q := state.Quarantine{Cause: state.CauseUnreadable, Detail: why.Error(), Index: index}
	if err := state.WriteQuarantine(s.cfg.Dir, s.cfg.State, q); err != nil {
		s.logger.Error("the quarantine could not be written down: after a restart it is found anew", "err", err)
	}
	s.quarantine.mu.Lock()
	s.quarantine.mu.why = q
	s.quarantine.mu.Unlock()
	s.logger.Error("the copy that was brought is damaged too", "err", why)
	s.replaying = false
	s.replayBegun.Store(false)
}

// endReplay takes the copy into use, or asks for one that is farther.
func (s *Store) endReplay(whole bool) error {
	s.replaying = false
	s.replayBegun.Store(false)
	if !whole || !s.quarantined() {
		return nil
	}
	if err := s.LiftQuarantine(); err != nil {
		return err
	}
	s.refetching.mu.Lock()
	s.refetching.mu.count++
	s.refetching.mu.Unlock()
	s.metrics.Refetched()
	return nil
}

func (s *Store) failpoint(step string) {
	if s.cfg.Failpoint != nil {
		s.cfg.Failpoint(step)
	}
}

// dropCheckpoints removes the copies that were made of a state which is not to be
// used: one must not count as agreed on because the state that replaces it is.
func (s *Store) dropCheckpoints() error {
	c := s.checkpoints
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-s.stopped:
		return vfs.ErrShutdown
	}
	c.bound = 0
	return errors.Join(state.RemoveCopy(s.cfg.Dir+nextSuffix, s.cfg.State), state.RemoveCopy(s.cfg.Dir+agreedSuffix, s.cfg.State))
}
