package raftlog

import (
	"time"

	"twofold/raftlog/logstore"
)

const (
	// markerEntries is after how many entries a new marker is due.
	markerEntries = 20000
	// watermarkEntries is after how many entries a new watermark is due.
	watermarkEntries = 5000
)

// keeper does the housekeeping of the log once per PingInterval: it proposes
// watermarks as the leader, writes markers and cuts the log.
func (n *Node) keeper() {
	tick := time.NewTicker(n.cfg.Timing.PingInterval)
	defer tick.Stop()
	k := keep{n: n, markAt: time.Now()}
	for {
		k.watermark()
		k.marker()
		if err := n.compact(); err != nil {
			return // reported by the store; the node is done for
		}
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// keep is what the keeper remembers from one round to the next.
type keep struct {
	n         *Node
	markAt    time.Time // of the last watermark
	markIndex Index     // of the last watermark's own entry
	appended  uint64    // bytes appended at the time of the last marker
}

// watermark proposes the lower of the data nodes' durable indexes, if it moved
// far enough, if the log is long, or if it moved and some time has passed. An
// idle cluster proposes nothing: its last watermark's own entry must have
// become durable, and something after it.
func (k *keep) watermark() {
	n := k.n
	if _, ok := n.ready(); !ok {
		return
	}
	lowest, ok := n.lowestDurable()
	mark := Index(n.fsm.watermark.Load())
	if !ok || lowest <= mark || lowest <= k.markIndex {
		return
	}
	if lowest-mark < watermarkEntries && n.store.Bytes() < n.keepBytes() && time.Since(k.markAt) < n.cfg.Timing.WatermarkInterval {
		return
	}
	p := n.propose(encodeWatermark(lowest))
	select {
	case <-p.Done():
		if p.Err() == nil {
			k.markIndex, k.markAt = p.Index(), time.Now()
		}
	case <-n.ctx.Done():
	}
}

// lowestDurable returns the lowest index up to which every member surely needs
// the log no more, and false if one of them never reported since this process
// started: for a data node the index up to which its state is durable, for a
// witness the committed part of its own log. Neither falls, so that an old report
// is true. The witness counts, since without a snapshot it can come back only by
// the log, and without the witness the loss of a data node would be the end of
// the quorum.
func (n *Node) lowestDurable() (Index, bool) {
	lowest, _ := n.sm.Durable()
	for _, l := range n.peers() {
		p, at := l.state()
		if at.IsZero() {
			return 0, false
		}
		held := p.Durable
		if l.peer.Role == RoleWitness {
			held = min(p.Commit, p.Last)
		}
		lowest = min(lowest, held)
	}
	return lowest, true
}

// marker has the state flushed and a marker written when enough was appended
// since the last one.
func (k *keep) marker() {
	n := k.n
	bytes := n.store.Appended() - k.appended
	entries := n.fsm.delivered.Load() - min(n.fsm.delivered.Load(), uint64(n.markers.limit()))
	if entries < markerEntries && (bytes < n.keepBytes()/4 || entries == 0) {
		return
	}
	appended := n.store.Appended()
	if err := n.WriteMarker(); err != nil {
		n.log.Info("marker", "err", err)
		return
	}
	k.appended = appended
}

// keepBytes is how much of the log compaction leaves now.
func (n *Node) keepBytes() uint64 { return logstore.Kept(n.cfg.KeepLogBytes, n.cfg.Tight()) }

// compact cuts the log, which has a deadline like a write of it.
func (n *Node) compact() error {
	defer n.stalls.begin(opLog)()
	return n.store.Compact()
}

// WriteMarker makes the state durable and notes how far it came, so that a
// restart begins there. The keeper does it by itself now and then.
func (n *Node) WriteMarker() error { return n.raft.Snapshot().Error() }
