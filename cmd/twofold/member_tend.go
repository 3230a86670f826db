package main

import (
	"context"
	"errors"
	"time"

	"twofold/raftlog"
)

const (
	// tendEvery is how often a leader looks whether the members are what they are
	// to become.
	tendEvery = 500 * time.Millisecond
	// changeLimit bounds one change of the members.
	changeLimit = 20 * time.Second
)

// tendMembers finishes, as the leader, what an operator began, until ctx ends: a new
// member that has caught up gets its vote, and the one that it replaces is removed.
// What is to be done is in the configuration itself, so that it goes on under
// whoever leads.
func (n *node) tendMembers(ctx context.Context, p *nodeParts) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if !n.isLeader() {
			continue
		}
		step, cancel := context.WithTimeout(ctx, changeLimit)
		err := n.tendOnce(step, p)
		cancel()
		if err != nil && ctx.Err() == nil && !errors.Is(err, raftlog.ErrNotLeader) {
			n.log.Info("the change of the members waits", "err", err)
		}
	}
}

// tendOnce takes the next step, if one is due.
func (n *node) tendOnce(ctx context.Context, p *nodeParts) error {
	latest, committed, _ := p.raft.Members()
	if latest.Index != committed.Index {
		return nil // one change at a time
	}
	r := n.rosterOf(latest)
	for _, m := range r.Members {
		switch old := r.replacedBy(m); {
		case !m.Voter && n.caughtUp(ctx, p, m.Name):
			n.log.Info("the new member has caught up and gets its vote", "member", m.Name)
			return p.raft.PromoteMember(ctx, m.Name)
		case !m.Voter || old == "":
		case old == n.cfg.Node:
			n.log.Info("this node is replaced and hands the lead over", "member", m.Name)
			_, err := n.transferLeadership(ctx, "")
			return err
		default:
			n.log.Info("the replaced member is removed", "member", old, "by", m.Name)
			return p.raft.RemoveMember(ctx, old)
		}
	}
	return nil
}

// replacedBy returns the name of the member whose place m takes and that is still
// there. It is known by its identity: another one may have its name one day.
func (r *roster) replacedBy(m rosterMember) string {
	for _, o := range r.Members {
		if m.Replaces != "" && o.Identity == m.Replaces {
			return o.Name
		}
	}
	return ""
}

// caughtUp reports that a member says that it has what is committed, but for the
// last moments.
func (n *node) caughtUp(ctx context.Context, p *nodeParts, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	for _, m := range n.members(p.raft.FreshStatus(ctx)) {
		if m.Name == name {
			return m.InSync && m.Last > 0
		}
	}
	return false
}
