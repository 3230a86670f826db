package raftlog

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/hashicorp/raft"
)

// handOverPauseMax bounds the pause between a witness's attempts to hand over.
const handOverPauseMax = 500 * time.Millisecond

// lead does what a new leader has to do. It ends when that is done or when the
// term is lost.
func (n *Node) lead(t Term) {
	n.log.Info("leading", "term", uint64(t))
	if n.cfg.Role == RoleWitness {
		n.handOver(t)
		return
	}
	for n.leads(t) {
		// The barrier returns after everything before it was delivered. It was
		// appended in t if t is still the term when it returns.
		err := n.raft.Barrier(0).Error()
		if err == nil && n.leads(t) {
			n.readyTerm.Store(uint64(t))
			n.refresh()
			return
		}
		if !n.sleep(n.cfg.Timing.RetryPause) {
			return
		}
	}
}

// handOver gives the lead of a witness to a data node. Raft's transfer brings
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
	answers := make(chan *found, len(n.links))
	asked := 0
	for _, k := range n.links {
		if k.peer.Role != RoleData {
			continue
		}
		asked++
		k.ping(func(p pong, err error) {
			if err != nil {
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

// TransferLeadership hands the lead to another data node. Proposals are refused
// with ErrNotLeader until it succeeded or failed. It returns nil once the lead
// is given up.
func (n *Node) TransferLeadership(ctx context.Context, to string) error {
	k := n.link(to)
	if k == nil || k.peer.Role != RoleData {
		return fmt.Errorf("raftlog: %q is not another data node", to)
	}
	if _, ok := n.ready(); !ok {
		return n.notLeader()
	}
	// A transfer to a member that is away would hold up proposals for nothing.
	up := make(chan error, 1)
	k.ping(func(_ pong, err error) { up <- err })
	select {
	case err := <-up:
		if err != nil {
			return fmt.Errorf("raftlog: %s does not answer: %w", to, err)
		}
	case <-time.After(n.cfg.Timing.HeartbeatTimeout):
		return fmt.Errorf("raftlog: %s does not answer", to)
	case <-ctx.Done():
		return ctx.Err()
	}
	return n.transfer(ctx, to)
}

// transfer runs one leadership transfer of raft at a time.
func (n *Node) transfer(ctx context.Context, to string) error {
	if !n.transferring.CompareAndSwap(false, true) {
		return errors.New("raftlog: a transfer is under way")
	}
	done := make(chan error, 1)
	ok := n.spawn(func() {
		// While the flag is set the transport does not wait for members that
		// are away: raft's transfer may be waiting for that very goroutine.
		defer n.transferring.Store(false)
		done <- n.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to)).Error()
	})
	if !ok {
		n.transferring.Store(false)
		return ErrClosed
	}
	select {
	case err := <-done:
		if errors.Is(err, raft.ErrNotLeader) {
			return ErrNotLeader
		}
		if err != nil {
			return fmt.Errorf("raftlog: transfer to %s: %w", to, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
