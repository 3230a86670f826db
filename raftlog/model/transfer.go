package model

// transfers adds the events of R6.
func (x *expand) transfers(p uint8) {
	c, n := x.c, &x.s.n[p]
	if n.role != leader {
		return
	}
	for q := range uint8(nodes) {
		if q == p {
			continue
		}
		if n.target == 0 {
			x.do(event{evTransfer, p, q, 0}, func(s *state) bool { return c.handOver(s, p, q) })
			continue
		}
		if q == n.target-1 {
			x.do(event{evTimeout, p, q, 0}, func(s *state) bool {
				return s.send(int(c.Messages), message{kind: msgTimeout, from: p, to: q, term: n.term})
			})
			continue
		}
		x.do(event{evAllow, p, q, 0}, func(s *state) bool {
			return s.send(int(c.Messages), message{kind: msgAllow, from: p, to: q, term: n.term, n: n.target})
		})
	}
	if n.target != 0 && c.Bug == BugTransferRenewsLease {
		x.do(event{evRenew, p, 0, 0}, func(s *state) bool { s.n[p].target = 0; return true })
	}
}

// handOver renounces the lease and excepts the target from the leader's own promise. The target is a data node; the witness only
// with BugTransferEarly, where it is the third member for whom the wait for the other's read lease is forgotten.
func (c *cluster) handOver(s *state, p, q uint8) bool {
	n := &s.n[p]
	if s.transfer == 0 || !isData(q) && c.Bug != BugTransferEarly {
		return false
	}
	s.transfer--
	n.target = 1 + q
	if c.Bug != BugTransferKeepsLease {
		n.lease = 0
	}
	c.except(s, p, p, n.term, 1+q)
	return true
}

// except lets votes for the target out in spite of a promise to (to, term).
func (c *cluster) except(s *state, p, to, term, target uint8) {
	n := &s.n[p]
	if n.promLeft == 0 || n.promTo != to || n.promTerm != term {
		return
	}
	n.promAllow = target
	if c.Bug == BugTransferFreesAll {
		n.promTo, n.promTerm, n.promLeft, n.promAllow = 0, 0, 0, 0
	}
}

// timedOut is TimeoutNow at the target: it campaigns at once, in spite of its own promise to the leader that says so.
func (c *cluster) timedOut(x *expand, m message) {
	for q := range uint8(nodes) {
		if q == m.to {
			continue
		}
		x.do(event{evDeliver, m.kind, m.from, m.to}, func(s *state) bool {
			for i := range s.m {
				if s.m[i] == m {
					s.take(i)
					break
				}
			}
			if s.n[m.to].term != m.term || s.n[m.to].role == leader {
				return true
			}
			c.except(s, m.to, m.from, m.term, 1+m.to)
			return c.campaign(s, m.to, q, true)
		})
	}
}
