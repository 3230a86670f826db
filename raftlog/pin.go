package raftlog

import (
	"math"
	"sync"
)

// pinFactor is by how much what a pin keeps may exceed MaxLogBytes. Beyond that it
// is given up: its follower begins again with a newer marker, and finds what it has
// staged so far.
const pinFactor = 2

// pins hold the leader's log for followers that are given a state: what is above
// the marker that they will continue from. A pin moves on with what its follower
// acknowledges, and ends when that has caught up or the lead is lost.
type pins struct {
	mu struct {
		sync.Mutex
		byPeer map[string]pin
	}
}

// pin keeps the entry at index and what follows.
type pin struct {
	term  Term
	index Index
}

func (p *pins) set(peer string, t Term, index Index) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.byPeer == nil {
		p.mu.byPeer = map[string]pin{}
	}
	p.mu.byPeer[peer] = pin{t, index}
}

func (p *pins) has(peer string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.mu.byPeer[peer]
	return ok
}

// all returns a copy.
func (p *pins) all() map[string]pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]pin, len(p.mu.byPeer))
	for name, pin := range p.mu.byPeer {
		out[name] = pin
	}
	return out
}

func (p *pins) drop(peer string, was pin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.byPeer[peer] == was {
		delete(p.mu.byPeer, peer)
	}
}

// pinned returns the highest index that may be cut for all followers that are
// given a state, and drops the pins that are over.
func (n *Node) pinned() Index {
	limit := Index(math.MaxUint64)
	most := pinFactor * n.maxLogBytes(n.cfg.Tight())
	for peer, p := range n.pins.all() {
		match, _ := n.leases.acked(peer, p.term)
		switch {
		case !n.leads(p.term), match > p.index && match >= n.commitIndex():
			n.pins.drop(peer, p)
			continue
		case n.store.BytesAbove(uint64(max(p.index, match))) > most:
			n.log.Warn("the log is too long to be kept for a member that is given a state; it begins again with a newer one",
				"peer", peer, "bytes", n.store.Bytes(), "limit", most)
			n.pins.drop(peer, p)
			continue
		}
		limit = min(limit, max(p.index, match)-1)
	}
	return limit
}
