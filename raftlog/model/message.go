package model

// The kinds of messages.
const (
	noMessage    = iota
	msgAppend    // AppendEntries: log, commit index; left is what the leader's lease gets from a success
	msgHeartbeat // AppendEntries without entries
	msgAck       // its success: n is the length of the log acknowledged
	msgAskVote   // RequestVote; n is 1 with raft's transfer flag, +2 once BugPromiseAtReceipt has let it in
	msgVote      // a granted vote
	msgAsk       // asks for a read lease; n is the number of the request, left what has passed since
	msgGrant     // answers it; left is what is left of the lease, by the follower's clock
	msgReturn    // returns it
	msgAllow     // allows votes for the target n-1 of a transfer, in spite of a promise
	msgTimeout   // TimeoutNow
	msgPing      // asks for the current term
	msgPong      // and answers
)

// message is a message on its way. The zero value is a free place.
type message struct {
	kind, from, to, term uint8
	log                  entries
	n                    uint8
	left                 uint8
}

// clock is the member by whose clock the message's time runs, or nobody.
func (m *message) clock() uint8 {
	switch m.kind {
	case msgAppend, msgHeartbeat, msgAsk:
		return m.from
	case msgAck, msgGrant:
		return m.to
	}
	return nobody
}

// send puts a message on its way, and reports whether there was a place for it. The messages are kept in order, so that the order in
// which they were sent makes no difference between states; two equal ones are one.
func (s *state) send(limit int, m message) bool {
	for i := range limit {
		if s.m[i] == m {
			return true
		}
		if s.m[i].kind == noMessage {
			s.m[i] = m
			s.sortMessages()
			return true
		}
	}
	return false
}

// take removes the message in place i.
func (s *state) take(i int) message {
	m := s.m[i]
	s.m[i] = message{}
	s.sortMessages()
	return m
}

func (s *state) sortMessages() {
	for i := 1; i < maxMessages; i++ {
		for j := i; j > 0 && less(&s.m[j-1], &s.m[j]); j-- {
			s.m[j-1], s.m[j] = s.m[j], s.m[j-1]
		}
	}
}

// less is any order in which free places are the lowest.
func less(x, y *message) bool { return x.key() < y.key() }

func (m *message) key() uint64 {
	return uint64(m.kind)<<48 | uint64(m.from)<<40 | uint64(m.to)<<32 | uint64(m.term)<<24 | uint64(m.log)<<16 | uint64(m.n)<<8 | uint64(m.left)
}

// forget removes the messages whose arrival would change nothing, now or ever: it is a loss like any other, and saves states.
func (s *state) forget(c *Config) {
	changed := false
	for i := range s.m {
		if s.m[i].kind != noMessage && s.dead(c, &s.m[i]) {
			s.m[i] = message{}
			changed = true
		}
	}
	if changed {
		s.sortMessages()
	}
}

// dead reports whether a message can have no effect any more. Terms never fall.
func (s *state) dead(c *Config, m *message) bool {
	to := &s.n[m.to]
	if to.term > m.term {
		return !(c.Bug == BugAnyTermAnswer && (m.kind == msgAppend || m.kind == msgHeartbeat))
	}
	switch m.kind {
	case msgAck:
		return to.role != leader || to.term != m.term || to.match >= m.n && to.lease >= m.left && to.commit >= m.n && c.Bug != BugLeaseFromReceipt
	case msgAskVote:
		from := &s.n[m.from]
		return from.term != m.term || from.role != candidate || to.term == m.term && to.voted != 0
	case msgVote:
		return to.role != candidate || to.term != m.term
	case msgAsk:
		return to.role != leader || to.term != m.term
	case msgGrant:
		return to.term != m.term || m.left == 0 || to.read >= m.left && to.readTerm == m.term || c.Requests > 0 && c.Bug != BugReturnTakesOldGrant && m.n <= to.returned
	case msgReturn:
		return to.role != leader || to.term != m.term
	case msgTimeout:
		return to.term != m.term
	case msgPing:
		return !s.pinging(m.from)
	case msgPong:
		return !s.pinging(m.to)
	}
	return false
}
