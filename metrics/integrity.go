package metrics

import "github.com/prometheus/client_golang/prometheus"

// integrity are the collectors of how sound this node's copy is.
type integrity struct {
	agreed      prometheus.Gauge
	mismatches  prometheus.Counter
	quarantined prometheus.Gauge
	scrubBytes  prometheus.Gauge
	scrubbing   prometheus.Gauge
	waiting     prometheus.Gauge
	refetched   prometheus.Counter
}

func newIntegrity() integrity {
	return integrity{
		agreed:      gauge("twofold_replica_agreed_index", "Last log entry at which both data nodes had the same digest."),
		mismatches:  counter("twofold_replica_digest_mismatches_total", "Times that the digests of the two data nodes differed."),
		quarantined: gauge("twofold_replica_quarantined", "1 while this node's copy is out of use because it is or may be damaged."),
		scrubBytes:  gauge("twofold_replica_scrub_bytes", "Bytes that the scan of this node's copy has read, the present one or the last."),
		scrubbing:   gauge("twofold_replica_scrub_running", "1 while this node's copy is being scanned."),
		waiting:     gauge("twofold_replica_refetch_waiting", "1 while this node's copy is damaged and nobody gives it another one."),
		refetched:   counter("twofold_replica_refetched_total", "Damaged copies of this node that were replaced by the other node's."),
	}
}

func (i *integrity) collectors() []prometheus.Collector {
	return []prometheus.Collector{i.agreed, i.mismatches, i.quarantined, i.scrubBytes, i.scrubbing, i.waiting, i.refetched}
}

// SetAgreed notes the last entry at which both nodes had the same digest.
func (m *Replica) SetAgreed(index uint64) {
	if m != nil {
		m.integrity.agreed.Set(float64(index))
	}
}

// DigestMismatch notes that the digests of the two nodes differed.
func (m *Replica) DigestMismatch() {
	if m != nil {
		m.integrity.mismatches.Inc()
	}
}

// SetQuarantined notes whether this node's copy is out of use.
func (m *Replica) SetQuarantined(on bool) {
	if m != nil {
		m.integrity.quarantined.Set(boolean(on))
	}
}

// SetScrub notes how far the scan of this node's copy is.
func (m *Replica) SetScrub(bytes uint64, running bool) {
	if m != nil {
		m.integrity.scrubBytes.Set(float64(bytes))
		m.integrity.scrubbing.Set(boolean(running))
	}
}

// SetRefetchWaiting notes whether this node needs another copy and gets none.
func (m *Replica) SetRefetchWaiting(on bool) {
	if m != nil {
		m.integrity.waiting.Set(boolean(on))
	}
}

// Refetched notes that a damaged copy was replaced.
func (m *Replica) Refetched() {
	if m != nil {
		m.integrity.refetched.Inc()
	}
}
