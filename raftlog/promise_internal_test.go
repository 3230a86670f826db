package raftlog

import (
	"testing"
	"time"
)

// handClock is a clock that a test moves.
type handClock struct{ now time.Duration }

func (c *handClock) Now() time.Duration { return c.now }

const testPromise = 100 * time.Millisecond

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// started returns promises of a process that started long ago.
func started() (*promises, *handClock) {
	c := &handClock{}
	p := newPromises(c, testPromise)
	c.now = time.Hour
	return p, c
}

// free checks who may have this node's vote, and whether it may campaign.
func free(t *testing.T, when string, p *promises, self bool, candidates ...string) {
	t.Helper()
	for _, c := range []string{"a", "b", "w"} {
		want := false
		for _, f := range candidates {
			want = want || f == c
		}
		if got := p.blocksVote(c) == 0; got != want {
			t.Errorf("%s: a vote for %s: %v, want %v", when, c, got, want)
		}
	}
	if got := p.blocksCampaign("b") == 0; got != self {
		t.Errorf("%s: a campaign: %v, want %v", when, got, self)
	}
}

// Rule R2: a process that starts waits for one promise.
func TestPromise_Start(t *testing.T) {
	c := &handClock{now: time.Hour}
	p := newPromises(c, testPromise)
	free(t, "at the start", p, false)
	c.now += testPromise - 1
	free(t, "just before", p, false)
	if p.starting() != 1 {
		t.Errorf("starting for %v more", p.starting())
	}
	p.note("a", 7) // a leader's message does not shorten it
	free(t, "with a leader", p, false)
	c.now++
	free(t, "after it", p, false, "a")
	if p.starting() != 0 {
		t.Error("still starting")
	}
}

// Rule R1: while a promise holds, nobody but its leader gets a vote, and nobody
// is asked for one.
func TestPromise_Holds(t *testing.T) {
	p, c := started()
	free(t, "without a promise", p, true, "a", "b", "w")
	p.note("a", 7)
	free(t, "with a promise", p, false, "a")
	c.now += ms(60)
	p.note("a", 7)
	c.now += ms(60)
	free(t, "renewed", p, false, "a")
	c.now += ms(39)
	free(t, "at its end", p, false, "a")
	c.now += ms(1)
	free(t, "after its end", p, true, "a", "b", "w")
	// An earlier promise is not forgotten for a later leader's.
	p.note("a", 7)
	c.now += ms(50)
	p.note("w", 8)
	free(t, "with two", p, false)
	c.now += ms(50)
	free(t, "when one is over", p, false, "w")
}

// More promises than are remembered one by one block everything.
func TestPromise_Many(t *testing.T) {
	p, c := started()
	for i := range 3 * maxPromises {
		p.note("a", Term(i+1))
	}
	if len(p.mu.held) > maxPromises {
		t.Errorf("%d promises", len(p.mu.held))
	}
	free(t, "with many", p, false)
	c.now += testPromise
	free(t, "after them", p, true, "a", "b", "w")
}

// Rule R6: the leader lets one candidate off the promise to it in one term, also
// if messages that ask for the promise arrive later.
func TestPromise_Released(t *testing.T) {
	p, c := started()
	p.note("a", 7)
	p.drop("a", 6, "b")
	free(t, "released from another term", p, false, "a")
	p.drop("w", 7, "b")
	free(t, "released by another leader", p, false, "a")
	p.drop("a", 7, "b")
	free(t, "released", p, true, "a", "b")
	c.now += ms(50)
	p.note("a", 7) // a heartbeat that was held on its way
	free(t, "released, then asked for", p, true, "a", "b")
	p.note("a", 8)
	free(t, "in another term", p, false, "a")
	p.drop("a", 6, "b") // late
	free(t, "after a late release", p, false, "a")
	if p.mu.released.term != 7 {
		t.Error("a late release took the place of a later one")
	}
}

// Once the target of a transfer has a term of its own, the promise binds nobody.
func TestPromise_TargetReached(t *testing.T) {
	p, _ := started()
	p.note("a", 7)
	p.drop("a", 7, "b")
	p.reached("b", 7)
	p.reached("w", 8)
	free(t, "before", p, true, "a", "b")
	p.reached("b", 8)
	free(t, "after", p, true, "a", "b", "w")
}

// A leader that let a target off may not campaign itself before the target has
// gone on to another term: the target may still hold a lease.
func TestPromise_OwnReleased(t *testing.T) {
	p, _ := started()
	p.note("b", 7) // to itself
	p.drop("b", 7, "a")
	free(t, "released to a", p, false, "a", "b")
	p.reached("a", 8)
	free(t, "a has another term", p, true, "a", "b", "w")
}
