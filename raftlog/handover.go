package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// handOverLook is the longest pause between two looks at how a transfer gets on.
// Nothing is proposed meanwhile.
const handOverLook = 2 * time.Millisecond

// TransferLeadership hands the lead to another data node. Proposals are refused
// with ErrNotLeader until it succeeded or failed. It returns nil once the lead
// is given up.
func (n *Node) TransferLeadership(ctx context.Context, to string) error {
	k := n.link(to)
	if k == nil || k.peer.Role != RoleData || !n.isVoter(to) {
		return fmt.Errorf("raftlog: %q is not another data node with a vote", to)
	}
	if _, ok := n.ready(); !ok {
		return n.notLeader()
	}
	// A transfer to a member that is away would hold up proposals for nothing.
	// One that is just starting could not take it, and the own lease would be gone.
	up := make(chan error, 1)
	k.ping(func(p pong, err error) {
		if err == nil && p.Barred {
			err = errors.New("it cannot take the lead now: its process has just started, or its disk does not answer; try again in a moment")
		}
		up <- err
	})
	select {
	case err := <-up:
		if err != nil {
			return fmt.Errorf("raftlog: %s cannot lead: %w", to, err)
		}
	case <-time.After(n.cfg.Timing.HeartbeatTimeout):
		return fmt.Errorf("raftlog: %s does not answer", to)
	case <-ctx.Done():
		return ctx.Err()
	}
	return n.transfer(ctx, to)
}

// transfer runs one transfer at a time.
func (n *Node) transfer(ctx context.Context, to string) error {
	// From now on nothing is proposed.
	if !n.transferring.CompareAndSwap(false, true) {
		return errors.New("raftlog: a transfer is under way")
	}
	done := make(chan error, 1)
	ok := n.spawn(func() {
		defer n.transferring.Store(false)
		done <- n.handTo(ctx, to)
	})
	if !ok {
		n.transferring.Store(false)
		return ErrClosed
	}
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, ErrNotLeader) {
			err = fmt.Errorf("raftlog: transfer to %s: %w", to, err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handTo is rule R6: after it no lease of the term is in force but the target's,
// which is void as soon as it has a term of its own.
//
// It does not use raft's own transfer. In v1.7.3 that hands its request to the
// goroutine that replicates to the target, through a channel of one place and
// without an end. If one transfer has timed out over a target that hangs, and the
// lead is lost during the next one, nobody ever takes that request: the transfer
// counts as being in progress for good, and this process refuses every proposal in
// every later term that it leads.
func (n *Node) handTo(ctx context.Context, to string) error {
	t := n.Term()
	if !n.leads(t) {
		return ErrNotLeader
	}
	// A new leader can be asked for its followers' logs before the first entry of its
	// term is in its own. A target without that entry would not get this node's vote.
	last := func() bool {
		index, _ := n.leases.acked(to, t)
		end := n.raft.LastIndex()
		term, _ := n.store.Term(end)
		return len(n.slots) == 0 && Term(term) == t && uint64(index) >= end
	}
	if err := n.await(ctx, t, last); err != nil {
		return fmt.Errorf("it does not get the end of the log: %w", err)
	}
	if n.cfg.Role == RoleData { // nobody promises anything to a witness
		if err := n.renounce(ctx, t, to); err != nil {
			return err
		}
	}
	if err := n.trans.handTo(to, t); err != nil && n.leads(t) {
		return fmt.Errorf("it does not take the lead: %w", err)
	}
	if err := n.await(ctx, t, func() bool { return false }); err != nil {
		return fmt.Errorf("it was not elected: %w", err)
	}
	return nil
}

// await waits until it is so, or the term is lost, for ElectionTimeout at most.
func (n *Node) await(ctx context.Context, t Term, so func() bool) error {
	deadline := time.Now().Add(n.cfg.Timing.ElectionTimeout)
	for pause := barrierPause; n.leads(t) && !so(); pause = min(2*pause, handOverLook) {
		if time.Now().After(deadline) {
			return errNoAnswer
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
	return nil
}

// renounce gives up the leases of the term, and then the promises that they rest
// on: in that order (Lemma 1 of docs/consistency.md).
func (n *Node) renounce(ctx context.Context, t Term, to string) error {
	n.leases.renounce(t) // and so nothing is granted any more
	for {
		peer, left := n.leases.granted()
		if peer == "" || peer == to {
			break
		}
		select {
		case <-time.After(min(max(left, time.Millisecond), n.cfg.Timing.Promise/renewals)):
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
	if !n.leads(t) {
		return ErrNotLeader
	}
	n.promises.drop(n.cfg.Name, t, to)
	n.tellRelease(t, to)
	return nil
}

// tellRelease tells the voters that they may vote for the target. Who does not
// answer soon is not waited for: its promise runs out by itself, and the target
// asks again until it has.
func (n *Node) tellRelease(t Term, to string) {
	links := n.peers()
	answers := make(chan struct{}, len(links))
	open := 0
	for _, k := range links {
		if k.peer.Name != to { // to whom TimeoutNow says it
			open++
			k.send(ping{Kind: controlRelease, Term: t, Name: to}, func(pong, error) { answers <- struct{}{} })
		}
	}
	timeout := time.After(n.cfg.Timing.Promise / renewals)
	for ; open > 0; open-- {
		select {
		case <-answers:
		case <-timeout:
			return
		case <-n.ctx.Done():
			return
		}
	}
}
