package load

import (
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Range and precision of latencies: microseconds, to one in a hundred.
const (
	minLatency    = 1
	maxLatency    = int64(10 * time.Minute / time.Microsecond)
	latencyDigits = 2
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(minLatency, maxLatency, latencyDigits)
}

// observe records a duration; what is longer than the range counts as its end.
func observe(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), minLatency), maxLatency)) // it fails outside of the range only
}

// tally is what one caller counted within the measured time.
type tally struct {
	ops      atomic.Int64 // read by who tells of progress
	units    int64
	calls    int64
	jukebox  int64
	lost     int64
	repeated int64
	errors   map[string]int64
	latency  *hdrhistogram.Histogram
	procs    [len(procNames)]*hdrhistogram.Histogram // nil for those that were not called
}

func newTally() *tally { return &tally{errors: make(map[string]int64), latency: newHistogram()} }

func (t *tally) call(proc uint32, d time.Duration) {
	t.calls++
	if t.procs[proc] == nil {
		t.procs[proc] = newHistogram()
	}
	observe(t.procs[proc], d)
}

func (t *tally) operation(d time.Duration, units int64) {
	t.ops.Add(1)
	t.units += units
	observe(t.latency, d)
}

// add adds another caller's counts.
func (t *tally) add(o *tally) {
	t.ops.Add(o.ops.Load())
	t.units += o.units
	t.calls += o.calls
	t.jukebox += o.jukebox
	t.lost += o.lost
	t.repeated += o.repeated
	for what, n := range o.errors {
		t.errors[what] += n
	}
	t.latency.Merge(o.latency)
	for i, h := range o.procs {
		if h == nil {
			continue
		}
		if t.procs[i] == nil {
			t.procs[i] = newHistogram()
		}
		t.procs[i].Merge(h)
	}
}
