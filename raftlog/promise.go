package raftlog

import (
	"slices"
	"sync"
	"time"
)

// maxPromises bounds the promises that are remembered one by one. Further ones
// become a promise to nobody, which blocks every vote while it lasts.
const maxPromises = 8

// promises is what this voter has promised (rules R1, R2 and R6): to let no
// other than a given leader have its vote for a while, and not to ask for votes
// itself. A leader's lease rests on the promises of a quorum.
//
// It is kept in memory only. A process that starts has forgotten what it
// promised before, so that it begins with a promise to nobody.
type promises struct {
	clock  Clock
	length time.Duration

	mu struct {
		sync.Mutex
		held     []promise
		released release
	}
}

// promise is one to a leader of a term; to nobody if the leader is empty.
type promise struct {
	leader string
	term   Term
	until  time.Duration // by the clock
}

// release lets one candidate off the promises to a leader of a term: those that
// hold, and those that messages on their way will still ask for.
type release struct {
	leader string
	term   Term
	to     string
}

func newPromises(clock Clock, length time.Duration) *promises {
	p := &promises{clock: clock, length: length}
	// Rule R2 (Lemma 1 of docs/consistency.md): whatever the last process
	// promised has run out by then.
	p.mu.held = []promise{{until: clock.Now() + length}}
	return p
}

// note promises to the leader of a term, from now on. It must be called before a
// message of that leader is handed to raft, and by the leader before it sends
// one: Lemma 1 of docs/consistency.md rests on that order.
func (p *promises) note(leader string, term Term) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	until := now + p.length
	kept := p.mu.held[:0]
	found := false
	for _, h := range p.mu.held {
		switch {
		case h.leader == leader && h.term == term:
			h.until, found = max(h.until, until), true
		case h.until <= now:
			continue
		}
		kept = append(kept, h)
	}
	p.mu.held = kept
	switch {
	case found:
	case len(kept) < maxPromises:
		p.mu.held = append(kept, promise{leader, term, until})
	default:
		kept[len(kept)-1] = promise{until: max(until, kept[len(kept)-1].until)}
	}
}

// drop lets one candidate off the promise to the leader of a term, who says so
// itself (rule R6). No lease of that term is in the leader's hands any more, and
// none in others' but the candidate's own, which ends with its candidacy.
func (p *promises) drop(leader string, term Term, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term >= p.mu.released.term {
		p.mu.released = release{leader, term, to}
	}
}

// reached is told of the current term of another member. If the lead of an earlier
// term was being handed to it, nobody holds a lease of that term any more: the
// leader gave its own up before it said so, and the target's is void.
func (p *promises) reached(peer string, t Term) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.mu.released
	if r.to != peer || t <= r.term {
		return
	}
	p.mu.held = slices.DeleteFunc(p.mu.held, func(h promise) bool {
		return h.leader == r.leader && h.term == r.term
	})
}

// blocksVote tells for how long no vote for a candidate may leave this node; not
// at all if it is zero.
func (p *promises) blocksVote(candidate string) time.Duration {
	return p.blocks(func(h promise) bool {
		return h.leader == candidate && candidate != "" || p.releasedLocked(h, candidate)
	})
}

// blocksCampaign tells for how long this node may not ask for votes. A promise
// to itself, as a leader, counts as well.
func (p *promises) blocksCampaign(self string) time.Duration {
	return p.blocks(func(h promise) bool { return p.releasedLocked(h, self) })
}

func (p *promises) blocks(except func(promise) bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	var wait time.Duration
	for _, h := range p.mu.held {
		if h.until > now && !except(h) {
			wait = max(wait, h.until-now)
		}
	}
	return wait
}

func (p *promises) releasedLocked(h promise, candidate string) bool {
	return h.leader != "" && p.mu.released == release{h.leader, h.term, candidate}
}

// barred tells for how long this node could not take the lead from the leader of
// a term, if that one let it off its promise.
func (p *promises) barred(self string, t Term) time.Duration {
	return p.blocks(func(h promise) bool { return h.term == t && h.leader != self || p.releasedLocked(h, self) })
}

// starting tells for how long rule R2 still holds.
func (p *promises) starting() time.Duration {
	return p.blocks(func(h promise) bool { return h.leader != "" })
}
