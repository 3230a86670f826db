package raftlog

import (
	"context"
	"time"
)

// Status is a snapshot of what a node knows, for people and metrics.
type Status struct {
	Name      string
	Role      Role
	State     State
	First     Index // first entry of the log
	Last      Index
	Commit    Index
	Delivered Index // last entry that was handed to the state machine
	Applied   Index // zero on a witness
	Durable   Index // zero on a witness
	Watermark Index // every member holds the log up to here, data nodes as state
	DataMark  Index // every data node is durable up to here
	LogBytes  uint64
	Damaged   string // why this node does not vote now: damage in its log; empty if it is sound
	Stalled   error  // why this node stands aside; nil if its disk answers
	Lease     LeaseStatus
	Peers     []PeerStatus // by name

	Protection Protection
}

// LeaseStatus is what a node knows of leases.
type LeaseStatus struct {
	Held    Term          // the term whose lease this node holds; 0 for none
	Left    time.Duration // how long it runs still
	InSync  string        // who may hold a lease that this node granted; empty for nobody
	Granted time.Duration // how long at most that one runs still
	Refused string        // why the last request here got none; empty if it got one
}

// status returns what leases there are.
func (l *leases) status() (s LeaseStatus) {
	now := l.clock.Now()
	if h := l.held.Load(); h != nil && h.term == l.term() && h.until > now {
		s.Held, s.Left = h.term, h.until-now
	}
	if s.InSync, s.Granted = l.granted(); s.InSync == "" {
		s.Granted = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Refused = l.mu.refused
	return s
}

// PeerStatus is what another member last said of itself.
type PeerStatus struct {
	Member
	Reachable bool          // it answered a ping within three intervals
	Age       time.Duration // of the answer; zero if there never was one
	IsLeader  bool
	Ready     bool
	Stalled   bool // its disk does not answer
	Term      Term
	First     Index // first entry of its log
	Last      Index
	Commit    Index
	Delivered Index
	Applied   Index
	Durable   Index
	LogBytes  uint64
}

// FreshStatus asks the other members how they are and returns the status with
// their answers. Whoever has not answered when ctx ends is not reachable.
func (n *Node) FreshStatus(ctx context.Context) Status {
	links := n.peers()
	answers := make(chan string, len(links)) // a name, or "" for a failure
	for _, l := range links {
		l.ping(func(_ pong, err error) {
			if err != nil {
				answers <- ""
				return
			}
			answers <- l.peer.Name
		})
	}
	answered := map[string]bool{}
	for open := len(links); open > 0 && ctx.Err() == nil; open-- {
		select {
		case name := <-answers:
			answered[name] = true
		case <-ctx.Done():
		}
	}
	s := n.Status()
	for i := range s.Peers {
		s.Peers[i].Reachable = answered[s.Peers[i].Name]
	}
	return s
}

// Status returns the node's status. It does not wait for other members.
func (n *Node) Status() Status {
	state, _ := n.Watch()
	own := n.self()
	first, _ := n.store.FirstIndex()
	s := Status{
		Name:      n.cfg.Name,
		Role:      n.cfg.Role,
		State:     state,
		First:     Index(first),
		Last:      own.Last,
		Commit:    own.Commit,
		Delivered: own.Delivered,
		Applied:   own.Applied,
		Durable:   own.Durable,
		Watermark: Index(n.fsm.watermark.Load()),
		DataMark:  Index(n.fsm.dataMark.Load()),
		LogBytes:  own.LogBytes,
		Damaged:   n.doubt.reason(),
		Stalled:   n.Stalled(),
		Lease:     n.leases.status(),
	}
	for _, l := range n.peers() {
		s.Peers = append(s.Peers, n.peerStatus(l))
	}
	s.Protection = n.protection(&s)
	return s
}

func (n *Node) peerStatus(l *link) PeerStatus {
	p, at := l.state()
	s := PeerStatus{Member: l.peer}
	if at.IsZero() {
		return s
	}
	s.Age = time.Since(at)
	s.Reachable = s.Age < 3*n.cfg.Timing.PingInterval
	s.IsLeader, s.Ready, s.Stalled, s.Term = p.Leader, p.Ready, p.Stalled, p.Term
	s.First, s.Last, s.Commit, s.Delivered = p.First, p.Last, p.Commit, p.Delivered
	s.Applied, s.Durable, s.LogBytes = p.Applied, p.Durable, p.LogBytes
	return s
}

// answer answers a ping of another member, after it arrived.
func (n *Node) answer(peer string, p ping) pong {
	n.reached(peer, p.Term)
	own := n.self()
	switch {
	case p.Kind == controlReturn:
		n.leases.returned(peer, p.Incarnation, p.At)
	case p.Kind == controlRelease:
		n.promises.drop(peer, p.Term, p.Name)
	case p.Wants && n.stalled():
		// Rule R13: nothing is granted.
	case p.Wants:
		own.Lease = n.leases.grantTo(peer, ask{p.Term, p.Incarnation, p.At, p.Applied, p.Promise})
	}
	return own
}

// reached is told of the current term of another member, which may end what was
// promised or granted in an earlier one.
func (n *Node) reached(peer string, t Term) {
	n.leases.reached(peer, t)
	n.promises.reached(peer, t)
}

// self answers a ping, so it is on the way of every read. The term is read
// here, after the ping arrived: a read index rests on that.
func (n *Node) self() pong {
	t := n.Term()
	p := pong{
		Role:      n.cfg.Role,
		Term:      t,
		Leader:    n.leads(t),
		Last:      Index(n.raft.LastIndex()),
		Commit:    n.commitIndex(),
		Delivered: Index(n.fsm.delivered.Load()),
		LogBytes:  n.store.Bytes(),
		First:     n.logFirst(),
		Promise:   n.cfg.Timing.Promise.Truncate(time.Microsecond),
	}
	p.Stalled = n.Stalled() != nil
	p.Barred = n.cfg.Role != RoleData || n.stalled() || n.doubt.is() || n.promises.barred(n.cfg.Name, t) > 0
	p.Ready = p.Leader && Term(n.readyTerm.Load()) == t && !p.Stalled
	if n.sm != nil {
		p.Applied = n.sm.Applied()
		if !n.unfit() { // else it is not complete up to anywhere (rule W2)
			p.Durable, _ = n.sm.Durable()
		}
	}
	return p
}

// report feeds the metrics.
func (n *Node) report() {
	p := n.self()
	applied := p.Applied
	if n.sm == nil {
		applied = p.Delivered
	}
	n.cfg.Metrics.SetState(uint64(p.Term), uint64(p.Commit), uint64(applied), uint64(p.Last), p.Leader)
	_, held := n.Lease()
	n.cfg.Metrics.SetLease(held)
}
