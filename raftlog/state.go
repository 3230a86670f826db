package raftlog

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// watch is the current State and who waits for the next one.
type watch struct {
	mu struct {
		sync.Mutex
		state State
		ch    chan struct{} // closed when state is replaced
	}
}

// Watch returns the current state, and a channel that is closed when it has
// changed.
func (n *Node) Watch() (State, <-chan struct{}) {
	n.watch.mu.Lock()
	defer n.watch.mu.Unlock()
	return n.watch.mu.state, n.watch.mu.ch
}

// Term returns this voter's current term. It is persistent, never falls, and
// was raised before any vote of a later term left this node.
func (n *Node) Term() Term { return Term(n.raft.CurrentTerm()) }

// leads tells whether this node leads the given term at this moment.
//
// hashicorp/raft leaves the leader's state before it raises the term, and
// raises it before it becomes leader again: state and term fit together if the
// term is the same before and after.
func (n *Node) leads(t Term) bool {
	return n.Term() == t && n.raft.State() == raft.Leader && n.Term() == t
}

// ready returns the term that this node leads and is ready in.
func (n *Node) ready() (Term, bool) {
	t := n.Term()
	return t, t != 0 && Term(n.readyTerm.Load()) == t && n.leads(t) && n.Stalled() == nil
}

// notLeader returns the error of a call that found no leader here.
func (n *Node) notLeader() error {
	if n.ctx.Err() != nil {
		return ErrClosed
	}
	return ErrNotLeader
}

// refresh brings the watched state up to date.
func (n *Node) refresh() {
	n.watch.mu.Lock()
	defer n.watch.mu.Unlock()
	s := n.observe()
	old := n.watch.mu.state
	if s == old && n.watch.mu.ch != nil {
		return
	}
	n.watch.mu.state = s
	if n.watch.mu.ch != nil {
		close(n.watch.mu.ch)
	}
	n.watch.mu.ch = make(chan struct{})
	if s.Leader != old.Leader && s.Leader != "" {
		n.cfg.Metrics.LeaderChanged()
		n.log.Info("leader", "leader", s.Leader, "term", uint64(s.Term))
	}
}

func (n *Node) observe() State {
	for {
		t := n.Term()
		leads := n.raft.State() == raft.Leader
		_, id := n.raft.LeaderWithID()
		s := State{Term: t, Leader: string(id), IsLeader: leads}
		if leads {
			s.Leader = n.cfg.Name
			s.Ready = Term(n.readyTerm.Load()) == t && n.Stalled() == nil
			s.InSync, _ = n.leases.granted()
		} else if s.Leader == n.cfg.Name {
			s.Leader = "" // stepping down
		}
		if n.Term() == t {
			return s
		}
	}
}

// observer follows raft's state. A signal that is dropped is one too many: the
// state is read anew for each. The ticker is for what raft does not signal,
// a term that was raised.
func (n *Node) observer() {
	tick := time.NewTicker(n.cfg.Timing.HeartbeatTimeout / 20)
	defer tick.Stop()
	var led Term
	var q quorumWatch
	for {
		n.refresh()
		s, _ := n.Watch()
		q.look(n, s.Leader, time.Now())
		if t := n.Term(); t != led && n.leads(t) {
			led = t
			n.spawn(func() { n.lead(t) })
		}
		select {
		case <-n.signals:
		case <-n.kick:
		case <-tick.C:
			n.fillDoubt()
			n.watchdog()
		case <-n.ctx.Done():
			return
		}
	}
}

// watchdog makes a follower look for a new leader after one heartbeat timeout.
// raft itself waits up to two. Lowering the timeout is raft's way to fire the
// timer at once; raft then checks the last contact itself.
func (n *Node) watchdog() {
	contact := n.raft.LastContact()
	if contact.IsZero() || contact.Equal(n.fired) || n.raft.State() != raft.Follower {
		return
	}
	if time.Since(contact) < n.cfg.Timing.HeartbeatTimeout+n.stagger() {
		return
	}
	n.fired = contact
	c := n.raft.ReloadableConfig()
	c.HeartbeatTimeout -= time.Millisecond
	if err := n.raft.ReloadConfig(c); err != nil {
		n.log.Warn("watchdog", "err", err)
		return
	}
	c.HeartbeatTimeout += time.Millisecond
	if err := n.raft.ReloadConfig(c); err != nil {
		n.log.Warn("watchdog", "err", err)
	}
}

// stagger keeps two data nodes from campaigning at the same moment after a
// witness was lost while it led.
func (n *Node) stagger() time.Duration {
	_, leader := n.raft.LeaderWithID()
	rank := 0
	latest, _ := n.membership.configurations()
	for _, m := range latest.Servers {
		if m.Name == n.cfg.Name {
			break
		}
		if m.Voter && m.Role == n.cfg.Role && m.Name != string(leader) {
			rank++
		}
	}
	return time.Duration(rank) * n.cfg.Timing.HeartbeatTimeout / 4
}
