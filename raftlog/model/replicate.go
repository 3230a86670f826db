package model

// replication adds the events of changes, their way to the others, and their apply.
func (x *expand) replication(p uint8) {
	c, n := x.c, &x.s.n[p]
	if n.role == leader {
		x.do(event{evChange, p, 0, 0}, func(s *state) bool { return c.change(s, p) })
		for q := range uint8(nodes) {
			if q != p {
				x.do(event{evAppend, p, q, 0}, func(s *state) bool { return c.sendAppend(s, p, q, msgAppend) })
			}
			if q != p && c.Heartbeats {
				x.do(event{evHeartbeat, p, q, 0}, func(s *state) bool { return c.sendAppend(s, p, q, msgHeartbeat) })
			}
		}
		if c.Bug == BugAckAtCommit {
			x.do(event{evAckEarly, p, 0, 0}, func(s *state) bool {
				before := s.shown
				s.show(s.n[p].log.prefix(s.n[p].commit))
				return s.shown != before
			})
		}
	}
	if c.DelayApply && isData(p) && n.applied < n.log.len() {
		x.do(event{evApply, p, 0, 0}, func(s *state) bool { return c.apply(s, p) })
	}
}

// change appends what a client asked for. The witness proposes nothing (W4).
func (c *cluster) change(s *state, p uint8) bool {
	n := &s.n[p]
	if s.ops == 0 || n.log.len() == c.Entries || !isData(p) {
		return false
	}
	s.ops--
	n.log = n.log.append(n.term)
	return true
}

// promise is R1: noted before anything else is done with a message of (to, term). A witness that leads asks for none.
func (c *cluster) promise(s *state, p, to, term uint8) {
	n := &s.n[p]
	if c.Bug == BugNoPromise || !isData(to) || n.promLeft > 0 && n.promTerm > term {
		return
	}
	n.promTo, n.promTerm, n.promLeft, n.promAllow = to, term, c.Promise, 0
}

// sendAppend sends the whole log, or a heartbeat. Real messages hold the end of the log only; one that does not fit the follower's log
// has no effect, as if it were lost.
func (c *cluster) sendAppend(s *state, p, q, kind uint8) bool {
	for i := range s.m {
		if m := &s.m[i]; !c.Overtake && (m.kind == msgAppend || m.kind == msgHeartbeat) && m.from == p && m.to == q {
			return false
		}
	}
	n := &s.n[p]
	if c.Bug != BugNoSelfPromise {
		c.promise(s, p, p, n.term)
		if n.target != 0 && n.promLeft > 0 && isData(p) {
			n.promAllow = n.target
		}
	}
	m := message{kind: kind, from: p, to: q, term: n.term}
	if kind == msgAppend {
		if m.log = n.log; isData(q) {
			m.n = n.commit // The witness has no use for it.
		}
	}
	if (isData(p) || c.Bug == BugWitnessGrants) && c.mayLease(n) {
		m.left = c.lease()
	}
	return s.send(int(c.Messages), m)
}

// appended takes an AppendEntries.
func (c *cluster) appended(s *state, m message) bool {
	p := m.to
	c.promise(s, p, m.from, m.term)
	n := &s.n[p]
	ack := message{kind: msgAck, from: p, to: m.from, term: m.term, left: m.left}
	if m.term < n.term {
		if c.Bug == BugAnyTermAnswer {
			return c.answer(s, m.kind, ack)
		}
		return true
	}
	c.adopt(s, p, m.term)
	if n.role == candidate {
		c.become(s, p, follower)
	}
	if m.kind == msgAppend {
		if !n.log.holds(m.log) {
			n.log = m.log // It is longer, or they differ.
		}
		n.commit = max(n.commit, m.n)
		ack.n = m.log.len()
		c.fill(n)
	}
	return c.answer(s, m.kind, ack)
}

// mayLease reports whether the leader may have a lease: not once it has begun to hand over, in the same term.
func (c *cluster) mayLease(n *node) bool { return n.target == 0 || c.Bug == BugTransferKeepsLease }

// acknowledged counts a success for the lease and for commitment.
func (c *cluster) acknowledged(s *state, m message) bool {
	p := m.to
	n := &s.n[p]
	if n.role != leader || n.term != m.term {
		return true
	}
	if isData(m.from) {
		n.match = max(n.match, m.n)
	}
	if c.mayLease(n) {
		n.lease = max(n.lease, m.left)
	}
	if m.n > n.commit && n.log.term(m.n) == n.term {
		n.commit = m.n
	}
	return true
}

// visible is the last visible entry of R7: committed, and not lacking at a node that may have a lease from this process (Lemma 9:
// whatever the role is now).
func (c *cluster) visible(s *state, p uint8) uint8 {
	n := &s.n[p]
	if n.grant == 0 || c.Bug == BugNoGate {
		return n.commit
	}
	return min(n.commit, max(n.applied, n.match))
}

// applyAll lets the data nodes apply whatever they may.
func (c *cluster) applyAll(s *state) {
	for p := range uint8(nodes) {
		for isData(p) && s.n[p].applied < s.n[p].log.len() && c.apply(s, p) {
		}
	}
}

// apply carries out one entry at a data node and answers whoever waits for it there (Lemma 8).
func (c *cluster) apply(s *state, p uint8) bool {
	n := &s.n[p]
	if n.applied >= c.visible(s, p) && c.Bug != BugApplyUncommitted {
		return false
	}
	n.applied++
	if c.Bug == BugAckAtCommit && n.role == leader {
		return true // Answered before.
	}
	s.show(n.log.prefix(n.applied))
	return true
}

// show notes what a client may have seen.
func (s *state) show(prefix entries) {
	switch {
	case prefix.holds(s.shown):
		s.shown = prefix
	case !s.shown.holds(prefix):
		s.bad = appliedOther
	}
}
