package raftlog

import (
	"time"
)

// renewals is how many times in the length of a promise leases are renewed.
const renewals = 8

// follow is what this node knows of the leases that others grant it.
type follow struct {
	incarnation uint64        // of this process, random
	epoch       uint64        // counts the times that the lease was given up
	barred      int           // reasons not to hold one
	asked       time.Duration // when the last request left that is unanswered; never if none is
	last        time.Duration // when the newest request left
}

// pacer keeps leases going: a leader sends messages that count as rounds where
// raft sends none, a follower asks for a lease.
func (n *Node) pacer() {
	interval := n.cfg.Timing.Promise / renewals
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if t := n.Term(); n.leads(t) {
			n.pace(t, interval)
		} else {
			n.renew()
		}
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// pace sends a heartbeat to each voter that was sent nothing for an interval.
func (n *Node) pace(t Term, interval time.Duration) {
	n.leases.watch(t, Index(n.raft.LastIndex()))
	if n.cfg.Role != RoleData || n.stalled() {
		return
	}
	alone := true
	latest, _ := n.membership.configurations()
	for _, v := range latest.voters() {
		if v == n.cfg.Name {
			continue
		}
		alone = false
		if n.leases.due(v, t, interval*3/4) {
			n.trans.heartbeat(n, v, t)
		}
	}
	if alone {
		n.leases.beginRound("", t)
		n.leases.answered("", t, never)
	}
}

// renew asks the leader for a lease, if it is another data node.
func (n *Node) renew() {
	if n.cfg.Role != RoleData {
		return
	}
	if n.stalled() {
		if n.leases.held.Load() != nil {
			n.bar()() // rule R13: it goes back, and may be asked for again
		}
		return
	}
	_, leader := n.raft.LeaderWithID()
	k := n.link(string(leader))
	if k == nil || k.peer.Role != RoleData || n.promises.starting() > 0 || n.doubt.is() {
		return
	}
	p, epoch, ok := n.leases.request()
	if !ok {
		return
	}
	p.Applied = n.sm.Applied()
	k.send(p, func(a pong, err error) {
		n.leases.took(p, epoch, a, err)
	})
}

// request makes a request for a lease, unless one is out or the node must not
// hold a lease.
func (l *leases) request() (p ping, epoch uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.mu.follow
	now := l.clock.Now()
	if f.barred > 0 || f.asked != never && now-f.asked < l.promise {
		return p, 0, false
	}
	// Rule R4: the lease counts from an instant before the request leaves.
	f.asked, f.last = now, now
	return ping{Kind: controlPing, Wants: true, Term: l.term(), Incarnation: f.incarnation, At: now}, f.epoch, true
}

// took takes the lease that an answer grants.
func (l *leases) took(p ping, epoch uint64, a pong, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.mu.follow
	if f.asked == p.At {
		f.asked = never
	}
	// A lease that was given up since the request was made stays so.
	if err != nil || f.epoch != epoch || f.barred > 0 || a.Lease <= 0 || a.Term != p.Term || l.term() != p.Term {
		return
	}
	until := p.At + a.Lease
	if h := l.held.Load(); h == nil || h.term != p.Term || h.until < until {
		l.held.Store(&lease{p.Term, until})
	}
}

// give gives up the lease that this node holds from another one. The returned
// instant is such that it holds none that it asked for up to then.
func (l *leases) give() (incarnation uint64, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.mu.follow
	f.epoch++
	f.asked = never
	if h := l.held.Load(); h != nil && h.term != l.mu.lead.term {
		l.held.Store(nil)
	}
	return f.incarnation, f.last
}

func (l *leases) barBy(d int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.follow.barred += d
}

// bar gives up the lease that another node granted, tells it so, and holds none
// until the returned function is called.
func (n *Node) bar() (unbar func()) {
	n.giveBack(func() {})
	return func() { n.leases.barBy(-1) }
}

// giveBack is bar, for good. It calls told once the leader has answered, or if it
// cannot be told.
func (n *Node) giveBack(told func()) {
	n.leases.barBy(1)
	incarnation, at := n.leases.give()
	if _, leader := n.raft.LeaderWithID(); leader != "" {
		if k := n.link(string(leader)); k != nil {
			k.send(ping{Kind: controlReturn, Term: n.Term(), Incarnation: incarnation, At: at}, func(pong, error) { told() })
			return
		}
	}
	told()
}

// returnLease has this node hold no lease any more, and waits until the leader knows,
// or would have taken the lease for ended by itself: what the leader commits is
// shown without this node from then on, so that its end pauses nobody. The lease is
// void here before the leader hears of it.
func (n *Node) returnLease() {
	if n.sm == nil {
		return
	}
	told := make(chan struct{})
	n.giveBack(func() { close(told) })
	select {
	case <-told:
	case <-time.After(n.cfg.Timing.Promise):
	}
}

// GiveUpLease has this node hold no lease from another node until resume is
// called: it is about to stop, or its own copy is not fit to be read. It is
// certain when the call returns; the leader learns it as soon as a message gets
// there, and by the lease's end otherwise.
func (n *Node) GiveUpLease() (resume func()) { return n.bar() }
