package raftlog

import "sync"

// nudger coalesces the nudges to one follower: one message is out, at most one
// more is due.
type nudger struct {
	mu struct {
		sync.Mutex
		running, again bool
	}
}

// Nudge tells a follower the commit index now. hashicorp/raft would tell it with
// the next entries or after CommitTimeout. It does nothing unless this node
// leads, and it does not wait. A follower that does not hold the entry at the
// commit index yet is told when it has acknowledged it.
//
// The message is one that Raft's leader may send at any time: an AppendEntries
// of the current term without entries, whose previous entry is the one at the
// commit index and whose commit index is that same index. A follower that has
// another entry there refuses it; one that accepts it has, by the log matching
// property, the leader's entries up to there, and all of them are committed. The
// answer is not reported to raft, so that it moves neither match nor next index
// and is no evidence of contact.
func (n *Node) Nudge(peer string) {
	d, ok := n.peerSet.Load().nudgers[peer]
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.running {
		d.mu.again = true
		return
	}
	d.mu.running = n.spawn(func() {
		for {
			n.nudge(peer)
			d.mu.Lock()
			more := d.mu.again
			d.mu.again = false
			d.mu.running = more
			d.mu.Unlock()
			if !more {
				return
			}
		}
	})
}

func (n *Node) nudge(peer string) {
	term, ok := n.ready()
	if !ok {
		return
	}
	commit := Index(n.raft.CommitIndex())
	if !n.trans.needsNudge(peer, term, commit) {
		return
	}
	prev, ok := n.store.Term(uint64(commit))
	if !ok || !n.leads(term) {
		return
	}
	n.trans.beside(peer, n.trans.request(term, uint64(commit), prev, uint64(commit)))
}
