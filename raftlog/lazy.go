package raftlog

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// The witness needs an entry at once only if the other data node does not take it.
// While that one holds a lease and acknowledges in time, an entry is committed and
// visible by the two data nodes, and what the witness gets may gather: it then
// writes and syncs once for many entries.
const (
	// lazyLook is how often it is looked whether the other data node is in time.
	// An entry that it does not acknowledge goes to the witness after between one
	// and two of these: so much later it is committed if that node has died.
	lazyLook = 10 * time.Millisecond
	// lazyEntries bounds the entries of a message that was held back, or that goes to
	// a member that is behind.
	lazyEntries = 1024
)

// lazy decides whether entries for the witness are held back.
type lazy struct {
	due   Index // an entry that the other data node had not acknowledged at dueAt
	dueAt time.Time
}

// lockedLazy is one that raft's goroutines of two terms may ask.
type lockedLazy struct {
	sync.Mutex
	lazy lazy
}

// outlook is what a lazy decides by.
type outlook struct {
	now     time.Time
	free    bool          // the other data node has a lease, its acknowledgements suffice, and nothing else hinders
	acked   Index         // by it
	last    Index         // of the own log
	backlog Index         // entries that the witness lacks
	bytes   uint64        // what was appended since the message was ready
	held    time.Duration // since then
	bound   time.Duration // of held
}

// holds tells whether to wait for one more lazyLook.
func (z *lazy) holds(o outlook) bool {
	if o.acked >= z.due {
		z.due, z.dueAt = o.last, o.now
	} else if o.now.Sub(z.dueAt) >= lazyLook {
		return false // and so until it has caught up with due
	}
	return o.free && o.held < o.bound && o.backlog <= lazyEntries && o.bytes < maxAppendBytes/2
}

// lazily holds entries for a witness back while it may, and then adds to them what
// has gathered. Messages without entries, which promises rest on, do not come here.
// Another member that is behind gets more entries at once than raft would send: it
// writes and syncs once for each message, and takes as long as all of these take.
func (n *Node) lazily(peer string, req *raft.AppendEntriesRequest) {
	k := n.link(peer)
	if len(req.Entries) == 0 || k == nil {
		return
	}
	if n.cfg.Role != RoleData || k.peer.Role != RoleWitness {
		if len(req.Entries) >= maxAppendEntries { // there is more of it, or soon
			n.gather(req)
		}
		return
	}
	z := &k.lazy
	begun, appended := time.Now(), n.store.Appended()
	for {
		o := n.outlook(Term(req.Term))
		o.held, o.bytes = o.now.Sub(begun), n.store.Appended()-appended
		o.backlog = o.last - min(o.last, Index(req.PrevLogEntry))
		z.Lock()
		holds := z.lazy.holds(o)
		z.Unlock()
		if !holds || !n.trans.pause(min(lazyLook, o.bound-o.held)) {
			break
		}
	}
	n.gather(req)
}

func (n *Node) outlook(t Term) outlook {
	o := outlook{now: time.Now(), bound: n.cfg.Timing.WitnessHold, last: Index(n.raft.LastIndex())}
	other, _ := n.leases.granted()
	o.acked, _ = n.leases.acked(other, t)
	latest, _ := n.membership.configurations()
	o.free = other != "" && len(latest.voters()) <= 3 && n.leads(t) && !n.transferring.Load() && !n.stalled() && n.ctx.Err() == nil
	return o
}

// gather adds to a request the entries that follow its own in the log. raft reads
// the request after the call to learn what was sent (replication.go,
// updateLastAppended).
//
// A leader deletes nothing of its log: if this node leads the term after the
// entries were read, they are that leader's. raft.LastIndex is raised when the
// leader has counted its own copy.
func (n *Node) gather(req *raft.AppendEntriesRequest) {
	entries := req.Entries
	bytes := 0
	for _, e := range entries {
		bytes += len(e.Data) + len(e.Extensions)
	}
	next := entries[len(entries)-1].Index + 1
	for last := n.raft.LastIndex(); next <= last && len(entries) < lazyEntries; next++ {
		e := &raft.Log{}
		if n.store.GetLog(next, e) != nil {
			break // raft finds out
		}
		if bytes += len(e.Data) + len(e.Extensions); bytes > maxAppendBytes {
			break
		}
		entries = append(entries, e)
	}
	if n.leads(Term(req.Term)) {
		req.Entries = entries
	}
}
