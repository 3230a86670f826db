package model

import "fmt"

// The kinds of events.
const (
	evTick = iota
	evDeliver
	evDeliverLost
	evLose
	evCampaign
	evLearn
	evStepDown
	evRestart
	evDamage
	evTold
	evChange
	evAppend
	evHeartbeat
	evApply
	evAckEarly
	evAsk
	evNoteGrant
	evReturn
	evTransfer
	evAllow
	evTimeout
	evRenew
	evRead
)

// expand gathers what can happen in one state.
type expand struct {
	c   *cluster
	s   *state
	out []step[state]
}

// do adds the state that f leads to, if f can happen.
func (x *expand) do(e event, f func(s *state) bool) {
	t := *x.s
	if !f(&t) {
		return
	}
	if !x.c.DelayApply {
		x.c.applyAll(&t)
	}
	t.forget(&x.c.Config)
	x.out = append(x.out, step[state]{e, t})
}

func (c *cluster) next(s *state, out []step[state]) []step[state] {
	x := &expand{c, s, out}
	lossy := *c
	lossy.lossy = true
	x.time()
	for i := range s.m {
		if s.m[i].kind == noMessage {
			break
		}
		e := event{evDeliver, s.m[i].kind, s.m[i].from, s.m[i].to}
		if m := s.m[i]; m.kind == msgTimeout {
			c.timedOut(x, m)
		} else {
			x.do(e, func(s *state) bool { return c.deliver(s, s.take(i)) })
		}
		if c.answered(s.m[i].kind) {
			e := e
			e.kind = evDeliverLost
			x.do(e, func(s *state) bool { return lossy.deliver(s, s.take(i)) })
		}
		e.kind = evLose
		x.do(e, func(s *state) bool { s.take(i); return true })
	}
	for p := range uint8(nodes) {
		x.elections(p)
		x.replication(p)
		x.leases(p)
		if c.Transfers > 0 {
			x.transfers(p)
		}
		if isData(p) {
			x.reading(p)
		}
	}
	return x.out
}

// answered reports whether the answer to a message takes no time.
func (c *cluster) answered(kind uint8) bool {
	switch kind {
	case msgAppend, msgHeartbeat:
		return !c.DelayAcks
	case msgAskVote:
		return !c.DelayVotes
	}
	return false
}

// answer sends the answer m to a message of a kind.
func (c *cluster) answer(s *state, kind uint8, m message) bool {
	switch {
	case !c.answered(kind):
		return s.send(int(c.Messages), m)
	case c.lossy:
		return true
	}
	return c.deliver(s, m)
}

// time lets a tick pass for every clock, or for all but one.
func (x *expand) time() {
	x.do(event{evTick, nobody, 0, 0}, func(s *state) bool { return x.c.tick(s, nobody) })
	for p := range uint8(nodes) {
		if x.s.slow&(1<<p) == 0 {
			continue
		}
		x.do(event{evTick, p, 0, 0}, func(s *state) bool {
			s.slow &^= 1 << p
			return x.c.tick(s, p)
		})
	}
}

func down(v *uint8) {
	if *v > 0 {
		*v--
	}
}

// tick moves every clock but that of late. It cannot happen when no clock runs: nothing would change.
func (c *cluster) tick(s *state, late uint8) bool {
	before := *s
	for p := range uint8(nodes) {
		if p == late {
			continue
		}
		n := &s.n[p]
		down(&n.hold)
		down(&n.lease)
		down(&n.grant)
		down(&n.read)
		if down(&n.promLeft); n.promLeft == 0 {
			n.promTo, n.promTerm, n.promAllow = 0, 0, 0
		}
	}
	for i := range s.m {
		m := &s.m[i]
		if by := m.clock(); m.kind != noMessage && by != nobody && by != late {
			c.age(m)
		}
	}
	s.sortMessages()
	return *s != before
}

// age lets a tick pass for a message, by the clock that measures it.
func (c *cluster) age(m *message) {
	switch {
	case m.kind == msgAsk && c.Bug != BugGrantFromReceipt:
		m.left = min(m.left+1, c.Promise)
	case m.kind == msgGrant && c.Bug == BugGrantFromReceipt:
	case m.kind == msgGrant, c.Bug != BugLeaseFromReceipt:
		down(&m.left)
	}
}

// name tells an event in words.
func (c *cluster) name(e event) string {
	who := func(p uint8) string { return string("abw"[p]) }
	switch e.kind {
	case evTick:
		if e.a != nobody {
			return "a tick passes, but not for " + who(e.a)
		}
		return "a tick passes"
	case evDeliver, evDeliverLost, evLose:
		verb := map[uint8]string{evDeliver: "arrives", evDeliverLost: "arrives, and the answer is lost", evLose: "is lost"}[e.kind]
		return fmt.Sprintf("%s from %s to %s %s", messageNames[e.a], who(e.b), who(e.c), verb)
	case evCampaign, evAppend, evHeartbeat, evAllow, evTimeout, evTransfer:
		return fmt.Sprintf("%s %s %s", who(e.a), eventNames[e.kind], who(e.b))
	case evRead:
		return fmt.Sprintf("the read at %s %s", who(e.a), readNames[e.b])
	}
	return who(e.a) + " " + eventNames[e.kind]
}

var messageNames = [...]string{
	msgAppend: "AppendEntries", msgHeartbeat: "heartbeat", msgAck: "success", msgAskVote: "RequestVote", msgVote: "vote", msgAsk: "request for a read lease",
	msgGrant: "read lease", msgReturn: "returned lease", msgAllow: "permission to vote", msgTimeout: "TimeoutNow", msgPing: "ping", msgPong: "pong",
}

var eventNames = [...]string{
	evCampaign: "asks for the vote of", evLearn: "learns of a later term", evStepDown: "steps down", evRestart: "crashes and starts", evDamage: "starts with a damaged log", evTold: "learns the end of the log of", evChange: "appends a change",
	evAppend: "sends AppendEntries to", evHeartbeat: "sends a heartbeat to", evApply: "applies an entry and answers", evAckEarly: "answers before it applies",
	evAsk: "asks for a read lease", evNoteGrant: "notes the grant", evReturn: "returns its read lease", evTransfer: "begins to hand over to",
	evAllow: "sends the permission to vote to", evTimeout: "sends TimeoutNow to", evRenew: "gives up handing over",
}
