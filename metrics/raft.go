package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// diskBuckets reach from a flash disk's flush to a disk that hangs.
var diskBuckets = []float64{
	.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5,
}

// Raft counts what the replicated log does on this node.
type Raft struct {
	appendDuration prometheus.Histogram
	appendBytes    prometheus.Counter
	term           prometheus.Gauge
	commit         prometheus.Gauge
	applied        prometheus.Gauge
	last           prometheus.Gauge
	isLeader       prometheus.Gauge
	leaderChanges  prometheus.Counter
	protected      prometheus.Gauge
	lease          prometheus.Gauge
	leaderless     prometheus.Gauge
	damaged        prometheus.Gauge
	stalled        prometheus.Gauge
	stalls         prometheus.Counter
	free           prometheus.Gauge
	senders        prometheus.Counter
}

// NewRaft registers the collectors of the log on reg.
func NewRaft(reg prometheus.Registerer) (*Raft, error) {
	m := &Raft{
		appendDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "twofold_raft_append_duration_seconds",
			Help:    "Time of one append to the log on this node's disk, with its fsync.",
			Buckets: diskBuckets,
		}),
		appendBytes:   counter("twofold_raft_append_bytes_total", "Bytes of entries appended to the log on this node's disk."),
		term:          gauge("twofold_raft_term", "Current term."),
		commit:        gauge("twofold_raft_commit_index", "Highest log index known to be committed."),
		applied:       gauge("twofold_raft_applied_index", "Highest log index whose effects are in this node's state."),
		last:          gauge("twofold_raft_last_index", "Highest log index on this node's disk."),
		isLeader:      gauge("twofold_raft_is_leader", "1 while this node leads its term, else 0."),
		leaderChanges: counter("twofold_raft_leader_changes_total", "Changes of the known leader since the process started."),
		protected:     gauge("twofold_raft_protected", "1 while whatever was acknowledged survives the loss of any one machine, as far as this node knows, else 0."),
		lease:         gauge("twofold_raft_lease_held", "1 while this node may read its own copy without asking anybody, else 0."),
		damaged:       gauge("twofold_raft_log_damaged", "1 while this node has no vote because its log was damaged and is not filled again, else 0."),
		leaderless:    gauge("twofold_raft_leaderless", "1 while no leader has been known for longer than an election takes, else 0."),
		stalled:       gauge("twofold_raft_disk_stalled", "1 while this node stands aside because its disk does not answer, else 0."),
		stalls:        counter("twofold_raft_disk_stalls_total", "How often this node stood aside because its disk did not answer."),
		free:          gauge("twofold_raft_disk_free_bytes", "Bytes that are free on the disk of this node's directory."),
		senders:       counter("twofold_raft_sender_refused_total", "Messages that were refused because they named another sender than the member whose stream they came on."),
	}
	return m, register(reg, m.appendDuration, m.appendBytes, m.term, m.commit, m.applied,
		m.last, m.isLeader, m.leaderChanges, m.leaderless, m.damaged, m.stalled, m.stalls, m.free, m.senders, m.protected, m.lease)
}

// ObserveAppend notes one append to the log, fsync included.
func (m *Raft) ObserveAppend(bytes int, d time.Duration) {
	if m == nil {
		return
	}
	m.appendDuration.Observe(d.Seconds())
	m.appendBytes.Add(float64(max(bytes, 0)))
}

// SetState notes where this node stands in the log.
func (m *Raft) SetState(term, commit, applied, last uint64, isLeader bool) {
	if m == nil {
		return
	}
	m.term.Set(float64(term))
	m.commit.Set(float64(commit))
	m.applied.Set(float64(applied))
	m.last.Set(float64(last))
	m.isLeader.Set(boolean(isLeader))
}

// Leaderless notes that the quorum is lost, or is back.
func (m *Raft) Leaderless(lost bool) {
	if m != nil {
		m.leaderless.Set(boolean(lost))
	}
}

// LogDamaged notes that this node has no vote because of damage in its log, or has
// it again.
func (m *Raft) LogDamaged(damaged bool) {
	if m != nil {
		m.damaged.Set(boolean(damaged))
	}
}

// Stalled notes that this node's disk does not answer, or does again.
func (m *Raft) Stalled(stalled bool) {
	if m == nil {
		return
	}
	m.stalled.Set(boolean(stalled))
	if stalled {
		m.stalls.Inc()
	}
}

// SetDiskFree notes what is free on the disk.
func (m *Raft) SetDiskFree(bytes uint64) {
	if m != nil {
		m.free.Set(float64(bytes))
	}
}

// LeaderChanged notes that this node learned of another leader, or of none.
func (m *Raft) LeaderChanged() {
	if m != nil {
		m.leaderChanges.Inc()
	}
}

// SetProtected notes whether the loss of any one machine would lose nothing.
func (m *Raft) SetProtected(protected bool) {
	if m != nil {
		m.protected.Set(boolean(protected))
	}
}

// SetLease notes whether this node holds a lease.
func (m *Raft) SetLease(held bool) {
	if m != nil {
		m.lease.Set(boolean(held))
	}
}

// SenderRefused notes a message in the name of another member than its stream's.
func (m *Raft) SenderRefused() {
	if m != nil {
		m.senders.Inc()
	}
}
