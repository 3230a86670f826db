package raftlog

import (
	"sort"
	"time"

	"github.com/hashicorp/raft"
)

// handOverPauseMax bounds the pause between a witness's attempts to hand over.
const handOverPauseMax = 500 * time.Millisecond

// barrierPause is the first pause of a new leader that waits for its state
// machine.
const barrierPause = 200 * time.Microsecond

// lead does what a new leader has to do. It ends when that is done or when the
// term is lost.
func (n *Node) lead(t Term) {
	n.log.Info("leading", "term", uint64(t))
	if n.cfg.Role == RoleWitness || n.unfit() {
		n.handOver(t)
		return
	}
	for n.leads(t) {
		// The barrier returns after everything before it was queued for the state
		// machine. It was appended in t if t is still the term when it returns.
		f := n.raft.Barrier(0)
		if err := f.Error(); err == nil && n.leads(t) {
			if n.appliedBarrier(t, f.(raft.IndexFuture).Index()) {
				n.readyTerm.Store(uint64(t))
				n.leases.ready(t)
				n.refresh()
			} else if n.unfit() {
				n.handOver(t)
			}
			return
		}
		if !n.sleep(n.cfg.Timing.RetryPause) {
			return
		}
	}
}

// appliedBarrier waits until everything before a barrier was given to the state
// machine and applied. That may take as long as a lease that this process granted
// in an earlier term still runs (rule R7). It returns false if the term is lost
// before.
func (n *Node) appliedBarrier(t Term, barrier uint64) bool {
	index := Index(n.store.Visible(barrier))
	for pause := barrierPause; n.sm.Applied() < index; pause = min(2*pause, n.cfg.Timing.RetryPause) {
		if !n.leads(t) || n.unfit() || !n.sleep(pause) {
			return false
		}
	}
	return n.leads(t)
}

// unfit tells whether the state machine cannot be used, so that this data node is
// no more than a witness (rule W6).
func (n *Node) unfit() bool {
	u, ok := n.sm.(interface{ Unfit() bool })
	return ok && u.Unfit()
}

// stateless tells whether the state machine has nothing at all, since its state was
// damaged: the node keeps its log and votes, as a witness does, until a state has
// come from another node. The log is kept from the marker on, so that it continues
// such a state.
func (n *Node) stateless() bool {
	u, ok := n.sm.(interface{ Stateless() bool })
	return ok && u.Stateless()
}

// disowned has the state machine do without a state that the log does not continue,
// if it can get another one.
func (n *Node) disowned(why error) bool {
	l, ok := n.sm.(interface{ Lost(error) bool })
	return ok && l.Lost(why)
}

// handOver gives the lead of a witness to a data node. The transfer brings
// the target's log up to date first. It tries until the lead is gone: there is
// nothing else that a leading witness could do.
func (n *Node) handOver(t Term) {
	pause := n.cfg.Timing.RetryPause
	for n.leads(t) {
		for _, target := range n.handOverOrder() {
			if !n.leads(t) {
				return
			}
			err := n.transfer(n.ctx, target)
			if err == nil {
				n.log.Info("handed over", "term", uint64(t), "peer", target)
				return
			}
			n.log.Info("hand-over", "term", uint64(t), "peer", target, "err", err)
		}
		if !n.sleep(pause) {
			return
		}
		pause = min(2*pause, handOverPauseMax)
	}
}

// handOverOrder asks the data nodes for their logs, and returns those that
// answer soon, the longest log first.
func (n *Node) handOverOrder() []string {
	type found struct {
		name string
		last Index
	}
	links := n.peers()
	answers := make(chan *found, len(links))
	asked := 0
	for _, k := range links {
		if k.peer.Role != RoleData || !n.isVoter(k.peer.Name) {
			continue
		}
		asked++
		k.ping(func(p pong, err error) {
			if err != nil || p.Barred {
				answers <- nil
				return
			}
			answers <- &found{k.peer.Name, p.Last}
		})
	}
	var all []found
	timeout := time.NewTimer(n.cfg.Timing.HeartbeatTimeout)
	defer timeout.Stop()
	for ; asked > 0; asked-- {
		select {
		case f := <-answers:
			if f != nil {
				all = append(all, *f)
				// One is enough to begin with; the other gets a moment.
				timeout.Reset(n.cfg.Timing.RetryPause)
			}
		case <-timeout.C:
			asked = 1
		case <-n.ctx.Done():
			return nil
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].last != all[j].last {
			return all[i].last > all[j].last
		}
		return all[i].name < all[j].name
	})
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.name
	}
	return names
}
