package load

import "github.com/HdrHistogram/hdrhistogram-go"

// Result is what a cell measured.
type Result struct {
	Workload    string   `json:"workload"`
	Operation   string   `json:"operation"` // what one is
	Targets     []string `json:"targets"`
	Callers     int      `json:"callers"`
	Connections int      `json:"connections"` // to each target
	Seconds     float64  `json:"seconds"`     // measured
	Ops         int64    `json:"ops"`
	OpsRate     float64  `json:"ops_per_second"`
	Unit        string   `json:"unit,omitempty"` // what there are several of in one operation
	Units       int64    `json:"units,omitempty"`
	UnitRate    float64  `json:"units_per_second,omitempty"`
	Calls       int64    `json:"calls"`
	Latency     Latency  `json:"latency_us"`
	// Procedures has the calls by their procedure, failed ones left out.
	Procedures map[string]Procedure `json:"procedures"`
	Errors     map[string]int64     `json:"errors"` // by procedure and status
	Lost       int64                `json:"lost"`   // calls without an answer in time
	Jukebox    int64                `json:"jukebox"`
	Repeated   int64                `json:"repeated"`          // calls that were sent again over a new connection, since theirs failed
	Stopped    bool                 `json:"stopped,omitempty"` // before its time
}

// Procedure is what a procedure's calls took.
type Procedure struct {
	Calls   int64   `json:"calls"`
	Latency Latency `json:"latency_us"`
}

// Latency has percentiles in microseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  int64   `json:"p50"`
	P90  int64   `json:"p90"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p999"`
	Max  int64   `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	return Latency{
		Mean: h.Mean(), P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99),
		P999: h.ValueAtQuantile(99.9), Max: h.Max(),
	}
}

// Failed is the number of calls that were not answered as they should be.
func (r *Result) Failed() int64 {
	n := r.Lost
	for _, k := range r.Errors {
		n += k
	}
	return n
}

// fill enters what was counted.
func (r *Result) fill(t *tally, seconds float64) {
	r.Seconds, r.Ops, r.Units, r.Calls = seconds, t.ops.Load(), t.units, t.calls
	if seconds > 0 {
		r.OpsRate, r.UnitRate = float64(r.Ops)/seconds, float64(r.Units)/seconds
	}
	if r.Unit == "" {
		r.Units, r.UnitRate = 0, 0
	}
	r.Latency = latencyOf(t.latency)
	r.Procedures = make(map[string]Procedure)
	for i, h := range t.procs {
		if h != nil {
			r.Procedures[procNames[i]] = Procedure{Calls: h.TotalCount(), Latency: latencyOf(h)}
		}
	}
	r.Errors, r.Lost, r.Jukebox, r.Repeated = t.errors, t.lost, t.jukebox, t.repeated
}
