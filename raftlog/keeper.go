package raftlog

import (
	"errors"
	"time"

	"twofold/raftlog/logstore"
)

const (
	// markerEntries is after how many entries a new marker is due.
	markerEntries = 20000
	// watermarkEntries is after how many entries a new watermark is due.
	watermarkEntries = 5000
)

// keeper does the housekeeping of the log once per PingInterval: it looks after the
// protection, proposes watermarks as the leader, writes markers and cuts the log.
func (n *Node) keeper() {
	tick := time.NewTicker(n.cfg.Timing.PingInterval)
	defer tick.Stop()
	k := keep{n: n, markAt: time.Now()}
	for {
		k.watchProtection()
		k.watermark()
		k.marker()
		if err := n.markers.settle(); err != nil {
			n.fail(err)
			return
		}
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
	appended  uint64    // bytes appended up to the last marker's entry, about

	said *Protection // as it was last reported
}

// watermark proposes how far the members are, if it moved far enough, if the log
// is long, or if it moved and some time has passed. An idle cluster proposes
// nothing: its last watermark's own entry must have become durable, and something
// after it.
func (k *keep) watermark() {
	n := k.n
	if _, ok := n.ready(); !ok {
		return
	}
	m := n.marks()
	all, data := Index(n.fsm.watermark.Load()), Index(n.fsm.dataMark.Load())
	moved := m.all > all && m.all > k.markIndex || m.data > data && m.data > k.markIndex
	if !moved {
		return
	}
	far := m.all >= all+watermarkEntries || m.data >= data+watermarkEntries
	if !far && n.store.Bytes() < n.keepBytes() && time.Since(k.markAt) < n.cfg.Timing.WatermarkInterval {
		return
	}
	p := n.propose(encodeWatermark(m))
	select {
	case <-p.Done():
		if p.Err() == nil {
			k.markIndex, k.markAt = p.Index(), time.Now()
		}
	case <-n.ctx.Done():
	}
}

// marks returns how far the members are: a data node up to where its state is
// durable, a witness up to the committed part of its own log. Each says so
// itself. None of it falls, so that an old report is true; of a member that was
// never heard of since this process started, what the log says holds on. The
// witness counts for all, since the log is its cheapest way back.
func (n *Node) marks() marks {
	var m marks
	m.data, _ = n.sm.Durable()
	m.all = m.data
	dataKnown, allKnown := true, true
	for _, l := range n.peers() {
		p, at := l.state()
		switch {
		case l.peer.Role == RoleWitness:
			allKnown = allKnown && !at.IsZero()
			m.all = min(m.all, p.Commit, p.Last)
		default:
			dataKnown, allKnown = dataKnown && !at.IsZero(), allKnown && !at.IsZero()
			m.all, m.data = min(m.all, p.Durable), min(m.data, p.Durable)
		}
	}
	if !dataKnown {
		m.data = 0
	}
	if !allKnown {
		m.all = 0
	}
	m.all = max(m.all, Index(n.fsm.watermark.Load()))
	m.data = max(m.data, Index(n.fsm.dataMark.Load()))
	return m
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
	before, last, appended := uint64(n.markers.limit()), n.raft.LastIndex(), n.store.Appended()
	if err := n.WriteMarker(); err != nil {
		n.log.Info("marker", "err", err)
		return
	}
	k.appended = appended - notCovered(appended-k.appended, before, uint64(n.markers.limit()), last)
}

// notCovered returns how many of the bytes of the entries from before to last are
// beyond the marker at now, if all are of one size. What was appended is applied
// later: after a burst the marker may cover little of it, and if nothing follows, only these bytes
// bring about the next one.
func notCovered(bytes, before, now, last uint64) uint64 {
	if now >= last || before >= last {
		return 0
	}
	return uint64(float64(bytes) * float64(last-now) / float64(last-before))
}

// keepBytes is how much of the log compaction leaves now.
func (n *Node) keepBytes() uint64 { return logstore.Kept(n.cfg.KeepLogBytes, n.cfg.Tight()) }

// compact cuts the log, which has a deadline like a write of it.
func (n *Node) compact() error {
	defer n.stalls.begin(opCut)()
	return n.store.Compact()
}

// WriteMarker makes the state durable and notes how far it came, so that a
// restart begins there. The keeper does it by itself now and then.
func (n *Node) WriteMarker() error {
	if !n.marking.beginWrite() {
		return errors.New("raftlog: a state is being installed")
	}
	defer n.marking.endWrite()
	return n.raft.Snapshot().Error()
}
