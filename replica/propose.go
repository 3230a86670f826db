package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

// pending is one change on its way into the log.
type pending struct {
	origin command.Origin
	term   uint64 // under which this node took it, as the leader
	touch  touch
	enc    []byte // unsealed command
}

// runPropose is the propose goroutine: one entry at a time, each with what
// gathered while the one before was on its way.
func (s *Store) runPropose() {
	var batch []pending
	for {
		batch = s.gather(batch[:0])
		if len(batch) == 0 {
			return // stopped
		}
		index, n := s.proposeBatch(batch)
		if index != 0 && len(s.held) == 0 {
			s.linger(index, n)
		}
	}
}

// gather waits for one change and takes what else is there, up to the limits
// of an entry. What was held back comes first. A change that would make the entry
// too large is held back for the next one.
func (s *Store) gather(batch []pending) []pending {
	select {
	case <-s.stopped:
		return nil
	default:
	}
	batch = append(batch, s.held...)
	clear(s.held)
	s.held = s.held[:0]
	if len(batch) == 0 {
		select {
		case p := <-s.queue:
			s.unreserve(p.enc)
			batch = append(batch, p)
		case <-s.stopped:
			return nil
		}
	}
	size := 0
	for i := range batch {
		if size += len(batch[i].enc); i > 0 && (size > maxEntryBytes || i == command.MaxBatchOps) {
			return s.hold(batch, i)
		}
	}
	for len(batch) < command.MaxBatchOps {
		select {
		case p := <-s.queue:
			s.unreserve(p.enc)
			batch = append(batch, p)
			if size += len(p.enc); size > maxEntryBytes {
				return s.hold(batch, len(batch)-1)
			}
		default:
			return batch
		}
	}
	return batch
}

// hold keeps the changes from number n on for the next entries, before those that
// are held back already, and returns the changes before n. No more are held back
// than one entry takes, and one.
func (s *Store) hold(batch []pending, n int) []pending {
	s.held = slices.Insert(s.held, 0, batch[n:]...)
	return batch[:n]
}

// proposeBatch writes batch, or as much of it as can be resolved together, as one
// log entry and waits until it is committed. It returns the entry's index and the
// number of changes in it, or 0 if nothing was committed.
func (s *Store) proposeBatch(batch []pending) (raftlog.Index, int) {
	st, changed := s.log.Watch()
	term := uint64(st.Term)
	batch = slices.DeleteFunc(batch, func(p pending) bool {
		stays := st.IsLeader && st.Ready && p.term == term && !s.quarantined()
		if !stays {
			s.waiters.end(p.origin, p.term, fateDropped)
		}
		return !stays
	})
	if len(batch) == 0 {
		return 0, 0
	}
	n, behind := s.resolve(batch)
	batch = s.hold(batch, n)
	if n == 0 && s.awaitNames(behind, changed) {
		return 0, 0
	}
	return s.proposeEntry(term, batch), n
}

// proposeEntry writes one log entry of changes that s.resolver has resolved.
func (s *Store) proposeEntry(term uint64, batch []pending) raftlog.Index {
	now := s.clock.now(term, s.state.LastTime())
	verdict := s.disk.verdict()
	encs := make([][]byte, 0, len(batch))
	for _, p := range batch {
		command.Mark(p.enc, verdict)
		command.Seal(p.enc, now, rand.Uint64())
		encs = append(encs, p.enc)
	}
	start := time.Now()
	entry := appendEntry(nil, term, s.resolver.keys, encs)
	s.disk.spend(len(entry))
	prop := s.log.Propose(entry)
	select {
	case <-prop.Done():
	case <-s.stopped:
		// A log whose disk hangs, or that was shut down with proposals in
		// flight, may never answer. Whoever waits here is told by Stop.
		return 0
	}
	err := prop.Err()
	switch {
	case err == nil && len(batch) == 0:
		return prop.Index()
	case err == nil:
		s.metrics.ObserveBatch(len(encs), len(entry), time.Since(start))
		return prop.Index()
	}
	for _, p := range batch {
		s.settle(p, errors.Is(err, raftlog.ErrNotLeader))
	}
	return 0
}

// settle tells who waits for p that its entry was not committed under this
// leader. If it never will be, the change may be handed over again; if that is
// not known, only those who forwarded it are told: a waiter on this node learns
// it from the log.
func (s *Store) settle(p pending, never bool) {
	switch {
	case never:
		s.waiters.end(p.origin, p.term, fateDropped)
	case p.origin.Instance != s.instance:
		s.waiters.end(p.origin, p.term, fateUnknown)
	}
}

// runLead begins each of this node's terms with an entry of its own, so that
// every node learns which older changes never happened, and formats the
// volume if there is none.
func (s *Store) runLead() {
	var begun raftlog.Term
	for {
		st, changed := s.log.Watch()
		if st.Ready && st.Term != begun {
			if s.beginTerm(changed) {
				begun = st.Term
				continue
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-s.stopped:
				return
			}
			continue
		}
		select {
		case <-changed:
		case <-s.stopped:
			return
		}
	}
}

// beginTerm writes the first entry of a term and reports whether it is there.
// It gives up when the term is lost: what became of its entry then shows only
// once a later term has begun, perhaps by this very goroutine.
func (s *Store) beginTerm(lost <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.WaitLimit)
	defer cancel()
	go func() {
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	if _, err := s.mutate(ctx, &vfs.Call{}, &command.Nop{}); err != nil {
		return false
	}
	if _, err := s.state.Volume(); err != nil && !s.format(ctx) {
		return false
	}
	return s.setLimits(ctx)
}

// format makes the volume and reports whether it is there.
func (s *Store) format(ctx context.Context) bool {
	format, err := s.newFormat()
	if err != nil {
		s.fail(err)
		return false
	}
	res, err := s.mutate(ctx, &vfs.Call{}, &format)
	if err == nil && res.Kind != vfs.OK && res.Kind != vfs.Exist {
		s.fail(fmt.Errorf("replica: the volume cannot be formatted as configured: %s", res.Kind))
	}
	return err == nil
}

// setLimits brings this leader's limits into the state, where they hold for both
// nodes, and reports whether they are there.
func (s *Store) setLimits(ctx context.Context) bool {
	have, want := s.state.Duplicates().Limit, s.cfg.DuplicateBytes
	if have == want {
		return true
	}
	res, err := s.mutate(ctx, &vfs.Call{}, &command.SetLimits{DuplicateBytes: want})
	if err != nil {
		return false
	}
	if res.Kind != vfs.OK {
		s.fail(fmt.Errorf("replica: a duplicate request cache of %d bytes: %s", want, res.Kind))
		return false
	}
	s.logger.Info("the limit of the duplicate request cache is this node's now", "limit_bytes", want, "before_bytes", have)
	return true
}
