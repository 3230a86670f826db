package raftlog

import "github.com/hashicorp/raft"

// appended tells the state machine what the log holds from now on.
func (n *Node) appended(logs []*raft.Log) {
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			n.membership.appended(l)
			n.leases.configured()
		}
	}
	if n.sm == nil {
		return
	}
	entries := make([]Entry, len(logs))
	for i, l := range logs {
		entries[i] = Entry{Index: Index(l.Index), Term: Term(l.Term)}
		if l.Type == raft.LogCommand {
			data, _, err := decodeFrame(l.Data)
			if err != nil {
				// Lemma 11 of docs/consistency.md: a newer version's entry may
				// alter anything. Delivery stops at it, but not before it is
				// committed, and until then this node may hold a lease.
				data = []byte{}
			}
			entries[i].Data = data
		}
	}
	n.sm.Appended(entries)
}

func (n *Node) truncated(from uint64) {
	n.leases.truncated(Index(from))
	n.membership.truncated(from)
	if n.sm != nil {
		n.sm.Truncated(Index(from))
	}
}

// committed is told of entries that raft hands over, after they were queued for
// the state machine.
func (n *Node) committed(logs []*raft.Log) {
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			n.membership.delivered(l)
			n.leases.settled()
		}
	}
	// A reader at the other node waits for entries that it does not know to be
	// committed.
	if peer, _ := n.leases.granted(); peer != "" {
		n.nudgeWhenQuiet(peer)
	}
}

// Lease returns the term under whose lease this node may read its own copy, and
// false if it holds none. Whatever was acknowledged anywhere before the call is
// in this node's log.
//
// It is right however long the process stands still between any two steps. The
// lease was in force when it was loaded: it was put there for a term that was the
// own one then, terms never fall, and the own term, read later, is still that
// term (rule R4); the clock, read last, had not reached the lease's end. Lemmas 1
// and 2 of docs/consistency.md speak of that instant, which is within the call.
func (n *Node) Lease() (Term, bool) {
	if n.stalled() {
		return 0, false
	}
	return n.leases.current()
}

func (l *leases) current() (Term, bool) {
	h := l.held.Load()
	if h == nil || l.term() != h.term || l.clock.Now() >= h.until {
		return 0, false
	}
	return h.term, true
}
