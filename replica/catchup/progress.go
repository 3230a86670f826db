package catchup

import (
	"sync"
	"time"
)

// Progress is how far the transfers of a node are. Its zero value is not usable;
// a nil Progress is not either.
type Progress struct {
	mu sync.Mutex
	s  Status
}

// Status is a transfer at one moment, or the last one there was.
type Status struct {
	Active  bool
	Taking  bool      // this node is given a state; otherwise it sends one
	Index   uint64    // of the view
	Begun   time.Time // zero if there never was a transfer
	Ended   time.Time
	Bytes   uint64 // of this transfer
	Done    uint32 // buckets that are alike again
	Differ  uint32 // buckets that differed
	Total   uint64 // bytes of all transfers since the process started
	Failure string // of the last one; empty if it succeeded
}

// NewProgress returns one without a transfer.
func NewProgress() *Progress { return &Progress{} }

// Status returns how far it is.
func (p *Progress) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

// Rate returns the bytes a second of the transfer so far.
func (s Status) Rate(now time.Time) float64 {
	if !s.Active {
		now = s.Ended
	}
	d := now.Sub(s.Begun).Seconds()
	if s.Begun.IsZero() || d <= 0 {
		return 0
	}
	return float64(s.Bytes) / d
}

// Left estimates the time that is left from the buckets that are done; false if
// nothing can be said yet.
func (s Status) Left(now time.Time) (time.Duration, bool) {
	if !s.Active || s.Done == 0 || s.Differ < s.Done {
		return 0, false
	}
	return time.Duration(float64(now.Sub(s.Begun)) / float64(s.Done) * float64(s.Differ-s.Done)), true
}

func (p *Progress) begin(taking bool, index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s = Status{Active: true, Taking: taking, Index: index, Begun: time.Now(), Total: p.s.Total}
}

func (p *Progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.Bytes += uint64(n)
	p.s.Total += uint64(n)
}

func (p *Progress) buckets(done, differ uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.Done, p.s.Differ = done, differ
}

func (p *Progress) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.Active, p.s.Ended = false, time.Now()
	if err != nil {
		p.s.Failure = err.Error()
	}
}
