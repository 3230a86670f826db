package raftlog

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// leases is what this node knows of leases: its own (rules R3 and R4) and the
// ones that it granted (R5), and what may be shown because of the latter (R7). It
// has one mutex, since a grant and a release of entries exclude each other.
type leases struct {
	self     string
	leader   bool // this node may hold a leader lease: it is a data node
	clock    Clock
	promise  time.Duration // P
	margin   time.Duration // by which every length that a holder relies on is cut
	late     time.Duration // X
	promises *promises
	term     func() Term
	leads    func(Term) bool
	data     func(string) bool // the member is a data node
	// configurations are the newest and the committed one: a quorum of each is needed.
	configurations func() (latest, committed Configuration)
	moved          func() // entries may have become visible
	granting       func() // a grant began or ended: the watched state changed

	held atomic.Pointer[lease] // read by Lease; changed under mu

	mu struct {
		sync.Mutex
		lead     lead
		acks     map[string]*ack // by other member
		grant    grant           // to at most one other node
		refused  string          // why the last request for a lease got none
		released Index           // entries up to here were given to the state machine
		follow   follow
	}
}

// lease lets this node read its own copy while its own term is term.
type lease struct {
	term  Term
	until time.Duration
}

// never is before every instant of a clock.
const never time.Duration = -1

// lead is the leadership of one term by this node.
type lead struct {
	term      Term
	ready     bool                     // the barrier of the term is applied
	renounced bool                     // no lease any more in this term
	own       time.Duration            // when the last message that counts left
	sent      map[string]time.Duration // by voter: when the newest message left that it has answered
	begun     map[string]time.Duration // by voter: when the last message left
	floor     time.Duration            // messages that left up to here count no more
	until     time.Duration            // of the leader lease
}

func newLeases(c *Config, p *promises) *leases {
	l := &leases{
		self:     c.Name,
		leader:   c.Role == RoleData,
		clock:    c.Clock,
		promise:  c.Timing.Promise,
		margin:   c.Timing.Promise / 10,
		late:     c.Timing.Promise / 3,
		promises: p,
	}
	l.mu.acks = map[string]*ack{}
	l.mu.follow.asked = never
	return l
}

// leadLocked makes mu.lead that of a term that this node leads.
func (l *leases) leadLocked(t Term) {
	if t <= l.mu.lead.term {
		return
	}
	l.mu.lead = lead{
		term:  t,
		sent:  map[string]time.Duration{},
		begun: map[string]time.Duration{},
		own:   never,
		floor: never,
	}
}

// beginRound is called before a message of a term leaves for another member. It
// returns when that was, and whether the member is asked for its promise; if not,
// the answer does not count.
func (l *leases) beginRound(peer string, t Term) (sent time.Duration, asks bool) {
	if !l.leader || !l.leads(t) {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leadLocked(t)
	ld := &l.mu.lead
	if ld.term != t || ld.renounced {
		return 0, false
	}
	sent = l.clock.Now()
	// Lemma 1 of docs/consistency.md: the leader promises to itself as well. The
	// promise comes first and the look at the term after it: whatever vote of a
	// later term this node gives, it gives after the promise.
	l.promises.note(l.self, t)
	if !l.leads(t) {
		return 0, false
	}
	ld.own = max(ld.own, sent)
	if peer != "" {
		ld.begun[peer] = sent
	}
	return sent, true
}

// answered counts a member's answer with Success and an equal term to a message
// that left at sent (rule R3).
func (l *leases) answered(peer string, t Term, sent time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.lead.term != t {
		return
	}
	if s, ok := l.mu.lead.sent[peer]; !ok || sent > s {
		l.mu.lead.sent[peer] = sent
	}
	l.publishLocked()
}

// ready tells that the barrier of the term has been applied: the lease may be
// used.
func (l *leases) ready(t Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leader || !l.leads(t) {
		return
	}
	l.leadLocked(t)
	if l.mu.lead.term == t {
		l.mu.lead.ready = true
		l.publishLocked()
	}
}

// renounce ends the own lease for the rest of the term (rule R6).
func (l *leases) renounce(t Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leadLocked(t)
	if l.mu.lead.term == t {
		l.mu.lead.renounced = true
		l.publishLocked()
	}
}

// publishLocked works out the leader lease and shows it to Lease.
func (l *leases) publishLocked() {
	ld := &l.mu.lead
	ld.until = 0
	if round, ok := ld.round(l.self, l.configurations); ok && ld.ready && !ld.renounced && l.promises.starting() == 0 {
		// Lemma 1: the members of the quorum promised until their receipt of
		// messages that left no earlier, plus the promise. The margin makes up
		// for clocks that run at different rates.
		ld.until = round + l.promise - l.margin
	}
	h := l.held.Load()
	switch {
	case h != nil && h.term > ld.term: // a late answer; another one leads
	case ld.until > 0:
		l.held.Store(&lease{ld.term, ld.until})
	case h != nil && h.term == ld.term:
		l.held.Store(nil)
	}
}

// round returns the newest send time such that a quorum of each configuration,
// this node included, has answered messages that left then or later.
func (ld *lead) round(self string, configurations func() (latest, committed Configuration)) (time.Duration, bool) {
	latest, committed := configurations()
	newer, ok := ld.roundOf(self, latest)
	older, ok2 := ld.roundOf(self, committed)
	return min(newer, older), ok && ok2
}

// roundOf is round for one configuration.
func (ld *lead) roundOf(self string, c Configuration) (time.Duration, bool) {
	var times []time.Duration
	voters := 0
	for _, s := range c.Servers {
		if !s.Voter {
			continue
		}
		voters++
		t, ok := ld.sent[s.Name]
		if s.Name == self {
			t, ok = ld.own, true
		}
		if ok && t > ld.floor {
			times = append(times, t)
		}
	}
	need := voters/2 + 1
	if len(times) < need {
		return 0, false
	}
	slices.Sort(times)
	return times[len(times)-need], true
}

// due tells whether a voter was sent nothing for an interval.
func (l *leases) due(peer string, t Term, interval time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	begun, ok := l.mu.lead.begun[peer]
	return l.mu.lead.term != t || !ok || l.clock.Now()-begun >= interval
}

// configured is told that a configuration was appended to the log, once it is the
// newest: of both, it and the committed one, a quorum is needed, and only messages
// that leave from now on count (rule R3). What was shown between the two steps had
// a quorum of the one before, which still was the newest in raft.
func (l *leases) configured() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ld := &l.mu.lead; ld.term > 0 {
		ld.floor = l.clock.Now()
		l.publishLocked()
	}
}

// settled is told that a configuration was committed.
func (l *leases) settled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.lead.term > 0 {
		l.publishLocked()
	}
}
