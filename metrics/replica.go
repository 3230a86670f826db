package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Replica counts what the replicated store does on this data node.
type Replica struct {
	batchOps      prometheus.Histogram
	batchBytes    prometheus.Counter
	batchDuration prometheus.Histogram
	applyDuration prometheus.Histogram
	forwarded     prometheus.Counter
	reads         reads
	inodes        prometheus.Gauge
	dataBytes     prometheus.Gauge
	peerLag       *prometheus.GaugeVec
	free          *prometheus.GaugeVec
	skew          *prometheus.GaugeVec
	duplicates    duplicates
	catchUp       catchUp
	integrity     integrity
}

// catchUp are the collectors of states that go from node to node, by direction:
// given, taken.
type catchUp struct {
	active *prometheus.GaugeVec
	bytes  *prometheus.GaugeVec
	left   *prometheus.GaugeVec
}

func newCatchUp() catchUp {
	c := catchUp{
		active: gaugeVec("twofold_replica_catchup_active", "1 while a state is brought from node to node, else 0.", "direction"),
		bytes:  gaugeVec("twofold_replica_catchup_bytes", "Bytes that went over the network for that since the process started.", "direction"),
		left:   gaugeVec("twofold_replica_catchup_left_seconds", "Estimate of the time that is left of it, -1 if there is none.", "direction"),
	}
	for _, direction := range []string{"given", "taken"} { // so that both are shown from the start
		c.active.WithLabelValues(direction)
		c.bytes.WithLabelValues(direction)
		c.left.WithLabelValues(direction).Set(-1)
	}
	return c
}

// SetCatchUp notes how far the transfers of one direction are.
func (m *Replica) SetCatchUp(direction string, active bool, bytes uint64, left float64) {
	if m == nil {
		return
	}
	m.catchUp.active.WithLabelValues(direction).Set(boolean(active))
	m.catchUp.bytes.WithLabelValues(direction).Set(float64(bytes))
	m.catchUp.left.WithLabelValues(direction).Set(left)
}

// reads are the collectors of reads by the way they took.
type reads struct {
	byWay                       *prometheus.CounterVec
	lease, confirmed, forwarded prometheus.Counter // of byWay
	wait                        prometheus.Histogram
}

func newReads() reads {
	r := reads{
		byWay: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "twofold_replica_reads_total",
			Help: "Reads by what made them right: this node's lease, a quorum that confirmed its lead, or the leader that was asked.",
		}, []string{"way"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "twofold_replica_read_wait_duration_seconds",
			Help:    "Time that reads waited for a log entry that may change what they read; those that did not wait are not counted.",
			Buckets: latencyBuckets,
		}),
	}
	r.lease = r.byWay.WithLabelValues("lease")
	r.confirmed = r.byWay.WithLabelValues("confirmed")
	r.forwarded = r.byWay.WithLabelValues("forwarded")
	return r
}

// duplicates are the collectors of the duplicate request cache.
type duplicates struct {
	records prometheus.Gauge
	bytes   prometheus.Gauge
	limit   prometheus.Gauge
	evicted prometheus.Counter
	hits    prometheus.Counter
}

func newDuplicates() duplicates {
	return duplicates{
		records: gauge("twofold_replica_duplicate_records", "Answers that are remembered for calls that come again."),
		bytes:   gauge("twofold_replica_duplicate_bytes", "Bytes that these answers count against the limit."),
		limit:   gauge("twofold_replica_duplicate_limit_bytes", "Limit of these bytes that is in force, the same at both nodes."),
		evicted: counter("twofold_replica_duplicate_evicted_total", "Answers that this node forgot before their time, because of the limit."),
		hits:    counter("twofold_replica_duplicate_hits_total", "Calls that this node found done already, and answered as at first."),
	}
}

// NewReplica registers the collectors of the store on reg.
func NewReplica(reg prometheus.Registerer) (*Replica, error) {
	counts := prometheus.ExponentialBuckets(1, 2, 9) // 1 to 256, the limit of one batch
	m := &Replica{
		batchOps: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "twofold_replica_batch_operations",
			Help:    "Operations in one proposed batch, that is in one log entry.",
			Buckets: counts,
		}),
		batchBytes: counter("twofold_replica_batch_bytes_total", "Bytes of the batches that this node proposed."),
		batchDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "twofold_replica_batch_duration_seconds",
			Help:    "Time from proposing a batch to its commit.",
			Buckets: latencyBuckets,
		}),
		applyDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "twofold_replica_apply_duration_seconds",
			Help:    "Time to apply committed batches to the state: one, or several that waited.",
			Buckets: diskBuckets,
		}),
		forwarded: counter("twofold_replica_forwarded_total", "Operations sent on to the leader."),
		reads:     newReads(),
		inodes:    gauge("twofold_replica_inodes", "Inodes of the volume in this node's state."),
		dataBytes: gauge("twofold_replica_data_bytes", "Bytes of file data in this node's state."),
		peerLag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "twofold_replica_peer_lag_entries",
			Help: "Committed log entries that a member has not confirmed, as this node knows it.",
		}, []string{"peer"}),
		free: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "twofold_replica_free_bytes",
			Help: "Bytes that a data node can still take, its reserve excluded, as this node knows it.",
		}, []string{"member"}),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "twofold_replica_clock_skew_seconds",
			Help: "By how much another data node's wall clock is ahead of this node's.",
		}, []string{"peer"}),
		duplicates: newDuplicates(),
		catchUp:    newCatchUp(),
		integrity:  newIntegrity(),
	}
	d := &m.duplicates
	if err := register(reg, m.integrity.collectors()...); err != nil {
		return nil, err
	}
	return m, register(reg, m.batchOps, m.batchBytes, m.batchDuration, m.applyDuration, m.forwarded,
		m.reads.byWay, m.reads.wait, m.inodes, m.dataBytes, m.peerLag, m.free, m.skew,
		d.records, d.bytes, d.limit, d.evicted, d.hits,
		m.catchUp.active, m.catchUp.bytes, m.catchUp.left)
}

// ObserveBatch notes one batch that was proposed and has been committed.
func (m *Replica) ObserveBatch(ops, bytes int, d time.Duration) {
	if m == nil {
		return
	}
	m.batchOps.Observe(float64(ops))
	m.batchBytes.Add(float64(max(bytes, 0)))
	m.batchDuration.Observe(d.Seconds())
}

// ObserveApply notes that one committed batch, or several in one step, were applied.
func (m *Replica) ObserveApply(d time.Duration) {
	if m != nil {
		m.applyDuration.Observe(d.Seconds())
	}
}

// Forwarded notes that one operation went to the leader.
func (m *Replica) Forwarded() {
	if m != nil {
		m.forwarded.Inc()
	}
}

// ReadByLease notes a read of this node's copy under its lease.
func (m *Replica) ReadByLease() {
	if m != nil {
		m.reads.lease.Inc()
	}
}

// ReadConfirmed notes a read of this node's copy after a quorum confirmed its lead.
func (m *Replica) ReadConfirmed() {
	if m != nil {
		m.reads.confirmed.Inc()
	}
}

// ReadForwarded notes a read that the leader answered.
func (m *Replica) ReadForwarded() {
	if m != nil {
		m.reads.forwarded.Inc()
	}
}

// ReadWaited notes how long a read waited for an entry that touches what it reads.
func (m *Replica) ReadWaited(d time.Duration) {
	if m != nil {
		m.reads.wait.Observe(d.Seconds())
	}
}

// SetState notes how much the state holds.
func (m *Replica) SetState(inodes, bytes uint64) {
	if m == nil {
		return
	}
	m.inodes.Set(float64(inodes))
	m.dataBytes.Set(float64(bytes))
}

// SetDuplicates notes how full the duplicate request cache is, and what
// happened in it since the last time.
func (m *Replica) SetDuplicates(records, bytes, limit, evicted, hits uint64) {
	if m == nil {
		return
	}
	d := &m.duplicates
	d.records.Set(float64(records))
	d.bytes.Set(float64(bytes))
	d.limit.Set(float64(limit))
	d.evicted.Add(float64(evicted))
	d.hits.Add(float64(hits))
}

// SetPeerLag notes how many committed entries a member still lacks. The peer
// is a member's name, so that there are never more series than members.
func (m *Replica) SetPeerLag(peer string, entries uint64) {
	if m != nil {
		m.peerLag.WithLabelValues(peer).Set(float64(entries))
	}
}

// SetFree notes how much room a data node has, or that it is not known. The
// member's name bounds the series.
func (m *Replica) SetFree(member string, bytes uint64, known bool) {
	switch {
	case m == nil:
	case known:
		m.free.WithLabelValues(member).Set(float64(bytes))
	default:
		m.free.DeleteLabelValues(member)
	}
}

// SetClockSkew notes by how much another data node's clock is ahead, or that it is
// not known. The peer is a member's name.
func (m *Replica) SetClockSkew(peer string, seconds float64, known bool) {
	switch {
	case m == nil:
	case known:
		m.skew.WithLabelValues(peer).Set(seconds)
	default:
		m.skew.DeleteLabelValues(peer)
	}
}
