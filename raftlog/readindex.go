package raftlog

import (
	"context"
	"sync"
	"time"
)

// rounds shares confirmation rounds among ReadIndex calls: while one is out,
// later calls gather for the next, which sends its messages after all of them
// began.
type rounds struct {
	mu struct {
		sync.Mutex
		active bool   // a goroutine is running rounds
		next   *round // gathers calls; nil if there are none
	}
}

// round is one confirmation. index and err are set before done is closed.
type round struct {
	done  chan struct{}
	index Index
	err   error
}

// ReadIndex returns an index such that a state machine that has applied it
// shows every entry that was acknowledged before the call. It returns
// ErrNotLeader if this node does not lead, or loses the lead meanwhile, and
// waits while it has no quorum. doc.go has the argument.
func (n *Node) ReadIndex(ctx context.Context) (Index, error) {
	if _, ok := n.ready(); !ok {
		return 0, n.notLeader()
	}
	r := n.rounds.join(n)
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// join returns a round that sends its messages from now on.
func (rs *rounds) join(n *Node) *round {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.mu.next == nil {
		rs.mu.next = &round{done: make(chan struct{})}
	}
	r := rs.mu.next
	if !rs.mu.active {
		rs.mu.active = n.spawn(func() { rs.run(n) })
		if !rs.mu.active { // closed
			rs.mu.next = nil
			r.err = ErrClosed
			close(r.done)
		}
	}
	return r
}

// run runs rounds until nobody waits for one.
func (rs *rounds) run(n *Node) {
	for {
		rs.mu.Lock()
		r := rs.mu.next
		rs.mu.next = nil
		rs.mu.active = r != nil
		rs.mu.Unlock()
		if r == nil {
			return
		}
		r.index, r.err = n.confirm()
		close(r.done)
	}
}

// answer is one member's answer in a round.
type answer struct {
	from int
	pong pong
	err  error
}

// What a round has with each other member.
type askState uint8

const (
	askDue     askState = iota // send a ping
	askOut                     // its answer is awaited
	askPause                   // it failed, or proved nothing; again after a pause
	askGranted                 // it counts
)

// confirm is one round: the commit index, and then the proof that no other
// leader had been elected by the time the round began.
func (n *Node) confirm() (Index, error) {
	term, ok := n.ready()
	if !ok {
		return 0, n.notLeader()
	}
	index := n.commitIndex()
	// Only now do the messages leave: an answer to an earlier one proves
	// nothing about now.
	if err := n.askQuorum(term); err != nil {
		return 0, err
	}
	// Own vote: if it went to a later candidate before the round began, the
	// term shows it now.
	if !n.leads(term) {
		return 0, n.notLeader()
	}
	return Index(n.store.Visible(uint64(index))), nil
}

// askQuorum returns nil once enough members have answered, to pings sent in
// this call, that their term is term.
func (n *Node) askQuorum(term Term) error {
	links := n.peers()
	answers := make(chan answer, len(links)) // one ping per member is out at most
	state := make([]askState, len(links))
	granted := map[string]bool{n.cfg.Name: true} // self counts
	pause := time.NewTimer(n.cfg.Timing.RetryPause)
	defer pause.Stop()
	for !n.membership.quorum(func(name string) bool { return granted[name] }) {
		for i := range links {
			if state[i] == askDue {
				state[i] = askOut
				links[i].ping(func(p pong, err error) { answers <- answer{i, p, err} })
			}
		}
		select {
		case a := <-answers:
			switch {
			case a.err == nil && a.pong.Term > term:
				return ErrNotLeader
			case a.err == nil && a.pong.Term == term:
				state[a.from] = askGranted
				granted[links[a.from].peer.Name] = true
			default: // no stream just now, or it has not heard of the term yet
				state[a.from] = askPause
			}
		case <-pause.C:
			pause.Reset(n.cfg.Timing.RetryPause)
			if !n.leads(term) {
				return n.notLeader()
			}
			for i := range state {
				if state[i] == askPause {
					state[i] = askDue
				}
			}
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
	return nil
}
