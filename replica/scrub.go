package replica

import (
	"errors"
	"fmt"
	"time"

	"twofold/replica/state"
)

// ErrScrubRuns is returned if a scan is asked for while one is under way.
var ErrScrubRuns = errors.New("replica: this node's copy is being scanned already")

// ScrubStatus is how the scan that runs or ran last goes.
type ScrubStatus struct {
	Running  bool
	Began    time.Time
	Ended    time.Time
	Records  uint64 // that were read
	Bytes    uint64
	Expected uint64 // bytes, about; records that are not data are not in it
	Index    uint64 // the scan is of this entry
	Damaged  int    // buckets whose records are not what was written
	Err      string // why it could not be made
}

// IntegrityStatus is what a node knows of how sound its copy is.
type IntegrityStatus struct {
	Agreed     uint64 // the last entry at which both nodes had the same digest
	Mismatches uint64 // since the start
	Disputed   uint64 // the entry of a difference that is not settled; zero if there is none
	Quarantine *state.Quarantine
	Refetch    string // how the copy that is to replace a damaged one comes along; empty without one
	Refetched  uint64 // damaged copies that were replaced since the start
	Scrub      ScrubStatus
}

// Integrity tells how sound this node's copy is.
func (s *Store) Integrity() IntegrityStatus {
	in := s.integrity
	in.mu.Lock()
	r := IntegrityStatus{Agreed: uint64(in.mu.agreed), Mismatches: in.mu.mismatches, Scrub: in.mu.scrub}
	if in.mu.dispute != nil {
		r.Disputed = uint64(in.mu.dispute.index)
	}
	in.mu.Unlock()
	if q, on := s.Quarantined(); on {
		r.Quarantine = &q
	}
	r.Refetch, r.Refetched = s.refetching.says()
	return r
}

// Scrub begins a scan of this node's copy in the background.
func (s *Store) Scrub() error {
	if !s.beginScan() {
		return ErrScrubRuns
	}
	s.background(func() {
		if _, err := s.scan(); err != nil {
			s.logger.Warn("the scan of this node's copy was not made", "err", err)
		}
	})
	return nil
}

// scrub reads the copy and compares it with what was written. A copy that is not
// what was written goes into quarantine.
func (s *Store) scrub() (state.Scan, error) {
	if !s.beginScan() {
		return state.Scan{}, ErrScrubRuns
	}
	return s.scan()
}

// beginScan reports false if a scan is under way.
func (s *Store) beginScan() bool {
	in := s.integrity
	_, bytes := s.state.Stats()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.scrub.Running {
		return false
	}
	in.mu.scrub = ScrubStatus{Running: true, Began: time.Now(), Expected: bytes}
	return true
}

// scan makes the scan that was begun.
func (s *Store) scan() (state.Scan, error) {
	in := s.integrity
	ctx, cancel := s.untilStopped()
	defer cancel()
	r, err := s.state.Scrub(ctx, state.ScanOptions{BytesPerSecond: s.cfg.ScrubRate, Progress: func(records, bytes uint64) {
		in.mu.Lock()
		in.mu.scrub.Records, in.mu.scrub.Bytes = records, bytes
		in.mu.Unlock()
		s.metrics.SetScrub(bytes, true)
	}})
	switch {
	case err != nil:
		s.damaged(err)
	case r.Err() != nil:
		s.setQuarantine(state.CauseScan, r.Err())
	default:
		s.logger.Info("this node's copy was read and is what was written", "index", r.Index)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	at := &in.mu.scrub
	at.Running, at.Ended, at.Index, at.Damaged = false, time.Now(), r.Index, len(r.Damaged)
	if err != nil {
		at.Err = err.Error()
		err = fmt.Errorf("replica: scan: %w", err)
	}
	s.metrics.SetScrub(at.Bytes, false)
	return r, err
}
