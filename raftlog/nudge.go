package raftlog

import (
	"sync"
	"time"
)

// nudgePause is for how long nothing has to be committed before a follower that
// holds a lease is told what is. A caller that writes one entry after the other
// has told it by the next entry; a message for each would double what its entry
// costs both nodes. The application nudges at once for who waits at the follower.
const nudgePause = 2 * time.Millisecond

// nudger coalesces the nudges to one follower: one message is out, at most one
// more is due.
type nudger struct {
	mu struct {
		sync.Mutex
		running, again bool
		quiet          *time.Timer // fires nudgePause after the last commit; nil before the first
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

// nudgeWhenQuiet nudges a follower once nothing was committed for nudgePause.
func (n *Node) nudgeWhenQuiet(peer string) {
	d, ok := n.peerSet.Load().nudgers[peer]
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.quiet == nil {
		d.mu.quiet = time.AfterFunc(nudgePause, func() {
			// An entry that is on its way is committed soon, and tells of itself then.
			if n.raft.LastIndex() <= n.raft.CommitIndex() {
				n.Nudge(peer)
			}
		})
		return
	}
	d.mu.quiet.Reset(nudgePause)
}

func (n *Node) nudge(peer string) {
	term, ok := n.ready()
	if !ok {
		return
	}
	commit := n.commitIndex()
	if !n.trans.needsNudge(peer, term, commit) {
		return
	}
	prev, ok := n.store.Term(uint64(commit))
	if !ok || !n.leads(term) {
		return
	}
	n.trans.beside(peer, n.trans.request(term, uint64(commit), prev, uint64(commit)))
}
