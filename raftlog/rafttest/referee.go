package rafttest

import (
	"maps"
	"sync"
	"time"

	"twofold/raftlog"
)

// Referee looks again and again whether the leases of a cluster keep what they
// promise. It sees one moment at a time: what it finds is wrong, but it need not
// find everything.
type Referee struct {
	c    *Cluster
	stop chan struct{}
	done chan struct{}

	mu struct {
		sync.Mutex
		nodes map[string]*raftlog.Node
		machs map[string]*Machine // of the data nodes
		top   raftlog.Index       // highest index that was ever applied
		term  raftlog.Term        // highest that was ever led
		held  map[string]int
		looks int
	}
}

// NewReferee begins to look, every interval.
func NewReferee(c *Cluster, interval time.Duration) *Referee {
	r := &Referee{c: c, stop: make(chan struct{}), done: make(chan struct{})}
	r.mu.held = map[string]int{}
	r.Update()
	go func() {
		defer close(r.done)
		for {
			r.look()
			select {
			case <-r.stop:
				return
			case <-time.After(interval):
			}
		}
	}()
	return r
}

// Update has it look at the nodes that run now. What it looked at before, a crashed
// node say, it must go on looking at until then.
func (r *Referee) Update() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.nodes, r.mu.machs = maps.Clone(r.c.Nodes), maps.Clone(r.c.Machines)
}

// Stop ends it, and returns in which share of its looks each node held a lease.
func (r *Referee) Stop() map[string]float64 {
	close(r.stop)
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	share := map[string]float64{}
	for name, n := range r.mu.held {
		share[name] = float64(n) / float64(r.mu.looks)
	}
	return share
}

// look checks Lemmas 1 and 2 of docs/consistency.md: whoever holds a lease has in
// its log what anybody applied before, and no leader of a later term was there
// before.
func (r *Referee) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.looks++
	for name, n := range r.mu.nodes {
		if m := r.mu.machs[name]; m != nil {
			r.mu.top = max(r.mu.top, m.Applied())
		}
		if s, _ := n.Watch(); s.IsLeader {
			r.mu.term = max(r.mu.term, s.Term)
		}
	}
	for name, n := range r.mu.nodes {
		term, ok := n.Lease()
		if !ok {
			continue
		}
		r.mu.held[name]++
		m := r.mu.machs[name]
		switch {
		case m == nil:
			r.c.t.Errorf("%s, a witness, holds a lease of term %d", name, term)
		case term < r.mu.term:
			r.c.t.Errorf("%s holds a lease of term %d, term %d was led before", name, term, r.mu.term)
		case m.Last() < r.mu.top:
			r.c.t.Errorf("%s holds a lease of term %d, its log ends at %d, %d was applied before", name, term, m.Last(), r.mu.top)
		}
	}
}
