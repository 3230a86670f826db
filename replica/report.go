package replica

import (
	"time"

	"twofold/replica/state"
)

const (
	// reportEvery is how often the metrics get the state's figures.
	reportEvery = time.Second
	// warnEvery is the least time between two warnings about the same.
	warnEvery = time.Minute
)

// runReport brings the state's figures into the metrics, and warns while the
// duplicate request cache is too small.
func (s *Store) runReport() {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var r report
	for {
		inodes, bytes := s.state.Stats()
		s.metrics.SetState(inodes, bytes)
		s.report(&r, s.state.Duplicates(), time.Now())
		select {
		case <-tick.C:
		case <-s.stopped:
			return
		}
	}
}

// report is what runReport has said so far.
type report struct {
	last   state.Duplicates
	warned time.Time
	forced uint64 // when it warned
}

func (s *Store) report(r *report, d state.Duplicates, now time.Time) {
	s.metrics.SetDuplicates(d.Records, d.Bytes, d.Limit, d.Forced-r.last.Forced, d.Hits-r.last.Hits)
	r.last = d
	if d.Forced == r.forced || now.Sub(r.warned) < warnEvery {
		return
	}
	s.logger.Warn("the duplicate request cache is too small: answers leave before their time, and a call that comes again late may run twice; raise duplicates in the config of both data nodes",
		"evicted", d.Forced-r.forced, "records", d.Records, "limit_bytes", d.Limit)
	r.forced, r.warned = d.Forced, now
}
