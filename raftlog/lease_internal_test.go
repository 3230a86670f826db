package raftlog

import (
	"strings"
	"testing"
	"time"
)

// bench is a leases with hands on all that it asks.
type bench struct {
	t     *testing.T
	l     *leases
	clock *handClock
	term  Term
	leads bool

	latest, committed Configuration

	moved, granting int // how often each was told
}

// votersOf is a configuration of data nodes and, by its name, a witness.
func votersOf(index Index, names ...string) Configuration {
	c := Configuration{Index: index}
	for _, n := range names {
		role := RoleData
		if n == "w" {
			role = RoleWitness
		}
		c.Servers = append(c.Servers, Server{Member: Member{n, role}, Voter: true})
	}
	return c
}

// newBench is node a of a, b and the witness w, leading term 5, with P = 100 ms.
func newBench(t *testing.T) *bench {
	p, clock := started()
	c := &Config{Name: "a", Role: RoleData, Clock: clock}
	c.Timing.Promise = testPromise
	b := &bench{t: t, l: newLeases(c, p), clock: clock, term: 5, leads: true}
	b.l.term = func() Term { return b.term }
	b.l.leads = func(t Term) bool { return b.leads && b.term == t }
	b.latest = votersOf(1, "a", "b", "w")
	b.committed = b.latest
	b.l.configurations = func() (latest, committed Configuration) { return b.latest, b.committed }
	b.l.data = func(m string) bool { return m != "w" }
	b.l.moved = func() { b.moved++ }
	b.l.granting = func() { b.granting++ }
	return b
}

// round sends to a member and has its answer arrive after a while.
func (b *bench) round(peer string, rtt time.Duration) time.Duration {
	sent, asks := b.l.beginRound(peer, b.term)
	if !asks {
		return 0
	}
	b.clock.now += rtt
	b.l.answered(peer, b.term, sent)
	return sent
}

func (b *bench) until() time.Duration {
	h := b.l.held.Load()
	if h == nil || h.term != b.term {
		return 0
	}
	return h.until
}

func (b *bench) wantUntil(what string, want time.Duration) {
	b.t.Helper()
	if got := b.until(); got != want {
		b.t.Errorf("%s: the lease runs to %v, want %v", what, got, want)
	}
}

// lead makes b a leader with a lease whose data node b acknowledged up to index.
func (b *bench) lead(index Index) {
	b.l.ready(b.term)
	b.round("b", 0)
	b.l.acknowledged("b", b.term, index, 0)
}

func (b *bench) ask(at time.Duration) time.Duration {
	return b.l.grantTo("b", ask{promise: testPromise, term: b.term, incarnation: 1, at: at, applied: b.l.mu.released})
}

func (b *bench) wantRefused(what string) {
	b.t.Helper()
	if d := b.ask(1); d != 0 || b.l.mu.refused == "" {
		b.t.Errorf("%s: granted for %v, refused for %q", what, d, b.l.mu.refused)
	}
}

// Rule R3: the lease is counted from the send time of the quorum's newest round,
// less the margin, and only once the term's barrier is applied.
func TestLeaderLease_Rounds(t *testing.T) {
	b := newBench(t)
	s := b.round("w", ms(3))
	b.wantUntil("before the barrier", 0)
	b.l.ready(5)
	b.wantUntil("one other of two", s+ms(90))
	b.clock.now += ms(20)
	s2 := b.round("b", ms(30))
	b.wantUntil("a newer one", s2+ms(90))
	b.l.answered("w", 5, s) // late: it moves nothing
	b.wantUntil("an old answer", s2+ms(90))
	b.l.answered("w", 4, b.clock.now)
	b.wantUntil("an answer of another term", s2+ms(90))
	if b.l.promises.blocksVote("b") == 0 || b.l.promises.blocksCampaign("a") == 0 {
		t.Error("the leader made no promise to itself")
	}
	b.leads = false
	if _, asks := b.l.beginRound("b", 5); asks {
		t.Error("a round after the lead was lost")
	}
	b.term, b.leads = 6, true
	b.l.ready(6)
	b.wantUntil("in another term", 0)
	b.round("b", 0)
	b.l.answered("b", 5, b.clock.now+ms(50))
	b.wantUntil("with an answer of the last term", b.clock.now+ms(90))
}

// The own promise comes before the look at the own term.
func TestLeaderLease_OwnPromiseFirst(t *testing.T) {
	b := newBench(t)
	looks := 0
	b.l.leads = func(Term) bool {
		looks++
		return looks == 1 // the term is lost just after
	}
	if _, asks := b.l.beginRound("b", 5); asks {
		t.Error("counted")
	}
	if looks != 2 || b.l.promises.blocksVote("b") == 0 {
		t.Errorf("%d looks, a vote for b blocked for %v", looks, b.l.promises.blocksVote("b"))
	}
}

// Rule R3: of five, three are a quorum.
func TestLeaderLease_QuorumOfFive(t *testing.T) {
	b := newBench(t)
	b.latest = votersOf(1, "a", "b", "c", "d", "w")
	b.committed = b.latest
	b.l.ready(5)
	first := b.round("b", ms(1))
	b.wantUntil("two of five", 0)
	b.clock.now += ms(5)
	b.round("c", ms(1))
	b.wantUntil("three of five", first+ms(90))
	b.round("x", ms(1))
	b.wantUntil("and a stranger", first+ms(90))
}

// A cluster of one needs nobody's answer, but its own promise.
func TestLeaderLease_Alone(t *testing.T) {
	b := newBench(t)
	b.latest = votersOf(1, "a")
	b.committed = b.latest
	b.l.ready(5)
	b.wantUntil("before a round", 0)
	s, _ := b.l.beginRound("", 5)
	b.l.answered("", 5, never)
	b.wantUntil("after it", s+ms(90))
}

// Rule R3: after a configuration was appended only rounds sent later count, with
// a quorum of both.
func TestLeaderLease_Configuration(t *testing.T) {
	b := newBench(t)
	b.l.ready(5)
	early, _ := b.l.beginRound("b", 5)
	b.round("b", ms(1))
	b.latest = votersOf(9, "a", "b", "c", "d", "w")
	b.l.configured()
	b.wantUntil("appended", 0)
	b.l.answered("w", 5, early)
	b.wantUntil("a round sent before", 0)
	b.clock.now += ms(1)
	s := b.round("b", ms(1))
	b.wantUntil("a quorum of the old one only", 0)
	b.round("d", ms(1))
	b.wantUntil("a quorum of both", s+ms(90))
	b.clock.now += ms(10)
	b.round("c", 0)
	s3 := b.round("d", 0)
	b.wantUntil("a newer quorum of the new one only", s+ms(90))
	b.l.settled() // of an earlier change
	b.wantUntil("another one committed", s+ms(90))
	b.committed = b.latest
	b.l.settled()
	b.wantUntil("committed", s3+ms(90))
}

// Rule R6: a lease that was renounced does not come back in its term.
func TestLeaderLease_Renounced(t *testing.T) {
	b := newBench(t)
	b.lead(1)
	b.l.renounce(5)
	b.wantUntil("renounced", 0)
	if _, asks := b.l.beginRound("b", 5); asks {
		t.Error("promises are asked for")
	}
	b.l.answered("b", 5, b.clock.now)
	b.l.ready(5)
	b.wantUntil("after further answers", 0)
	b.wantRefused("after renouncing")
	b.term = 6
	b.lead(1)
	b.wantUntil("in the next term", b.clock.now+ms(90))
}

// Rule R2: no lease within a promise after the start of the process.
func TestLeaderLease_Start(t *testing.T) {
	b := newBench(t)
	b.l.promises = newPromises(b.clock, testPromise)
	b.lead(1)
	b.wantUntil("at the start", 0)
	b.clock.now += testPromise
	b.round("b", 0)
	b.wantUntil("later", b.clock.now+ms(90))
}

// A witness holds no lease and grants none.
func TestLeaderLease_Witness(t *testing.T) {
	b := newBench(t)
	b.l.leader = false
	if _, asks := b.l.beginRound("b", 5); asks {
		t.Error("it asks for promises")
	}
	b.l.ready(5)
	b.l.answered("b", 5, b.clock.now)
	b.wantUntil("a witness", 0)
	b.wantRefused("by a witness")
}

// Rule R4: what is granted is no longer than what is left of the own lease, less
// the margin.
func TestGrant_Length(t *testing.T) {
	b := newBench(t)
	b.lead(3)
	if d := b.ask(1); d != ms(80) {
		t.Errorf("granted for %v", d)
	}
	b.clock.now += ms(30)
	if d := b.ask(2); d != ms(50) {
		t.Errorf("renewed for %v", d)
	}
	if peer, left := b.l.granted(); peer != "b" || left != ms(60) {
		t.Errorf("granted to %q for %v", peer, left)
	}
	b.clock.now += ms(45)
	b.wantRefused("at the end of the own lease")
	b.clock.now += ms(15)
	if peer, _ := b.l.granted(); peer != "" {
		t.Errorf("still granted to %q", peer)
	}
}

// Rule R5: who gets no lease.
func TestGrant_Refused(t *testing.T) {
	b := newBench(t)
	b.round("b", 0)
	b.l.acknowledged("b", 5, 10, 0)
	b.wantRefused("before the barrier")
	if !strings.Contains(b.l.mu.refused, "barrier") {
		t.Errorf("refused since %s", b.l.mu.refused)
	}
	b.l.ready(5)
	b.l.mu.released = 11
	b.wantRefused("behind what is visible")
	b.l.acknowledged("b", 5, 11, 0)
	if d := b.l.grantTo("b", ask{promise: testPromise + 1000, term: 5, applied: 10}); d != 0 {
		t.Error("one with other promises got one")
	}
	if d := b.l.grantTo("w", ask{promise: testPromise, term: 5}); d != 0 {
		t.Error("a witness got one")
	}
	if d := b.l.grantTo("c", ask{promise: testPromise, term: 5}); d != 0 {
		t.Error("a stranger got one")
	}
	b.l.mu.acks["c"] = &ack{term: 5, index: 11}
	if d := b.l.grantTo("c", ask{promise: testPromise, term: 5}); d != 0 {
		t.Error("a data node that is no voter got one")
	}
	if d := b.l.grantTo("b", ask{promise: testPromise, term: 4}); d != 0 {
		t.Error("one was granted in another term")
	}
	b.latest = votersOf(1, "a", "b", "c", "w")
	if d := b.l.grantTo("c", ask{promise: testPromise, term: 5}); d != 0 || b.l.mu.refused != "not a voting data node" {
		t.Errorf("a voter of the newest configuration only got one, or was refused for %q", b.l.mu.refused)
	}
	b.committed = b.latest
	b.l.mu.lead.sent["c"] = b.clock.now
	b.l.publishLocked()
	if b.ask(1) == 0 {
		t.Fatalf("b got none: %s", b.l.mu.refused)
	}
	if d := b.l.grantTo("c", ask{promise: testPromise, term: 5, applied: 11}); d != 0 {
		t.Error("a second node got one")
	}
	b.leads = false
	b.wantRefused("after the lead was lost")
}

// What an acknowledgement makes visible is told to delivery alone: who watches the
// state is not woken for each entry, but for a grant's begin and end.
func TestGrant_TellsWhoAsked(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	if b.ask(1) == 0 || b.moved != 1 || b.granting != 1 {
		t.Fatalf("a grant: %d, %d", b.moved, b.granting)
	}
	for i := range Index(50) {
		b.l.acknowledged("b", 5, 11+i, 10)
	}
	if b.moved != 51 || b.granting != 1 {
		t.Errorf("50 acknowledgements: %d, %d", b.moved, b.granting)
	}
	b.l.acknowledged("b", 5, 20, 10)
	b.ask(2)
	if b.moved != 51 || b.granting != 1 {
		t.Errorf("an old acknowledgement and a renewal: %d, %d", b.moved, b.granting)
	}
	b.l.reached("b", 6)
	if b.moved != 52 || b.granting != 2 {
		t.Errorf("the end: %d, %d", b.moved, b.granting)
	}
}

// An acknowledgement counts in its term only.
func TestGrant_AckOfTerm(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	b.term = 6
	b.l.ready(6)
	b.round("b", 0)
	b.wantRefused("with an acknowledgement of the last term")
	b.l.acknowledged("b", 5, 20, 0) // late
	b.wantRefused("with a late one of the last term")
	b.l.acknowledged("b", 6, 10, 0)
	if b.ask(1) == 0 {
		t.Error(b.l.mu.refused)
	}
	b.l.truncated(4)
	if i, _ := b.l.acked("b", 6); i != 3 {
		t.Errorf("acknowledged up to %d after the truncation", i)
	}
}

// Rule R5: a follower that acknowledges late loses its lease, and gets it back
// only when it has been in time for a while. A long tail loses it too.
func TestGrant_Late(t *testing.T) {
	b := newBench(t)
	keep := func() {
		b.round("b", 0)
		b.l.watch(5, 11)
	}
	b.lead(10)
	keep()
	if b.ask(1) == 0 {
		t.Fatal(b.l.mu.refused)
	}
	b.clock.now += ms(33)
	keep()
	if b.ask(1) == 0 {
		t.Fatal("late too early: ", b.l.mu.refused)
	}
	b.clock.now += ms(10)
	keep()
	b.wantRefused("late")
	b.l.acknowledged("b", 5, 11, 0)
	keep()
	b.wantRefused("just in time again")
	b.clock.now += ms(34)
	keep()
	b.l.mu.grant = grant{}
	b.wantRefused("fresh, soon after it was late")
	b.clock.now += ms(70)
	keep()
	if b.ask(1) == 0 {
		t.Error("in time for a while: ", b.l.mu.refused)
	}
	b.l.mu.released = tailMax + 1 // it has acknowledged, but applied nothing
	b.l.acknowledged("b", 5, tailKeep+10, 0)
	slow := ask{promise: testPromise, term: 5, incarnation: 1}
	if b.l.grantTo("b", slow) == 0 {
		t.Error("not renewed with a short tail: ", b.l.mu.refused)
	}
	b.l.mu.grant = grant{}
	if b.l.grantTo("b", slow) != 0 {
		t.Error("a fresh one with a tail")
	}
	b.l.mu.grant = grant{peer: "b", term: 5}
	b.l.mu.released = tailKeep + 1
	if b.l.grantTo("b", slow) != 0 {
		t.Error("renewed with a long tail")
	}
}

func (b *bench) wantRelease(what string, last, want Index) {
	b.t.Helper()
	if got, _ := b.l.release(last); got != want {
		b.t.Errorf("%s: visible up to %d, want %d", what, got, want)
	}
}

// Rule R7: an entry is visible when whoever may hold a lease has it.
func TestVisible_Gate(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	b.wantRelease("without a grant", 10, 10)
	if b.ask(1) == 0 {
		t.Fatal(b.l.mu.refused)
	}
	b.wantRelease("not acknowledged", 12, 10)
	b.l.acknowledged("b", 5, 11, 0)
	b.wantRelease("acknowledged", 12, 11)
	b.l.acknowledged("b", 4, 12, 0)
	b.wantRelease("acknowledged in another term", 12, 11)
	b.clock.now += ms(90) - 1
	b.wantRelease("before the lease's end", 12, 11)
	b.clock.now++
	b.wantRelease("at its end", 12, 12)
	b.round("b", 0)
	b.wantRefused("lacks a visible one")
}

// Rule R7, Lemma 9: it stays so after the lead was lost, and in a later lead,
// until the lease has run out or its holder has another term.
func TestVisible_OutlivesLead(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	if b.ask(1) == 0 {
		t.Fatal(b.l.mu.refused)
	}
	b.leads, b.term = false, 6
	b.wantRelease("deposed", 12, 10)
	b.l.acknowledged("b", 5, 11, 0)
	b.wantRelease("an acknowledgement after the lead was lost", 12, 10)
	b.leads, b.term = true, 7
	b.l.ready(7)
	b.round("w", 0)
	b.wantRelease("leading again", 12, 10)
	b.l.acknowledged("b", 7, 12, 0)
	b.wantRelease("acknowledged in the new term", 12, 12)
	b.wantRelease("not all of it", 13, 12)
	b.l.reached("w", 8)
	b.l.reached("b", 5)
	b.wantRelease("its holder is in the old term", 13, 12)
	b.l.reached("b", 6)
	b.wantRelease("its holder has another term", 13, 13)
}

// Lemma 14: what is returned is what was asked for up to an instant, by the same
// process.
func TestGrant_Returned(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	b.ask(7)
	b.ask(5) // overtaken: the later one still holds
	b.l.returned("b", 1, 6)
	b.l.returned("b", 2, 8)
	b.l.returned("w", 1, 8)
	b.wantRelease("others returned", 12, 10)
	b.l.returned("b", 1, 7)
	b.wantRelease("returned", 12, 12)
}

// Lemma 14: a process that is dead may have asked and given back by messages that
// come after those of the next one, whose lease they do not end.
func TestGrant_ReturnedByTheDead(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	b.ask(7) // the next one
	if b.l.grantTo("b", ask{promise: testPromise, term: 5, incarnation: 2, at: 3, applied: 10}) == 0 {
		t.Fatal(b.l.mu.refused)
	}
	b.l.returned("b", 2, 3)
	b.wantRelease("returned by the dead", 12, 10)
	b.clock.now += ms(60)
	b.round("b", 0)
	b.ask(8)
	b.l.returned("b", 1, 8)
	b.wantRelease("the dead one's would still run", 12, 10)
	b.clock.now += ms(30)
	b.round("b", 0)
	b.ask(9)
	b.clock.now += ms(60)
	b.round("b", 0)
	b.ask(10)
	b.l.returned("b", 1, 10)
	b.wantRelease("returned long after", 12, 12)
}

// A late answer to a leader of an earlier term does not take away the lease that
// it got from the next one.
func TestReadLease_LateAnswer(t *testing.T) {
	b := newBench(t)
	b.lead(10)
	b.leads, b.term = false, 6
	p, epoch, _ := b.l.request()
	b.l.took(p, epoch, pong{Term: 6, Lease: ms(80)}, nil)
	b.l.answered("w", 5, b.clock.now)
	b.wantUntil("after a late answer", p.At+ms(80))
}

// follower is node b, which follows a in term 5.
func newFollower(t *testing.T) *bench {
	b := newBench(t)
	b.leads, b.l.mu.follow.incarnation = false, 9
	return b
}

// Rule R4: the lease counts from the request, in its term only.
func TestReadLease_Counts(t *testing.T) {
	b := newFollower(t)
	p, epoch, ok := b.l.request()
	if !ok || p.At != b.clock.now || p.Term != 5 || p.Incarnation != 9 || !p.Wants {
		t.Fatalf("%+v %v", p, ok)
	}
	if _, _, again := b.l.request(); again {
		t.Error("two requests are out")
	}
	b.clock.now += ms(20)
	b.l.took(p, epoch, pong{Term: 5, Lease: ms(80)}, nil)
	b.wantUntil("granted", p.At+ms(80))
	for what, a := range map[string]pong{"none": {Term: 5}, "of another term": {Term: 6, Lease: ms(500)}} {
		q, e, _ := b.l.request()
		b.l.took(q, e, a, nil)
		b.wantUntil(what, p.At+ms(80))
	}
	q, e, _ := b.l.request()
	b.term = 6
	b.l.took(q, e, pong{Term: 5, Lease: ms(500)}, nil)
	if h := b.l.held.Load(); h.until != p.At+ms(80) {
		t.Error("taken after the term was raised")
	}
	b.clock.now += testPromise
	if _, _, ok := b.l.request(); !ok {
		t.Error("no request although the last one is lost")
	}
}

// Lemma 14: a lease that was given up does not come back with a late answer, nor
// while there is a reason to hold none.
func TestReadLease_GivenUp(t *testing.T) {
	b := newFollower(t)
	p, epoch, _ := b.l.request()
	b.l.took(p, epoch, pong{Term: 5, Lease: ms(80)}, nil)
	b.clock.now += ms(10)
	q, epoch, _ := b.l.request()
	inc, at := b.l.give()
	if inc != 9 || at != q.At {
		t.Errorf("gave up what was asked for up to %v, by %d; asked at %v", at, inc, q.At)
	}
	b.wantUntil("given up", 0)
	b.l.took(q, epoch, pong{Term: 5, Lease: ms(80)}, nil)
	b.wantUntil("with a late answer", 0)
	b.l.barBy(1)
	if _, _, ok := b.l.request(); ok {
		t.Error("asks while it must not hold one")
	}
	b.l.barBy(-1)
	p, epoch, ok := b.l.request()
	if !ok {
		t.Fatal("asks no more")
	}
	b.l.took(p, epoch, pong{Term: 5, Lease: ms(80)}, nil)
	b.wantUntil("again", p.At+ms(80))
}
