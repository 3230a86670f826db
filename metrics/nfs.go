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

// limits are the values of the label "limit": what the front end limits by
// stopping to read, or by taking no connection.
var limits = []string{
	"conns", "conns_per_client", "calls", "calls_per_client", "calls_per_conn",
	"bytes", "bytes_per_client", "bytes_per_conn", "unfinished",
}

// cutReasons are the values of the label "reason": why the front end closed a
// connection, or took none.
var cutReasons = []string{
	"conns", "conns_per_client", "evicted", "idle_time", "record", "fragments",
	"record_time", "stall_time", "write_time", "not_admitted", "held_back", "hung", "paused",
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

// limitMetrics are the series of one limit.
type limitMetrics struct {
	used, max, waiting   prometheus.Gauge
	waits, waitedSeconds prometheus.Counter
}

// NFS counts what the front end does.
type NFS struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	byProc   map[string]procMetrics // read only after NewNFS

	connections prometheus.Gauge
	accepted    prometheus.Counter
	inFlight    prometheus.Gauge

	byLimit  map[string]limitMetrics       // read only after NewNFS
	byReason map[string]prometheus.Counter // read only after NewNFS
	pauses   prometheus.Counter
	paused   prometheus.Counter
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
	if err := m.registerLimits(reg); err != nil {
		return m, err
	}
	return m, register(reg, m.requests, m.duration, m.connections, m.accepted, m.inFlight)
}

// registerLimits makes and registers the collectors of limits and of pauses.
func (m *NFS) registerLimits(reg prometheus.Registerer) error {
	vec := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"limit"})
	}
	total := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	used := vec("twofold_nfs_limit_used", "How much of a limit is in use; of one per client or connection, by who uses most.")
	highest := vec("twofold_nfs_limit_max", "What a limit is set to.")
	waiting := vec("twofold_nfs_limit_waiting", "Connections that a limit keeps from being read.")
	waits := total("twofold_nfs_limit_waits_total", "Times that a limit kept a connection from being read.", "limit")
	seconds := total("twofold_nfs_limit_wait_seconds_total", "Time for which a limit kept connections from being read.", "limit")
	cut := total("twofold_nfs_connections_cut_total", "Connections that this node closed or took none of, by reason.", "reason")
	m.byLimit = make(map[string]limitMetrics, len(limits)+1)
	for _, l := range append([]string{other}, limits...) {
		m.byLimit[l] = limitMetrics{
			used: used.WithLabelValues(l), max: highest.WithLabelValues(l), waiting: waiting.WithLabelValues(l),
			waits: waits.WithLabelValues(l), waitedSeconds: seconds.WithLabelValues(l),
		}
	}
	m.byReason = make(map[string]prometheus.Counter, len(cutReasons)+1)
	for _, r := range append([]string{other}, cutReasons...) {
		m.byReason[r] = cut.WithLabelValues(r)
	}
	m.pauses = counter("twofold_nfs_pauses_total", "Times that this node stood still for so long that it closed all client connections.")
	m.paused = counter("twofold_nfs_paused_seconds_total", "Time of these pauses.")
	return register(reg, used, highest, waiting, waits, seconds, cut, m.pauses, m.paused)
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

// limit returns the series of a limit.
func (m *NFS) limit(name string) limitMetrics {
	if l, known := m.byLimit[name]; known {
		return l
	}
	return m.byLimit[other]
}

// LimitUsed notes how much of a limit is in use.
func (m *NFS) LimitUsed(limit string, used, highest int) {
	if m != nil {
		l := m.limit(limit)
		l.used.Set(float64(used))
		l.max.Set(float64(highest))
	}
}

// HeldBack notes that a connection is not read because of a limit.
func (m *NFS) HeldBack(limit string) {
	if m != nil {
		l := m.limit(limit)
		l.waits.Inc()
		l.waiting.Inc()
	}
}

// LetGo notes that it is read again, or has ended.
func (m *NFS) LetGo(limit string, after time.Duration) {
	if m != nil {
		l := m.limit(limit)
		l.waiting.Dec()
		l.waitedSeconds.Add(max(0, after.Seconds()))
	}
}

// ConnCut notes that a connection was closed, or not taken, and why.
func (m *NFS) ConnCut(reason string) {
	if m == nil {
		return
	}
	c, known := m.byReason[reason]
	if !known {
		c = m.byReason[other]
	}
	c.Inc()
}

// Paused notes that the node stood still for d.
func (m *NFS) Paused(d time.Duration) {
	if m != nil {
		m.pauses.Inc()
		m.paused.Add(max(0, d.Seconds()))
	}
}
