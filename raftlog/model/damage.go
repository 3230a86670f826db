package model

// damage adds the events of a log that loses its end, and of what the leader says of its own.
func (x *expand) damage(p uint8) {
	n := &x.s.n[p]
	for k := range n.log.len() {
		if x.s.damages > 0 {
			x.do(event{evDamage, p, k, 0}, func(s *state) bool {
				s.damages--
				s.crashes++ // restart takes it back
				x.c.restart(s, p)
				s.n[p].log = s.n[p].log.prefix(k)
				s.n[p].doubt = s.n[p].term
				s.orphan(p)
				return true
			})
		}
	}
	for q := range uint8(nodes) {
		if l := &x.s.n[q]; n.doubt != 0 && n.told == 0 && l.role == leader && l.term == n.doubt {
			x.do(event{evTold, p, q, 0}, func(s *state) bool {
				s.n[p].told = 1 + l.log.len()
				x.c.fill(&s.n[p])
				return true
			})
		}
	}
}

// orphan drops the answers to what p asked for before it started: they belong to another process.
func (s *state) orphan(p uint8) {
	for i := range s.m {
		if m := &s.m[i]; m.to == p && (m.kind == msgGrant || m.kind == msgPong) {
			*m = message{}
		}
	}
	s.sortMessages()
}

// noVote reports that a node neither votes nor campaigns (M3).
func (c *cluster) noVote(n *node) bool { return n.doubt != 0 && c.Bug != BugDamagedVotes }

// fill ends the doubt if the log has everything again that was acknowledged (Lemma 16).
func (c *cluster) fill(n *node) {
	same := n.log.last() == n.doubt && n.told > 0 && n.log.len() >= n.told-1
	if n.doubt != 0 && (n.log.last() > n.doubt || same || c.Bug == BugDamagedEarly && n.log.last() == n.doubt) {
		n.doubt, n.told = 0, 0
	}
}
