package raftlog

import "github.com/hashicorp/raft"

// appended tells the state machine what the log holds from now on.
func (n *Node) appended(logs []*raft.Log) {
	if n.sm == nil {
		return
	}
	entries := make([]Entry, len(logs))
	for i, l := range logs {
		entries[i] = Entry{Index: Index(l.Index), Term: Term(l.Term)}
		if l.Type == raft.LogCommand {
			// A frame of a newer version stops delivery, so that nobody can read
			// behind it: it need not be told apart here.
			entries[i].Data, _, _ = decodeFrame(l.Data)
		}
	}
	n.sm.Appended(entries)
}

func (n *Node) truncated(from uint64) {
	if n.sm != nil {
		n.sm.Truncated(Index(from))
	}
}

// Lease returns the term under whose lease this node may read its own copy now,
// and false if it holds none. No node holds one yet.
func (n *Node) Lease() (Term, bool) { return 0, false }
