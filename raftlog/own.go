package raftlog

import (
	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// The leader's own copy. hashicorp/raft writes an entry to the leader's disk, counts
// that copy, and only then sends the entry to anybody. Here the two disks write at
// the same time: raft is told that its copy is there as soon as the write has begun,
// and everything that could follow from that waits for the disk. Lemma 18 of
// docs/consistency.md has the argument, and names the four places.

// ownLog is the log as raft writes it. It hides what else the store may be: raft
// asks for more by type assertion.
type ownLog struct {
	raft.LogStore
	store  *logstore.Store
	stalls *stalls
	leads  func() bool // asked on raft's main goroutine
}

// StoreLog implements raft.LogStore.
func (l ownLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs implements raft.LogStore. A leader's commands are only begun (Lemma 18);
// a follower's entries are acknowledged when this returns, and configurations,
// no-ops and barriers have effects inside of raft at once.
func (l ownLog) StoreLogs(es []*raft.Log) error {
	if !l.leads() {
		return l.store.StoreLogs(es)
	}
	for _, e := range es {
		if e.Type != raft.LogCommand {
			return l.store.StoreLogs(es)
		}
	}
	return l.store.Begin(es)
}

// DeleteRange implements raft.LogStore.
func (l ownLog) DeleteRange(lo, hi uint64) error {
	defer l.stalls.begin(opLog)()
	return l.store.DeleteRange(lo, hi)
}

// timedVote is the stable store as raft writes it, with deadlines.
type timedVote struct {
	raft.StableStore
	store  *logstore.Store
	stalls *stalls
	mute   <-chan struct{} // closed when nothing that this node says gets out any more
}

// Set implements raft.StableStore.
func (v timedVote) Set(key, val []byte) error {
	defer v.stalls.begin(opVote)()
	return v.StableStore.Set(key, val)
}

// SetUint64 implements raft.StableStore. raft sets its term with it before it does
// anything in that term: it does not begin before all is on the disk that this node
// began to write as the leader of an earlier one (Lemma 18).
//
// If that fails, the node is being shut down. Of its term raft must not be told
// that, or it ends the process at once; it goes on when nobody hears it any more.
func (v timedVote) SetUint64(key []byte, val uint64) error {
	end := v.stalls.begin(opVote)
	err := v.store.Drain()
	if err == nil {
		err = v.StableStore.SetUint64(key, val)
		end()
		return err
	}
	end()
	if string(key) != string(termKey) {
		return err
	}
	<-v.mute
	return nil
}

// dispatches tells, on raft's main goroutine, that raft is in the leader's state. Only
// that goroutine changes it.
func (n *Node) dispatches() bool {
	return n.trans.isStarted() && n.raft.State() == raft.Leader
}

// commitIndex returns how far the log is committed: by raft, which counts the copy
// of this node that it began to write, and by the disk.
func (n *Node) commitIndex() Index {
	return Index(n.store.Written(n.raft.CommitIndex()))
}
