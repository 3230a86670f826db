package replica

import (
	"errors"
	"fmt"
	"time"

	"twofold/raftlog"
	"twofold/replica/state"
)

// Copies of the state beside it. They share its files.
const (
	// agreedSuffix is of a copy on which both nodes had agreed.
	agreedSuffix = ".agreed"
	// nextSuffix is of one on which they have not agreed yet.
	nextSuffix = ".agreed-next"
	// replaySuffix is of one to which the log is applied.
	replaySuffix = ".replay"
)

// What a state takes in memory to which the log is applied once more.
const (
	replayCache    = 8 << 20
	replayMemTable = 16 << 20
)

// checkpoints are the copies that rule M5 may need. They belong to whoever has set
// busy; two are kept at most.
type checkpoints struct {
	busy  chan struct{} // capacity 1: taken by who is at it
	taken time.Time
	bound raftlog.Index // the copy that is not agreed on is of no later entry; zero if there is none
}

func newCheckpoints() *checkpoints {
	return &checkpoints{busy: make(chan struct{}, 1), taken: time.Now()}
}

// keepCheckpoint is told of an agreement. A copy that was taken before it is good
// from now on, and now and then another one is taken.
func (s *Store) keepCheckpoint(agreed raftlog.Index) {
	c := s.checkpoints
	select {
	case c.busy <- struct{}{}:
	default:
		return
	}
	s.background(func() {
		defer func() { <-c.busy }()
		if err := s.moveCheckpoints(agreed); err != nil {
			s.logger.Warn("no copy of the state was kept for comparisons", "err", err)
		}
	})
}

func (s *Store) moveCheckpoints(agreed raftlog.Index) error {
	c, dir := s.checkpoints, s.cfg.Dir
	if c.bound != 0 && agreed >= c.bound {
		c.bound = 0
		if err := state.MoveCopy(dir+nextSuffix, dir+agreedSuffix, s.cfg.State); err != nil {
			return err
		}
	}
	switch {
	case s.disk.tight():
		// The copies keep files that the store has replaced: space comes first.
		c.bound = 0
		return errors.Join(state.RemoveCopy(dir+nextSuffix, s.cfg.State), state.RemoveCopy(dir+agreedSuffix, s.cfg.State))
	case c.bound != 0 || time.Since(c.taken) < s.cfg.CheckpointEvery || s.quarantined():
		return nil
	}
	c.taken = time.Now()
	if err := s.state.Checkpoint(dir + nextSuffix); err != nil {
		return err
	}
	index, _ := s.state.Applied()
	c.bound = raftlog.Index(index)
	return nil
}

// replay applies the log, from the last copy that both nodes had agreed on up to an
// entry, once more to that copy, and returns the digest that comes of it.
func (s *Store) replay(to raftlog.Index) (digest state.Digest, err error) {
	c, good, dir := s.checkpoints, s.cfg.Dir+agreedSuffix, s.cfg.Dir+replaySuffix
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-s.stopped:
		return digest, errors.New("replica: stopped")
	}
	there, err := state.Exists(good, s.cfg.State)
	if err != nil || !there {
		return digest, errors.Join(errors.New("replica: there is no copy yet on which both nodes agreed"), err)
	}
	if err := state.LinkCopy(good, dir, s.cfg.State); err != nil {
		return digest, fmt.Errorf("replica: a copy for a replay: %w", err)
	}
	defer func() { err = errors.Join(err, state.RemoveCopy(dir, s.cfg.State)) }()
	o := s.cfg.State
	o.CacheBytes, o.MemTableBytes = replayCache, replayMemTable
	st, err := state.Open(dir, o)
	if err != nil {
		return digest, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return s.replayOn(st, to)
}

func (s *Store) replayOn(st *state.State, to raftlog.Index) (state.Digest, error) {
	ctx, cancel := s.untilStopped()
	defer cancel()
	scan, err := st.Scrub(ctx, state.ScanOptions{BytesPerSecond: s.cfg.ScrubRate})
	if err = errors.Join(err, scan.Err()); err != nil {
		return state.Digest{}, fmt.Errorf("replica: the copy that both agreed on is damaged: %w", err)
	}
	if scan.Index > uint64(to) {
		return state.Digest{}, fmt.Errorf("replica: the copy that both agreed on is of entry %d, after %d", scan.Index, to)
	}
	err = s.log.Entries(raftlog.Index(scan.Index)+1, to, func(e raftlog.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return applyTo(st, e)
	})
	digest, _, _ := st.RunningDigest()
	return digest, err
}

// applyTo applies one entry to a copy, and answers nobody.
func applyTo(st *state.State, e raftlog.Entry) error {
	se, _, err := decodeForState(e)
	if err != nil {
		return err
	}
	return st.ApplyAll([]state.Entry{se})
}
