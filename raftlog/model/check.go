package model

import "fmt"

// deliver hands a message to its receiver. It reports false if what follows is beyond the bounds.
func (c *cluster) deliver(s *state, m message) bool {
	switch m.kind {
	case msgAppend, msgHeartbeat:
		return c.appended(s, m)
	case msgAck:
		return c.acknowledged(s, m)
	case msgAskVote:
		return c.askedForVote(s, m)
	case msgVote:
		return c.voted(s, m)
	case msgAsk:
		return c.askedForLease(s, m)
	case msgGrant:
		return c.leased(s, m)
	case msgReturn:
		return c.gotBack(s, m)
	case msgAllow:
		c.except(s, m.to, m.from, m.term, m.n)
		return true
	case msgPing:
		return c.pinged(s, m)
	case msgPong:
		return c.ponged(s, m)
	}
	return false
}

// violated checks what has to hold in every state.
func (c *cluster) violated(s *state) string {
	switch s.bad {
	case appliedOther:
		return "Lemma 15: two nodes applied different entries at the same index"
	case twoLeaders:
		return "Lemma 15: a term has two leaders"
	case leaderLacks:
		return "Lemma 15: a leader lacks an entry that was shown"
	case staleRead:
		return "Lemma 3: a read does not show what was acknowledged before it began"
	}
	for p := range uint8(nodes) {
		n := &s.n[p]
		reads := s.reads(p, c.Bug)
		if !s.leads(p) && !reads {
			continue
		}
		term := n.term
		if reads && !s.leads(p) {
			term = n.readTerm
		}
		if s.elected>>(term+1) != 0 {
			return fmt.Sprintf("Lemma 1: %c holds a valid lease of term %d, and a later term has a leader", "abw"[p], term)
		}
		if !n.log.holds(s.shown) {
			return fmt.Sprintf("Lemma 2: %c holds a valid lease and lacks an entry that was acknowledged", "abw"[p])
		}
	}
	return ""
}
