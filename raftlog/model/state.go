package model

// The members. a and b keep data, w is the witness.
const (
	nodeA = iota
	nodeB
	nodeW
	nodes
)

const nobody = 0xff

// The roles of raft.
const (
	follower = iota
	candidate
	leader
)

// maxMessages is how many messages can be on their way at once, at most.
const maxMessages = 4

// state is the whole cluster at one instant. Every clock is a countdown, so that there is no date in it and time has no bound.
type state struct {
	n        [nodes]node
	m        [maxMessages]message
	shown    entries // what was acknowledged, or shown to a read: the longest prefix ever applied anywhere
	elected  uint8   // bit T: term T had a leader
	ops      uint8   // how many more changes clients will ask for
	crashes  uint8
	damages  uint8
	slow     uint8 // bit p: the clock of p may still fall behind by one tick
	transfer uint8 // how many more transfers may begin
	read     read
	bad      violation
}

// node is one member. What a restart forgets is below the first group.
type node struct {
	term  uint8
	voted uint8 // 1 + the candidate, or 0
	log   entries

	role    uint8
	commit  uint8
	applied uint8

	promTo    uint8 // the promise of R1: to whom, for which term,
	promTerm  uint8
	promLeft  uint8 // for how long still,
	promAllow uint8 // and 1 + the candidate that a transfer excepts from it
	hold      uint8 // what is left of the wait of R2
	doubt     uint8 // M3, on disk: the term in which the log was found damaged, 0 if it is sound;
	told      uint8 // and 1 + how long the leader of that term has said its log is since

	match  uint8 // as leader, data nodes only: what the other data node has acknowledged in this term
	lease  uint8 // as leader: what is left of the lease of R3
	target uint8 // as leader: 1 + the member it hands over to; the lease is renounced
	grant  uint8 // for how long the other data node may have a read lease from this process
	gseq   uint8 // the request that the grant answers
	check  uint8 // BugGrantUnlocked: a grant that was decided and not yet noted

	read     uint8 // as follower: what is left of the read lease of R4,
	readTerm uint8 // and its term
	asked    uint8 // the number of my last request for one
	returned uint8 // the last request whose lease I have returned
}

// entries is a log: the terms of up to four entries, two bits each, the first one lowest. 0 is no entry.
type entries uint8

func (e entries) len() uint8 {
	n := uint8(0)
	for ; n < 4 && e>>(2*n)&3 != 0; n++ {
	}
	return n
}

// term gives the term of entry i, counted from 1.
func (e entries) term(i uint8) uint8 { return uint8(e>>(2*(i-1))) & 3 }

func (e entries) last() uint8 {
	if n := e.len(); n > 0 {
		return e.term(n)
	}
	return 0
}

func (e entries) prefix(n uint8) entries { return e & (1<<(2*n) - 1) }

func (e entries) append(term uint8) entries { return e | entries(term)<<(2*e.len()) }

// holds reports whether the log begins with p.
func (e entries) holds(p entries) bool { return e.prefix(p.len()) == p }

// newer is raft's comparison of logs: a voter votes for a log that is not older than its own.
func (e entries) newer(than entries) bool {
	if e.last() != than.last() {
		return e.last() > than.last()
	}
	return e.len() > than.len()
}

// violation is what an event has found to be wrong.
type violation uint8

const (
	fine violation = iota
	appliedOther
	leaderLacks
	twoLeaders
	staleRead
)

func isData(p uint8) bool { return p != nodeW }

// peer is the other data node.
func peer(p uint8) uint8 { return 1 - p }

// leads reports whether p has a valid leader lease.
func (s *state) leads(p uint8) bool {
	n := &s.n[p]
	return n.role == leader && n.lease > 0
}

// reads reports whether p has a valid read lease.
func (s *state) reads(p uint8, bug Bug) bool {
	n := &s.n[p]
	return n.read > 0 && (n.readTerm == n.term || bug == BugLeaseAcrossTerms)
}
