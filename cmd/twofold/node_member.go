package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"twofold/raftlog"
	"twofold/replica/vfs"
)

const (
	// memberWait bounds how long a node that starts keeps its clients waiting
	// until its addresses are known to all.
	memberWait = 10 * time.Second
	// memberPause is how long it waits between two attempts.
	memberPause = 50 * time.Millisecond
	// memberEvery is how often a node looks whether addresses have changed.
	memberEvery = 30 * time.Second
	// memberLinger is how long the record of a member that was removed stays. What
	// was called from its host may be repeated, and is known by the record as the
	// same client's: for some times as long as an answer is remembered.
	memberLinger = 10 * time.Minute
)

// goneMembers has since when this node has seen a record whose member is none any
// more, by name.
type goneMembers map[string]time.Time

// due returns the records that have had their time. The limit of records would else
// be that of all the members that a cluster can ever have. Nothing rests on a record
// but whose calls are one client's: who may vote and who is let in is decided by the
// log and by identities, which no record has a part in.
func (g goneMembers) due(records []vfs.Member, members []rosterMember, now time.Time) (due []vfs.Member) {
	there := map[string]bool{}
	for _, m := range members {
		there[m.Name] = true
	}
	for _, r := range records {
		since, seen := g[r.Name]
		switch {
		case there[r.Name]:
			delete(g, r.Name)
		case !seen:
			g[r.Name] = now
		case now.Sub(since) >= memberLinger:
			due = append(due, r)
		}
	}
	for name := range g {
		if !slices.ContainsFunc(records, func(r vfs.Member) bool { return r.Name == name }) {
			delete(g, name)
		}
	}
	return due
}

// publishFirst makes this node's addresses known before it serves, so that a
// call that a program on this host makes here and repeats at the other node is
// known there. A node that cannot do so in time serves nevertheless: without a
// quorum there is nothing to repeat, and keepMembers goes on trying.
func (n *node) publishFirst(ctx context.Context, p *nodeParts) {
	ctx, cancel := context.WithTimeout(ctx, memberWait)
	defer cancel()
	for {
		err := n.publishSelf(ctx, p)
		if err == nil {
			return
		}
		select {
		case <-time.After(memberPause):
		case <-ctx.Done():
			n.log.Warn("this node's addresses are not published yet", "err", err)
			return
		}
	}
}

// keepMembers publishes what changes of this node's addresses and, at the
// leader, of the witness's, and takes out there what members that are gone have left,
// until ctx ends.
func (n *node) keepMembers(ctx context.Context, p *nodeParts) error {
	tick := time.NewTicker(memberEvery)
	defer tick.Stop()
	gone := goneMembers{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := p.store.Volume(); err != nil {
			continue
		}
		if err := n.publishSelf(ctx, p); err != nil && ctx.Err() == nil {
			n.log.Warn("this node's addresses are not published", "err", err)
		}
		if err := n.publishWitness(ctx, p); err != nil && ctx.Err() == nil {
			n.log.Warn("the witness's addresses are not published", "err", err)
		}
		if err := n.dropGone(ctx, p, gone); err != nil && ctx.Err() == nil {
			n.log.Warn("the addresses of a member that is gone are still there", "err", err)
		}
	}
}

// dropGone takes out, at the leader, the records of members that are long gone.
func (n *node) dropGone(ctx context.Context, p *nodeParts, gone goneMembers) error {
	records, _ := p.store.Members()
	due := gone.due(records, n.memberList(), time.Now())
	if st, _ := p.raft.Watch(); !st.IsLeader {
		return nil
	}
	for _, r := range due {
		if err := p.store.DropMember(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// publishSelf publishes this node's record.
func (n *node) publishSelf(ctx context.Context, p *nodeParts) error {
	addrs, err := hostAddrs()
	if err != nil {
		return err
	}
	return p.store.PublishMember(ctx, vfs.Member{Name: n.cfg.Node, ID: n.id.NodeID, Addrs: addrs})
}

// publishWitness publishes, at the leader, what the witness's streams say of
// its addresses: it has no store of its own to do so.
func (n *node) publishWitness(ctx context.Context, p *nodeParts) error {
	if st, _ := p.raft.Watch(); !st.IsLeader {
		return nil
	}
	for _, m := range n.memberList() {
		info, ok := n.mux.PeerInfo(m.Name)
		if m.Role != raftlog.RoleWitness || !ok || info.NodeID.IsZero() {
			continue
		}
		known, _ := p.store.Members()
		record := gathered(known, vfs.Member{Name: m.Name, ID: info.NodeID, Addrs: info.Addrs})
		if len(record.Addrs) == 0 {
			continue
		}
		if err := p.store.PublishMember(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

// gathered is the record of a member that says at each stream only by which
// address it came: what it said before stays, as long as its directory is the
// same. Loopback is every node's own and says nothing to others.
func gathered(known []vfs.Member, said vfs.Member) vfs.Member {
	said.Addrs = slices.DeleteFunc(slices.Clone(said.Addrs), netip.Addr.IsLoopback)
	for _, old := range known {
		if old.Name == said.Name && old.ID == said.ID {
			said.Addrs = append(said.Addrs, old.Addrs...)
		}
	}
	return said
}

// hostAddrs returns the addresses of all interfaces that are up.
func hostAddrs() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // It went away meanwhile.
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(n.IP); ok {
					all = append(all, addr.Unmap())
				}
			}
		}
	}
	return usefulAddrs(all), nil
}

// usefulAddrs returns those by which other hosts know this one; without any, the
// link-local ones, and without those, loopback.
func usefulAddrs(all []netip.Addr) []netip.Addr {
	for _, use := range []func(netip.Addr) bool{
		func(a netip.Addr) bool { return !a.IsLoopback() && !a.IsLinkLocalUnicast() },
		netip.Addr.IsLinkLocalUnicast,
		netip.Addr.IsLoopback,
	} {
		var some []netip.Addr
		for _, a := range all {
			if use(a) {
				some = append(some, a)
			}
		}
		if len(some) > 0 {
			return some
		}
	}
	return nil
}
