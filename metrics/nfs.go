package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// other is the label value for what is in no table, so that nothing that comes
// from the wire can grow the number of series.
const other = "other"

// statusOK is the status of a call that succeeded, as the front end spells it.
const statusOK = "ok"

// procs are the values of the label "proc": the procedures of NFSv3 (RFC 1813
// section 3) and those of MOUNT v3 (appendix I) that have a name of their own.
var procs = []string{
	"null", "getattr", "setattr", "lookup", "access", "readlink", "read", "write",
	"create", "mkdir", "symlink", "mknod", "remove", "rmdir", "rename", "link",
	"readdir", "readdirplus", "fsstat", "fsinfo", "pathconf", "commit",
	"mnt", "dump", "umnt", "umntall", "export",
}

// latencyBuckets reach from a cached read to a call that waits out an election.
var latencyBuckets = []float64{
	.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10,
}

// procMetrics are the series of one procedure, bound once so that a call
// looks up no labels.
type procMetrics struct {
	ok       prometheus.Counter
	duration prometheus.Observer
}

// NFS counts what the front end does.
type NFS struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	byProc   map[string]procMetrics // read only after NewNFS

	connections prometheus.Gauge
	accepted    prometheus.Counter
	inFlight    prometheus.Gauge
}

// NewNFS registers the collectors of the front end on reg.
func NewNFS(reg prometheus.Registerer) (*NFS, error) {
	m := &NFS{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twofold_nfs_requests_total",
			Help: "Calls answered, by procedure and status.",
		}, []string{"proc", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "twofold_nfs_request_duration_seconds",
			Help:    "Time from the last byte of a call to its reply, by procedure.",
			Buckets: latencyBuckets,
		}, []string{"proc"}),
		connections: gauge("twofold_nfs_connections", "Client connections that are open."),
		accepted:    counter("twofold_nfs_connections_total", "Client connections accepted since the process started."),
		inFlight:    gauge("twofold_nfs_requests_in_flight", "Calls that have no reply yet."),
		byProc:      make(map[string]procMetrics, len(procs)+1),
	}
	for _, p := range append([]string{other}, procs...) {
		m.byProc[p] = procMetrics{
			ok:       m.requests.WithLabelValues(p, statusOK),
			duration: m.duration.WithLabelValues(p),
		}
	}
	return m, register(reg, m.requests, m.duration, m.connections, m.accepted, m.inFlight)
}

// Observe counts one answered call. The status is the front end's name of the
// reply's status, from a fixed table of its own.
func (m *NFS) Observe(proc, status string, d time.Duration) {
	if m == nil {
		return
	}
	p, known := m.byProc[proc]
	if !known {
		proc, p = other, m.byProc[other]
	}
	if status == statusOK {
		p.ok.Inc()
	} else {
		m.requests.WithLabelValues(proc, status).Inc()
	}
	p.duration.Observe(d.Seconds())
}

// ConnOpened notes that a client connected.
func (m *NFS) ConnOpened() {
	if m != nil {
		m.connections.Inc()
		m.accepted.Inc()
	}
}

// ConnClosed notes that a client's connection ended.
func (m *NFS) ConnClosed() {
	if m != nil {
		m.connections.Dec()
	}
}

// CallStarted notes that a call was read.
func (m *NFS) CallStarted() {
	if m != nil {
		m.inFlight.Inc()
	}
}

// CallEnded notes that a call was answered or dropped.
func (m *NFS) CallEnded() {
	if m != nil {
		m.inFlight.Dec()
	}
}
