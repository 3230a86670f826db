package main

import (
	"context"
	"fmt"
	"time"

	"twofold/raftlog"
	"twofold/replica/catchup"
)

// askLimit is how long the status waits for the other members to say how they
// are.
const askLimit = 500 * time.Millisecond

// status is what this node knows of the cluster, with its verdict.
func (n *node) status(ctx context.Context) *clusterStatus {
	s := &clusterStatus{
		Cluster:       n.cfg.Cluster,
		Node:          n.cfg.Node,
		Role:          n.cfg.Role,
		Version:       buildVersion(),
		Ready:         true,
		InsecurePeers: n.cfg.InsecurePeers,
	}
	if err := n.ready(ctx); err != nil {
		s.Ready, s.NotReady = false, err.Error()
	}
	var log raftlog.Status
	if p := n.parts.Load(); p != nil {
		ask, cancel := context.WithTimeout(ctx, askLimit)
		log = p.raft.FreshStatus(ask)
		cancel()
		if log.Stalled == nil { // a store whose disk hangs may not answer
			s.Volume, s.Integrity = p.volume(), p.integrity()
			s.Transfers = p.transfers(time.Now())
		}
		if p.store != nil {
			s.Clocks = clockSkews(p.store.ClockSkews())
			s.Lease = leases(log.Lease)
		}
		s.Protected, s.NotProtected = log.Protection.Protected, log.Protection.Reason
	}
	s.DiskShort = n.diskTight()
	if n.keeper != nil {
		s.Exports, s.RPCBind = n.keeper.status(), n.mapper.status()
	}
	s.Term, s.Leader = uint64(log.State.Term), log.State.Leader
	s.Members = n.members(log)
	s.judge()
	return s
}

func leases(l raftlog.LeaseStatus) *leaseStatus {
	s := &leaseStatus{Held: l.Held != 0, Left: l.Left.Seconds(), Granted: l.InSync}
	if l.InSync == "" {
		s.Refused = l.Refused
	}
	return s
}

// clockSkews are in seconds, for JSON.
func clockSkews(skews map[string]time.Duration) map[string]float64 {
	out := map[string]float64{}
	for name, ahead := range skews {
		out[name] = ahead.Seconds()
	}
	return out
}

// members are all members as this node knows them.
func (n *node) members(log raftlog.Status) []memberStatus {
	known := n.memberList()
	all := make([]memberStatus, 0, len(known))
	for _, m := range known {
		all = append(all, n.memberStatus(m, log))
	}
	measure(all)
	return all
}

// transfers tells of the states that this node gives and takes now.
func (p *nodeParts) transfers(now time.Time) (all []transferStatus) {
	if p.store == nil {
		return nil
	}
	given, taken := p.store.Transfers()
	for _, t := range []struct {
		direction string
		catchup.Status
	}{{"given", given}, {"taken", taken}} {
		if !t.Active {
			continue
		}
		s := transferStatus{Direction: t.direction, Bytes: t.Bytes, Rate: uint64(t.Rate(now)), Done: t.Done, Of: t.Differ, Left: -1}
		if left, ok := t.Left(now); ok {
			s.Left = left.Seconds()
		}
		all = append(all, s)
	}
	return all
}

// volume tells of this node's copy, or nothing if there is none.
func (p *nodeParts) volume() *volumeStatus {
	if p.store == nil {
		return nil
	}
	v, err := p.store.Volume()
	if err != nil {
		return nil
	}
	inodes, bytes := p.store.Stats()
	return &volumeStatus{FSID: fmt.Sprintf("%016x", v.FSID()), BlockSize: v.BlockSize, Inodes: inodes, Bytes: bytes}
}

// memberStatus is one member: this node as it is, another one as it last said.
func (n *node) memberStatus(m rosterMember, log raftlog.Status) memberStatus {
	s := memberStatus{Name: m.Name, Role: m.Role, Addr: m.Addr, Voter: m.Voter, Replaces: m.Replaces, Identity: m.Identity, Leader: m.Name == log.State.Leader}
	if m.Name == n.cfg.Node {
		s.Answers, s.Term, s.DiskStalled = true, uint64(log.State.Term), log.Stalled != nil
		s.Commit, s.Applied, s.Last = uint64(log.Commit), uint64(log.Applied), uint64(log.Last)
		s.LogDamaged = log.Damaged != ""
		return s
	}
	for _, p := range log.Peers {
		if p.Name != m.Name {
			continue
		}
		s.Answers, s.Term, s.DiskStalled = p.Reachable, uint64(p.Term), p.Reachable && p.Stalled
		s.Commit, s.Applied, s.Last = uint64(p.Commit), uint64(p.Applied), uint64(p.Last)
	}
	if info, ok := n.mux.PeerInfo(m.Name); ok && !s.Answers {
		s.Problem = info.Problem
	}
	return s
}

// observeEvery is how often the figures that nobody reports are copied into
// the collectors.
const observeEvery = time.Second

// observe keeps the lag of the other members in the metrics until ctx ends.
func (n *node) observe(ctx context.Context, p *nodeParts) error {
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for {
		n.watchDisk()
		for _, m := range n.members(p.raft.Status()) {
			if m.Name != n.cfg.Node {
				n.metrics.replica.SetPeerLag(m.Name, m.Behind)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
