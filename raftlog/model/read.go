package model

// The phases of the read that is under way. Time may pass, and anything happen, between two of them.
const (
	noRead       = iota
	readBegun    // the call has arrived
	readLeased   // (1) of R10: the lease was valid
	readWaiting  // (2): the last index is taken
	readPinging  // without a lease: the commit index is taken, the round is out
	readIndexed  // the round is answered
	readChecked  // BugLeaseBeforeCall: the lease was valid, and no call has arrived
	readTaken    // BugIndexBeforeLease: the last index is taken
	readEarly    // BugOldRound: the round is out, and no call has arrived
	readEarlyYes // the round is answered
)

var readNames = [...]string{
	noRead: "is answered", readBegun: "begins", readLeased: "finds the lease valid", readWaiting: "takes the last index", readPinging: "takes the commit index",
	readIndexed: "is confirmed", readChecked: "is to come, the lease is valid", readTaken: "takes the last index first", readEarly: "is to come, the round is sent",
	readEarlyYes: "sends a ping",
}

// read is the one read under way. One is enough: what any read shows was applied, and so is in state.shown, which the next one has to show.
type read struct {
	node, phase, term uint8
	need              entries // what it has to show
	index             uint8   // what it waits for
	snap              entries // BugSnapshotBeforeWait: what it will show
}

// reading adds the steps of a read at p.
func (x *expand) reading(p uint8) {
	c, r := x.c, x.s.read
	if !c.Reads && !c.Index || r.phase != noRead && r.node != p {
		return
	}
	step := func(phase uint8, f func(s *state, n *node, r *read) bool) {
		x.do(event{evRead, p, phase, 0}, func(s *state) bool {
			s.read.phase, s.read.node = phase, p
			if !f(s, &s.n[p], &s.read) {
				return false
			}
			if s.read.phase == noRead {
				s.read = read{}
			}
			return true
		})
	}
	switch r.phase {
	case noRead:
		c.arriving(p, step)
	case readBegun, readTaken:
		c.begun(p, r.phase, step)
	case readLeased:
		step(readWaiting, func(s *state, n *node, r *read) bool {
			if n.term != r.term {
				r.phase = readBegun
				return true
			}
			r.index = n.log.len()
			if c.Bug == BugSnapshotBeforeWait {
				r.snap = n.log.prefix(n.applied)
			}
			return true
		})
	case readWaiting, readIndexed:
		step(noRead, func(s *state, n *node, r *read) bool { return c.readOut(s, n, x.s.read.phase) })
	case readPinging, readEarly:
		c.pinging(p, r.phase, step)
	case readChecked, readEarlyYes:
		step(readLeased, func(s *state, n *node, r *read) bool {
			r.need = s.shown
			if x.s.read.phase == readEarlyYes {
				r.phase, r.index = readIndexed, n.commit
			}
			return n.term == r.term
		})
	}
}

type readStep = func(phase uint8, f func(s *state, n *node, r *read) bool)

// arriving lets a call arrive.
func (c *cluster) arriving(p uint8, step readStep) {
	step(readBegun, func(s *state, n *node, r *read) bool {
		r.need = s.shown
		return true
	})
	if c.Bug == BugLeaseBeforeCall {
		step(readChecked, func(s *state, n *node, r *read) bool {
			r.term = n.term
			return s.leads(p) || s.reads(p, c.Bug)
		})
	}
	if c.Bug == BugOldRound {
		step(readEarly, func(s *state, n *node, r *read) bool {
			r.term = n.term
			return n.role == leader && n.barrierApplied()
		})
	}
}

// begun looks at the lease, or turns to the leader's read index.
func (c *cluster) begun(p, phase uint8, step readStep) {
	if c.Bug == BugIndexBeforeLease && phase == readBegun {
		step(readTaken, func(s *state, n *node, r *read) bool { r.index = n.log.len(); return true })
		return
	}
	if c.Reads {
		after := uint8(readLeased)
		if c.Bug == BugIndexBeforeLease {
			after = readWaiting
		}
		step(after, func(s *state, n *node, r *read) bool {
			r.term = n.term
			return s.leads(p) || s.reads(p, c.Bug)
		})
	}
	if !c.Index {
		return
	}
	step(readPinging, func(s *state, n *node, r *read) bool {
		r.term, r.index = n.term, n.commit
		return n.role == leader && (n.barrierApplied() || c.Bug == BugNoBarrierRead)
	})
	if c.Bug == BugFollowerReads {
		step(readIndexed, func(s *state, n *node, r *read) bool {
			r.index = n.commit
			return n.role == follower
		})
	}
}

// pinging sends the round. A pong is taken by ponged.
func (c *cluster) pinging(p, phase uint8, step readStep) {
	for q := range uint8(nodes) {
		if q != p {
			step(phase, func(s *state, n *node, r *read) bool {
				return s.send(int(c.Messages), message{kind: msgPing, from: p, to: q, term: r.term})
			})
		}
	}
}

// pinging reports whether p has a round under way. Pings of an earlier round, which a number tells apart, are of no use.
func (s *state) pinging(p uint8) bool {
	return s.read.node == p && (s.read.phase == readPinging || s.read.phase == readEarly)
}

// pinged answers with the current term; only the term asked for is of use.
func (c *cluster) pinged(s *state, m message) bool {
	if s.n[m.to].term != m.term {
		return true
	}
	return s.send(int(c.Messages), message{kind: msgPong, from: m.to, to: m.from, term: m.term})
}

// ponged ends the round: the leader and one other are a quorum. The leader looks at its own term last.
func (c *cluster) ponged(s *state, m message) bool {
	r, n := &s.read, &s.n[m.to]
	if r.node != m.to || n.role != leader || n.term != r.term {
		return true
	}
	switch r.phase {
	case readPinging:
		r.phase = readIndexed
	case readEarly:
		r.phase = readEarlyYes
	}
	return true
}

// readOut waits for what has to be applied, takes the snapshot and answers with it.
func (c *cluster) readOut(s *state, n *node, phase uint8) bool {
	r := &s.read
	if phase == readWaiting && n.term != r.term {
		r.phase = readBegun
		return true
	}
	if n.applied < r.index {
		return false
	}
	shows := n.log.prefix(n.applied)
	if c.Bug == BugSnapshotBeforeWait {
		shows = r.snap
	}
	if !shows.holds(r.need) {
		s.bad = staleRead
	}
	return true
}
