package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"twofold/replica/state"
	"twofold/replica/vfs"
)

// Pauses of a node whose copy is in quarantine.
const (
	// yieldPause is between attempts to hand the lead over, and between two looks at
	// what is to be done for another copy.
	yieldPause = 200 * time.Millisecond
)

// quarantine says that this node's copy is not to be used (rule W6): nothing is
// applied to it or read from it, reads and changes go to the leader, and the node
// votes and keeps the log as a witness does.
type quarantine struct {
	on atomic.Bool

	mu struct {
		sync.Mutex
		why    state.Quarantine
		noted  bool          // why is written down, or cannot be
		begun  chan struct{} // closed while on
		over   chan struct{} // closed while off
		resume func()        // takes leases again
	}
}

func newQuarantine() *quarantine {
	q := &quarantine{}
	q.mu.begun, q.mu.over = make(chan struct{}), reached
	return q
}

// over returns a channel that is closed when the copy is in use.
func (q *quarantine) over() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.over
}

func (q *quarantine) begun() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.begun
}

// enter notes why, and reports whether it is news.
func (q *quarantine) enter(why state.Quarantine) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.on.Load() {
		return false
	}
	q.mu.why, q.mu.noted = why, false
	q.on.Store(true)
	close(q.mu.begun)
	q.mu.over = make(chan struct{})
	return true
}

// openState opens the node's copy, and tells why it is in quarantine if it is.
func openState(cfg *Config) (*state.State, *state.Quarantine, error) {
	for _, suffix := range []string{nextSuffix, replaySuffix} { // a restart knows nothing of these
		if err := state.RemoveCopy(cfg.Dir+suffix, cfg.State); err != nil {
			return nil, nil, fmt.Errorf("replica: a copy of the state: %w", err)
		}
	}
	st, err := state.Open(cfg.Dir, cfg.State)
	if errors.Is(err, vfs.ErrCorrupt) {
		kept, aside := state.SetAside(cfg.Dir, cfg.State, err)
		if aside != nil {
			return nil, nil, fmt.Errorf("replica: this node's copy of the volume cannot be opened, and cannot be set aside either: %w", errors.Join(err, aside))
		}
		cfg.Logger.Error("this node's copy of the volume cannot be opened: it is kept beside, and another one is asked for", "err", err, "kept", kept)
		st, err = state.Open(cfg.Dir, cfg.State)
	}
	if err != nil {
		return nil, nil, err
	}
	// Only now is it settled which directory the state has.
	why, err := state.ReadQuarantine(cfg.Dir, cfg.State)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	if why != nil {
		cfg.Logger.Error("this node's copy of the volume is out of use", "cause", string(why.Cause), "err", why.Detail, "index", why.Index)
	}
	return st, why, nil
}

// Unfit tells the log that this node is no more than a witness for now (rule W6).
func (s *Store) Unfit() bool { return s.quarantined() }

// Stateless tells the log that this node has no copy that the log goes on from: it
// keeps its log as a witness does.
func (s *Store) Stateless() bool {
	index, _ := s.state.Durable()
	why, on := s.Quarantined()
	return on && (index == 0 || why.Cause == state.CauseLost)
}

// Lost is told by the log that it does not reach back to this copy, and reports
// whether the copy is out of use now. One that is empty is more likely a disk that is
// not mounted, and a person's business.
func (s *Store) Lost(why error) bool {
	if index, _ := s.state.Durable(); index == 0 {
		return false
	}
	s.setQuarantine(state.CauseLost, why)
	return true
}

func (s *Store) quarantined() bool { return s.quarantine.on.Load() }

// Quarantined tells why this node's copy is not used, and false if it is.
func (s *Store) Quarantined() (state.Quarantine, bool) {
	q := s.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.why, q.on.Load()
}

// damaged puts the copy into quarantine if err says that it is damaged, and reports
// whether it is in quarantine now.
func (s *Store) damaged(err error) bool {
	if errors.Is(err, vfs.ErrCorrupt) {
		s.setQuarantine(state.CauseUnreadable, err)
	}
	return s.quarantined()
}

// setQuarantine takes this node's copy out of use until it has another one: it is written down
// before anybody hears of it from this node, but what is not written down still
// holds for this process.
func (s *Store) setQuarantine(cause state.Cause, why error) {
	index, _ := s.state.Applied()
	q := state.Quarantine{Cause: cause, Detail: why.Error(), Index: index}
	if !s.quarantine.enter(q) {
		return
	}
	s.logger.Error("this node's copy of the volume is out of use", "cause", string(cause), "err", why, "index", index)
	s.metrics.SetQuarantined(true)
	s.catchUp.setStaged(0, 0) // it may have been made after the word of the damaged one
	if err := state.WriteQuarantine(s.cfg.Dir, s.cfg.State, q); err != nil {
		s.logger.Error("the quarantine could not be written down: after a restart it is found anew", "err", err)
	}
	s.quarantine.note()
}

func (q *quarantine) note() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.noted = true
}

func (q *quarantine) isNoted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.noted
}

// LiftQuarantine uses this node's copy again, if a good state has taken its place:
// the file that says otherwise lies in the directory of the bad one.
func (s *Store) LiftQuarantine() error {
	why, err := state.ReadQuarantine(s.cfg.Dir, s.cfg.State)
	if err != nil {
		return err
	}
	q := s.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	if why != nil || !q.on.Load() {
		return nil
	}
	q.mu.why, q.mu.begun = state.Quarantine{}, make(chan struct{})
	s.compileClients()
	q.on.Store(false)
	close(q.mu.over)
	s.face.put(nil, nil)
	s.metrics.SetQuarantined(false)
	if q.mu.resume != nil {
		q.mu.resume()
		q.mu.resume = nil
	}
	s.refetchSays(false, "")
	s.logger.Info("this node's copy of the volume is in use again")
	return nil
}

// runQuarantine does what a node in quarantine has to do: it returns its lease,
// hands the lead over, and asks for another copy if its own is known to be bad.
func (s *Store) runQuarantine() {
	var asked time.Time // for the tables
	for {
		select {
		case <-s.quarantine.begun():
		case <-s.stopped:
			return
		}
		s.returnLease()
		if time.Since(asked) >= faceEvery {
			asked = time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
			if err := s.borrowFace(ctx); err != nil {
				s.logger.Debug("the volume's tables", "err", err)
			}
			cancel()
		}
		s.yield()
		s.refetch()
		select {
		case <-time.After(yieldPause):
		case <-s.stopped:
			return
		}
	}
}

func (s *Store) returnLease() {
	q := s.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.on.Load() && q.mu.resume == nil {
		q.mu.resume = s.log.GiveUpLease()
	}
}

// yield hands the lead to another data node.
func (s *Store) yield() {
	if st, _ := s.log.Watch(); !st.IsLeader {
		return
	}
	for _, peer := range s.cfg.Peers {
		ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
		err := s.log.TransferLeadership(ctx, peer)
		cancel()
		if err == nil {
			return
		}
		s.logger.Warn("a node with a damaged copy leads and cannot hand over", "peer", peer, "err", err)
	}
}
