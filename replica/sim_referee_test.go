package replica_test

import (
	"sync"
	"time"

	"twofold/raftlog"
)

// refereeEvery is how often the leases are looked at, in virtual time.
const refereeEvery = 2 * time.Millisecond

// referee looks at all nodes at once, as nobody in the cluster can, and holds them
// to Lemma 1 of docs/consistency.md: nobody has a lease of a term after a later one
// was led. A stale read needs more than that, and so is rarer.
type referee struct {
	s    *sim
	stop chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	nodes map[string]*raftlog.Node // that run
	led   raftlog.Term             // the highest term that was led
	by    string
}

func newReferee(s *sim) *referee {
	r := &referee{s: s, stop: make(chan struct{}), nodes: map[string]*raftlog.Node{}}
	return r
}

// knows tells it of a node that runs; nil for one that does no more.
func (r *referee) knows(name string, n *raftlog.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, name)
	if n != nil {
		r.nodes[name] = n
	}
}

func (r *referee) begin() {
	r.done.Go(func() {
		tick := time.NewTicker(refereeEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.look()
			case <-r.stop:
				return
			}
		}
	})
}

func (r *referee) end() {
	close(r.stop)
	r.done.Wait()
}

// look first looks for leaders and then for leases.
func (r *referee) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, n := range r.nodes {
		if st, _ := n.Watch(); st.IsLeader && st.Term > r.led {
			r.led, r.by = st.Term, name
		}
	}
	for name, n := range r.nodes {
		if term, ok := n.Lease(); ok && term < r.led {
			r.s.t.Errorf("%s holds a lease of term %d, and %s led term %d before", name, term, r.by, r.led)
		}
	}
}
