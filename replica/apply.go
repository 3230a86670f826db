package replica

import (
	"fmt"
	"time"

	"twofold/raftlog"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// Commit takes committed entries from the log (raftlog.StateMachine).
func (s *Store) Commit(entries []raftlog.Entry) {
	if len(entries) == 0 {
		return
	}
	select {
	case s.committed <- entries:
		s.delivered.Store(uint64(entries[len(entries)-1].Index))
	case <-s.broken:
	case <-s.closed:
	}
}

// Recovered implements raftlog.StateMachine.
func (s *Store) Recovered(last raftlog.Index) { s.touched.recovered(last) }

// Appended implements raftlog.StateMachine. Lemma 11 of docs/consistency.md: when
// it returns, every reader knows what the entries touch, and nobody has been told
// yet that this node has them.
func (s *Store) Appended(entries []raftlog.Entry) { s.touched.appended(entries) }

// Truncated implements raftlog.StateMachine.
func (s *Store) Truncated(from raftlog.Index) { s.touched.truncated(from) }

// Applied returns the applied index (raftlog.StateMachine).
func (s *Store) Applied() raftlog.Index { return s.applied.load() }

// Durable returns the index and term up to which the state survives a crash
// (raftlog.StateMachine).
func (s *Store) Durable() (raftlog.Index, raftlog.Term) {
	i, t := s.state.Durable()
	return raftlog.Index(i), raftlog.Term(t)
}

// Flush applies all that was delivered before the call and makes it durable
// (raftlog.StateMachine).
func (s *Store) Flush() error {
	if !s.awaitDelivered() {
		return fmt.Errorf("replica: flush: %w", vfs.ErrShutdown)
	}
	return s.state.Flush()
}

// awaitDelivered waits until all that was delivered before the call is applied, or
// nothing is applied since the copy is in quarantine. It reports false if nothing
// will ever be applied any more.
func (s *Store) awaitDelivered() bool {
	index := raftlog.Index(s.delivered.Load())
	done := s.applied.notify(index)
	defer s.applied.forget(done)
	select {
	case <-done:
		return true
	case <-s.quarantine.begun():
		return true
	case <-s.broken:
		return s.applied.load() >= index
	}
}

// runApply is the apply goroutine.
func (s *Store) runApply() {
	for {
		select {
		case entries := <-s.committed:
			if err := s.applyEntries(entries); err != nil {
				s.breakDown(fmt.Errorf("replica: %w", err))
				return
			}
		case f := <-s.installs:
			f()
		case <-s.replayNext():
			if err := s.replayLog(); err != nil {
				s.breakDown(err)
				return
			}
		case <-s.broken:
			return
		case <-s.closed:
			return
		}
	}
}

// replayNext is closed while the log is applied to a state that replaced a damaged one.
func (s *Store) replayNext() <-chan struct{} {
	if s.replaying {
		return reached
	}
	return nil
}

// watchState ends the Store's work when its state can no longer be written out.
// The apply goroutine may hang in the state by then.
func (s *Store) watchState() {
	for {
		failed := s.state.Failed()
		select {
		case <-failed:
		case <-s.closed:
			return
		}
		if failed != s.state.Failed() {
			continue // another state has its place
		}
		if err := s.state.Failure(); !s.damaged(err) {
			s.breakDown(fmt.Errorf("replica: %w", err))
			return
		}
		// A disk that returns other bytes than it took is no reason to stop the log.
		select {
		case <-s.quarantine.over():
		case <-s.closed:
			return
		}
	}
}

// breakDown ends applying for good, and tells the process why.
func (s *Store) breakDown(err error) {
	s.breakOnce.Do(func() {
		close(s.broken)
		s.fail(err)
	})
}

// applyEntries applies entries, several in one step where several wait.
func (s *Store) applyEntries(entries []raftlog.Entry) error {
	for len(entries) > 0 {
		if s.quarantined() {
			s.passBy(entries)
			return nil
		}
		n, err := s.applyNext(entries)
		switch {
		case err != nil && s.damaged(err):
			s.passBy(entries[:n])
		case err != nil:
			return err
		}
		s.seen = max(s.seen, uint64(entries[n-1].Index))
		entries = entries[n:]
	}
	return nil
}

// passBy leaves entries to the log, which keeps them for the state that comes.
func (s *Store) passBy(entries []raftlog.Entry) {
	for _, e := range entries {
		s.seen = max(s.seen, uint64(e.Index))
		s.follow(e)
	}
}

// applyNext applies the first of entries in one step, moves the applied index on, and
// answers who waits for their changes. It returns how many it took, also with an
// error.
func (s *Store) applyNext(entries []raftlog.Entry) (n int, err error) {
	start, g := time.Now(), &s.group
	n, err = g.fill(entries, s.applied.load())
	if err != nil || len(g.entries) == 0 {
		return n, err
	}
	if err := s.state.ApplyAll(g.entries); err != nil {
		return n, err
	}
	for i := range g.entries {
		e := &g.entries[i]
		s.noteIntegrity(raftlog.Index(e.Index), raftlog.Term(e.Term), e.Commands)
	}
	if !s.replaying { // until it is over the leader's tables are in use
		s.refreshClients()
	}
	s.applied.advance(raftlog.Index(g.entries[len(g.entries)-1].Index))
	for i := range g.entries {
		s.answer(&g.entries[i], &g.handed[i])
	}
	s.metrics.ObserveApply(time.Since(start))
	return n, nil
}

// answer tells who waits for changes of an entry what became of them.
func (s *Store) answer(e *state.Entry, h *handed) {
	if h.dropped(e) {
		// The proposer lost its leadership and won it again before Raft took
		// the entry. Its callers may have been told that it never happened.
		for i := range h.cmds {
			s.waiters.end(h.cmds[i].Origin, h.term, fateDropped)
		}
	}
	for i := range e.Results {
		s.waiters.applied(e.Commands[i].Origin, &e.Results[i])
	}
	s.endOlder(raftlog.Term(e.Term))
}

// endOlder settles the changes that were handed over in terms before t, now
// that an entry of t is applied: what was not seen by now never happened.
func (s *Store) endOlder(t raftlog.Term) {
	if t > s.appliedTerm {
		s.appliedTerm = t
		s.waiters.endBelow(uint64(t), fateDropped)
	}
}
