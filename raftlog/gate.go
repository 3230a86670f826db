package raftlog

import (
	"sync"
	"time"
)

// gate keeps a witness from campaigning while a data node may win. A witness
// forgets its leader early, so that it can vote for a data node; that makes it
// a candidate itself, and here its own pre-votes end. It may campaign when it
// had to refuse a data node for its log (the newest entries are then here, and
// perhaps only here), or when nobody else has campaigned for a while.
type gate struct {
	grace   time.Duration
	lastLog func() (index, term uint64)
	contact func() time.Time // when a leader was last heard of; zero for never

	mu struct {
		sync.Mutex
		started time.Time
		seen    time.Time // a data node asked for a pre-vote
		refused time.Time // and its log was older than ours
	}
}

func newGate(grace time.Duration) *gate {
	g := &gate{grace: grace}
	g.mu.started = time.Now()
	return g
}

// campaign notes that a data node asks for a pre-vote.
func (g *gate) campaign(term, index uint64) {
	ownIndex, ownTerm := g.lastLog()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.seen = time.Now()
	if term < ownTerm || term == ownTerm && index < ownIndex {
		g.mu.refused = time.Now()
	} else {
		g.mu.refused = time.Time{} // it can win: nothing to do here
	}
}

// open tells whether the witness may ask for votes now.
func (g *gate) open() bool {
	contact := g.contact()
	g.mu.Lock()
	defer g.mu.Unlock()
	if contact.After(g.mu.refused) {
		g.mu.refused = time.Time{} // a leader was found since
	}
	if !g.mu.refused.IsZero() && time.Since(g.mu.refused) < g.grace {
		return true
	}
	quiet := g.mu.started
	for _, t := range []time.Time{contact, g.mu.seen} {
		if t.After(quiet) {
			quiet = t
		}
	}
	return time.Since(quiet) >= g.grace
}
