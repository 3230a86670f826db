package model

// leases adds the events of read leases.
func (x *expand) leases(p uint8) {
	c := x.c
	if x.s.n[p].check != 0 {
		x.do(event{evNoteGrant, p, 0, 0}, func(s *state) bool { return c.noteGrant(s, p) })
	}
	if !isData(p) || x.s.n[p].role != follower {
		return
	}
	for q := range uint8(nodes) {
		if l := &x.s.n[q]; q != p && l.role == leader && l.term == x.s.n[p].term && (isData(q) || c.Bug == BugWitnessGrants) {
			x.do(event{evAsk, p, q, 0}, func(s *state) bool { return c.ask(s, p, q) })
			if c.Requests > 0 {
				x.do(event{evReturn, p, q, 0}, func(s *state) bool { return c.giveBack(s, p, q) })
			}
		}
	}
}

// ask asks the leader for a read lease: its length counts from now. Nobody holds a lease in the wait of R2.
func (c *cluster) ask(s *state, p, q uint8) bool {
	n := &s.n[p]
	if n.hold > 0 || n.doubt != 0 && c.Bug != BugDamagedAsks || c.Requests > 0 && n.asked == c.Requests {
		return false
	}
	if c.Requests > 0 {
		n.asked++
	}
	m := message{kind: msgAsk, from: p, to: q, term: n.term, n: n.asked}
	if c.DelayAsks {
		return s.send(int(c.Messages), m)
	}
	return c.askedForLease(s, m)
}

// askedForLease is R5: under the lock that visible entries are counted under, a lease is granted to a follower that has all of them.
func (c *cluster) askedForLease(s *state, m message) bool {
	p := m.to
	n := &s.n[p]
	if n.role != leader || n.term != m.term || n.lease == 0 {
		return true
	}
	if c.Bug != BugGrantBeforeBarrier && !n.barrierApplied() {
		return true
	}
	if n.match < c.visible(s, p) && c.Bug != BugGrantBehind && c.Bug != BugWitnessGrants {
		return true
	}
	length := n.lease - min(n.lease, c.Margin)
	switch c.Bug {
	case BugGrantNoMargin:
		length = n.lease + c.Margin
	case BugGrantBeyondLease:
		length = c.Promise
	}
	if length == 0 || c.Bug == BugGrantUnlocked && n.check != 0 {
		return true
	}
	n.gseq = m.n
	if c.Bug == BugGrantUnlocked {
		n.check = length
	} else {
		c.granted(n, length)
	}
	if length <= m.left {
		return true // It was too long on its way.
	}
	return c.Bug == BugGrantUnlocked || s.send(int(c.Messages), message{kind: msgGrant, from: p, to: m.from, term: m.term, n: m.n, left: length - m.left})
}

// granted notes until when the follower may have its lease, by this process's clock.
func (c *cluster) granted(n *node, length uint8) {
	if c.Bug != BugGateNoMargin {
		length += c.Margin
	}
	n.grant = max(n.grant, length)
}

// noteGrant is the second half of BugGrantUnlocked.
func (c *cluster) noteGrant(s *state, p uint8) bool {
	n := &s.n[p]
	length := n.check
	n.check = 0
	c.granted(n, length)
	return s.send(int(c.Messages), message{kind: msgGrant, from: p, to: peer(p), term: n.term, n: n.gseq, left: length})
}

// barrierApplied reports whether the leader has applied the first entry of its term. Term 1 begins without one.
func (n *node) barrierApplied() bool {
	for i := uint8(1); i <= n.log.len(); i++ {
		if n.log.term(i) == n.term {
			return n.applied >= i || n.term == 1
		}
	}
	return n.term == 1
}

// leased takes the answer. It is of no use in another term, nor after the lease it answers for was returned.
func (c *cluster) leased(s *state, m message) bool {
	n := &s.n[m.to]
	if n.term != m.term || c.Requests > 0 && m.n <= n.returned && c.Bug != BugReturnTakesOldGrant {
		return true
	}
	if n.readTerm != m.term {
		n.read = 0
	}
	n.read, n.readTerm = max(n.read, m.left), m.term
	return true
}

// giveBack returns the lease, and all that are still on their way (Lemma 14).
func (c *cluster) giveBack(s *state, p, q uint8) bool {
	n := &s.n[p]
	if n.asked == n.returned {
		return false
	}
	n.read, n.readTerm, n.returned = 0, 0, n.asked
	return s.send(int(c.Messages), message{kind: msgReturn, from: p, to: q, term: n.term, n: n.asked})
}

// gotBack forgets a grant that was returned, if it is not a newer one.
func (c *cluster) gotBack(s *state, m message) bool {
	n := &s.n[m.to]
	if n.role == leader && n.term == m.term && (n.gseq <= m.n || c.Bug == BugReturnUnnumbered) {
		n.grant, n.gseq = 0, 0
	}
	return true
}
