package raftlog

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// newWire is the transport of member b in term 7, which follows a.
func newWire(clock Clock, p *promises) *transport {
	t := &transport{
		name: "b", promises: p, log: slog.New(slog.DiscardHandler), closing: make(chan struct{}),
		timing: Timing{Promise: testPromise, ElectionTimeout: time.Second},
		term:   func() Term { return 7 }, reached: func(string, Term) {},
		stalled: func() bool { return false }, doubtful: func() bool { return false }, campaigning: func(Term) bool { return true },
		leads: func(Term) bool { return true },
	}
	t.mu.late, t.mu.strange = map[string]bool{}, map[string]bool{}
	t.leases = newLeases(&Config{Name: "b", Role: RoleData, Clock: clock, Timing: t.timing}, p)
	return t
}

// header is that of a message of a member with the same promises.
func headerOf(from string, asks bool, term Term) raft.RPCHeader {
	sender := transport{name: from, timing: Timing{Promise: testPromise}}
	return sender.header(asks, term)
}

func newCall(command any) (*raft.RPC, chan raft.RPCResponse) {
	out := make(chan raft.RPCResponse, 1)
	return &raft.RPC{Command: command, RespChan: out}, out
}

// Rule R1: a request for a vote that a promise forbids does not reach raft, which
// would raise its term; a vote that raft has given meanwhile does not leave.
func TestRules_Vote(t *testing.T) {
	p, clock := started()
	w := newWire(clock, p)
	ask := func() (passed bool, call *raft.RPC, out chan raft.RPCResponse) {
		req := &raft.RequestVoteRequest{RPCHeader: headerOf("w", false, 0), Term: 8, LeadershipTransfer: true}
		call, out = newCall(req)
		return w.receiveVote(call, req), call, out
	}
	granted := func(out chan raft.RPCResponse) bool {
		return (<-out).Response.(*raft.RequestVoteResponse).Granted
	}
	p.note("a", 7)
	if passed, _, out := ask(); passed || granted(out) {
		t.Error("a request passed while a promise holds")
	}
	clock.now += testPromise
	for _, promise := range []bool{false, true} {
		passed, call, out := ask()
		if !passed {
			t.Fatal("a request was refused without a promise")
		}
		if promise {
			p.note("a", 7) // while raft works at it
		}
		call.Respond(&raft.RequestVoteResponse{Term: 8, Granted: true}, nil)
		if granted(out) == promise {
			t.Errorf("promised: %v, and the vote left: %v", promise, !promise)
		}
	}
	close(w.closing)
	w.wg.Wait()
}

// A pre-vote is refused where a vote would be.
func TestRules_PreVote(t *testing.T) {
	p, clock := started()
	w := newWire(clock, p)
	for _, want := range []bool{true, false} {
		req := &raft.RequestPreVoteRequest{RPCHeader: headerOf("w", false, 0), Term: 8}
		call, _ := newCall(req)
		if w.receivePreVote(call, req) != want {
			t.Errorf("passed: %v", !want)
		}
		p.note("a", 7)
	}
}

// bubbleClock is the time of a bubble.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() time.Duration { return time.Since(c.start) }

// Rules R1 and R2: nobody is asked for a vote while a promise holds.
func TestRules_Campaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := bubbleClock{time.Now()}
		w := newWire(clock, newPromises(clock, testPromise))
		asked := 0
		if err := w.campaign(8, func() (bool, error) { asked++; return true, nil }); err != nil || asked != 1 {
			t.Errorf("%v, asked %d times", err, asked)
		}
		if d := clock.Now(); d < testPromise || d > testPromise*3/2 {
			t.Errorf("asked after %v", d)
		}
	})
}

// Rules R1, R2 and R6: TimeoutNow is of the leader of the own term, and frees of
// no promise but that to it.
func TestRules_TimeoutNow(t *testing.T) {
	p, clock := started()
	w := newWire(clock, p)
	take := func(term Term) bool {
		req := &raft.TimeoutNowRequest{RPCHeader: headerOf("a", false, term)}
		call, _ := newCall(req)
		return w.receiveTimeoutNow(call, req)
	}
	if take(6) || take(8) {
		t.Error("taken in another term")
	}
	p.note("a", 6)
	if take(7) {
		t.Error("taken with a promise of another term")
	}
	clock.now += testPromise
	p.note("a", 7)
	if !take(7) {
		t.Error("refused")
	}
	w.promises = newPromises(clock, testPromise)
	if take(7) {
		t.Error("taken by a process that has just started")
	}
	w.promises.drop("", 0, "b") // which must not count as permission
	if take(7) {
		t.Error("taken by a process that has just started")
	}
	// The sender's side: only in the term of a transfer.
	if err := w.TimeoutNow("a", "a", nil, nil); err != errRefused {
		t.Errorf("sent without a transfer: %v", err)
	}
}

// Rule R3: what counts is an answer with Success and an equal term, to a message
// that asked for a promise, from when that left.
func TestRules_Answers(t *testing.T) {
	for _, c := range []struct {
		what    string
		success bool
		term    uint64
		asks    bool
		counts  bool
	}{
		{"a good answer", true, 5, true, true},
		{"no success", false, 5, true, false},
		{"a later term", true, 6, true, false},
		{"an earlier term", true, 4, true, false},
		{"no promise was asked for", true, 5, false, false},
	} {
		b := newBench(t)
		w := newWire(b.clock, b.l.promises)
		w.leases = b.l
		b.l.ready(5)
		sent, _ := b.l.beginRound("b", 5)
		b.clock.now += ms(20)
		w.count("b", w.request(5, 0, 0, 0), &raft.AppendEntriesResponse{Success: c.success, Term: c.term}, sent, c.asks)
		if got := b.until() == sent+ms(90); got != c.counts || !got && b.until() != 0 {
			t.Errorf("%s: a lease until %v, sent at %v", c.what, b.until(), sent)
		}
		if len(b.l.mu.acks) != 0 {
			t.Errorf("%s: a heartbeat acknowledged entries", c.what)
		}
		w.count("b", w.request(5, 3, 2, 9), &raft.AppendEntriesResponse{Success: c.success, Term: c.term}, sent, c.asks)
		index, commit := b.l.acked("b", 5)
		if ok := c.success && c.term == 5; ok != (index == 3 && commit == 3) {
			t.Errorf("%s: acknowledged %d, committed %d", c.what, index, commit)
		}
	}
}

// Rule R4: a lease holds in its term and before its end.
func TestRules_Lease(t *testing.T) {
	b := newBench(t)
	b.lead(1)
	want := func(what string, want bool) {
		t.Helper()
		if term, ok := b.l.current(); ok != want || ok && term != 5 {
			t.Errorf("%s: %v in term %d", what, ok, term)
		}
	}
	want("led", true)
	b.clock.now += ms(90) - 1
	want("at its end", true)
	b.term = 6
	want("in another term", false)
	b.term = 5
	b.clock.now++
	want("after its end", false)
}

// Lemma 1: a grant is made only if the lead is still there after it was noted; it
// stays noted if not.
func TestRules_GrantLooksTwice(t *testing.T) {
	b := newBench(t)
	b.lead(1)
	leads := b.l.leads
	looks := 0
	b.l.leads = func(t Term) bool { looks++; return looks == 1 && leads(t) }
	b.wantRefused("the lead is lost meanwhile")
	if peer, _ := b.l.granted(); peer != "b" {
		t.Error("forgotten")
	}
}

// A renewal never shortens what the gate waits for.
func TestRules_GateNotShortened(t *testing.T) {
	b := newBench(t)
	b.lead(1)
	b.ask(1)
	b.l.mu.lead.until -= ms(30)
	b.ask(2)
	if _, left := b.l.granted(); left != ms(90) {
		t.Errorf("waits for %v", left)
	}
}

// Rule R5: what the state had when the process started may have been shown.
func TestRules_Restart(t *testing.T) {
	b := newBench(t)
	n := &Node{leases: b.l, fsm: &fsm{skip: 7}, markers: &markers{}, membership: newMembership(nil, nil)}
	n.beginAt(nil)
	b.lead(6)
	b.wantRefused("it lacks what was durable here")
	b.l.acknowledged("b", 5, 7, 0)
	if b.ask(1) == 0 {
		t.Error(b.l.mu.refused)
	}
	n.truncated(4)
	if i, _ := b.l.acked("b", 5); i != 3 {
		t.Errorf("acknowledged %d, from 4 on nothing is left", i)
	}
}
