package model

// elections adds the events of campaigns, lost leadership and restarts of p.
func (x *expand) elections(p uint8) {
	n := &x.s.n[p]
	if n.role != leader {
		for q := range uint8(nodes) {
			if q != p {
				x.do(event{evCampaign, p, q, 0}, func(s *state) bool { return x.c.campaign(s, p, q, false) })
			}
		}
	}
	if n.role == leader {
		if highest(x.s) > n.term { // Some answer says so.
			x.do(event{evLearn, p, 0, 0}, func(s *state) bool { x.c.adopt(s, p, highest(s)); return true })
		}
		x.do(event{evStepDown, p, 0, 0}, func(s *state) bool { x.c.become(s, p, follower); return true })
	}
	x.damage(p)
	if x.s.crashes > 0 {
		x.do(event{evRestart, p, 0, 0}, func(s *state) bool { x.c.restart(s, p); return true })
	}
}

func highest(s *state) uint8 { return max(s.n[nodeA].term, s.n[nodeB].term, s.n[nodeW].term) }

// promises reports whether p has promised to let nobody but the leader of a term lead, and forWhom is not excepted.
func (s *state) promises(p, forWhom uint8) bool {
	n := &s.n[p]
	return n.promLeft > 0 && n.promAllow != 1+forWhom
}

// campaign lets p begin a term and ask q for its vote. It asks one member only: two votes are a quorum, and the other request may be
// lost. forced is a campaign by TimeoutNow.
func (c *cluster) campaign(s *state, p, q uint8, forced bool) bool {
	n := &s.n[p]
	if n.term >= c.Terms || n.hold > 0 || c.noVote(n) || s.promises(p, p) && c.Bug != BugCampaignInPromise {
		return false
	}
	c.adopt(s, p, n.term+1)
	c.become(s, p, candidate)
	n.voted = 1 + p
	m := message{kind: msgAskVote, from: p, to: q, term: n.term, log: n.log}
	if forced || c.Bug == BugFlagBypassesPromise {
		m.n = 1
	}
	return s.send(int(c.Messages), m)
}

// adopt takes a later term.
func (c *cluster) adopt(s *state, p, term uint8) {
	n := &s.n[p]
	if term <= n.term {
		return
	}
	n.term, n.voted = term, 0
	if c.Bug != BugLeaseAcrossTerms {
		n.read, n.readTerm = 0, 0
	}
	c.become(s, p, follower)
}

// become changes the role, and forgets what belonged to the old one. What was granted stays (Lemma 9).
func (c *cluster) become(s *state, p, role uint8) {
	n := &s.n[p]
	if n.role == leader && c.Bug == BugGateDropped {
		n.grant = 0
	}
	n.role, n.match, n.lease, n.target, n.check = role, 0, 0, 0, 0
}

// restart forgets what is not on disk. The state machine may fall back to its last flush, here to nothing.
func (c *cluster) restart(s *state, p uint8) {
	old := s.n[p]
	s.n[p] = node{term: old.term, voted: old.voted, log: old.log, hold: c.Promise, asked: old.asked, returned: old.asked, doubt: old.doubt}
	if c.Bug == BugNoStartWait {
		s.n[p].hold = 0
	}
	if c.Bug == BugVoteForgotten {
		s.n[p].voted = 0
	}
	if s.read.node == p {
		s.read = read{}
	}
	s.crashes--
}

// askedForVote answers a RequestVote, after BugPromiseAtReceipt has looked at it.
func (c *cluster) askedForVote(s *state, m message) bool {
	p := m.to
	if c.Bug == BugPromiseAtReceipt && m.n&2 == 0 {
		if s.promises(p, m.from) || s.n[p].hold > 0 {
			return true
		}
		m.n |= 2
		return s.send(int(c.Messages), m)
	}
	if c.noVote(&s.n[p]) {
		return true
	}
	c.adopt(s, p, m.term)
	n := &s.n[p]
	if n.term != m.term || n.role != follower || n.voted != 0 && n.voted != 1+m.from || n.log.newer(m.log) {
		return true
	}
	n.voted = 1 + m.from // On disk, before anything is sent.
	bypass := c.Bug == BugFlagBypassesPromise && m.n&1 != 0 || c.Bug == BugPromiseAtReceipt
	if (s.promises(p, m.from) && n.promTo != m.from || n.hold > 0) && !bypass {
		return true // Lemma 1: the answer does not leave.
	}
	return c.answer(s, m.kind, message{kind: msgVote, from: p, to: m.from, term: m.term})
}

// voted counts a vote, and begins the term with a barrier if it was the second.
func (c *cluster) voted(s *state, m message) bool {
	p := m.to
	n := &s.n[p]
	if n.role != candidate || n.term != m.term {
		return true
	}
	if n.log.len() == c.Entries {
		return false // No room for the barrier: beyond the bounds.
	}
	c.become(s, p, leader)
	n.log = n.log.append(n.term)
	if s.elected&(1<<n.term) != 0 {
		s.bad = twoLeaders
	}
	if s.elected |= 1 << n.term; !n.log.holds(s.shown) {
		s.bad = leaderLacks
	}
	return true
}
