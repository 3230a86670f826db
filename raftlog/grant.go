package raftlog

import "time"

// tailMax is how many visible entries a follower may be behind with applying to
// be granted a lease, tailKeep to have it renewed.
const (
	tailMax  = 64
	tailKeep = 1024
)

// ack is what a follower is known to have on its disk.
type ack struct {
	term   Term
	index  Index // its log agrees with that of the leader of term up to here
	commit Index // commit index that it was told

	// due is an entry that it had not acknowledged at dueAt. An entry that waits
	// is found late after between one and two times leases.late.
	due    Index
	dueAt  time.Duration
	lateAt time.Duration // when it was late last; 0 for never
}

// grant is a lease that this process granted. It stays in force, whatever becomes
// of the leadership here, until it is sure that its holder has none.
type grant struct {
	peer        string // empty for none
	term        Term
	incarnation uint64        // of the holder's process
	asked       time.Duration // the last request, by the holder's clock
	until       time.Duration // by this node's clock, with the margin in it
	mixed       time.Duration // until then another process of the holder may have one too
}

// ask is a request for a lease.
type ask struct {
	term        Term
	incarnation uint64
	at          time.Duration // by the clock of who asks: the lease counts from then
	applied     Index
	promise     time.Duration // length of its promises
}

// acknowledged notes that a follower has the entries up to index on its disk, and
// knows the commit index.
func (l *leases) acknowledged(peer string, t Term, index, commit Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.ackLocked(peer)
	// Not after the lead is lost: entries that are acknowledged here must still
	// be in the own log, and truncated has to come after this.
	if t < a.term || !l.leads(t) {
		return
	}
	if a.term != t {
		*a = ack{term: t, lateAt: a.lateAt}
	}
	grown := index > a.index
	a.index = max(a.index, index)
	a.commit = max(a.commit, min(commit, index))
	if grown && l.mu.grant.peer == peer {
		l.moved()
	}
}

func (l *leases) ackLocked(peer string) *ack {
	a := l.mu.acks[peer]
	if a == nil {
		a = &ack{}
		l.mu.acks[peer] = a
	}
	return a
}

// acked returns what a follower has acknowledged in a term, and the commit index
// that it knows.
func (l *leases) acked(peer string, t Term) (index, commit Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.mu.acks[peer]; a != nil && a.term == t {
		return a.index, a.commit
	}
	return 0, 0
}

// truncated forgets acknowledgements of entries that are deleted here: others may
// come in their places.
func (l *leases) truncated(from Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.mu.acks {
		a.index = min(a.index, from-1)
	}
}

// forget drops what a member acknowledged that is one no more. Whoever has its name
// next is not granted a lease by it in any case: it must have acknowledged the entry
// that gave it its vote, which the old one never had.
func (l *leases) forget(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.acks, peer)
}

// watch looks for followers that are late. It is called regularly with the last
// index of the leader's log.
func (l *leases) watch(t Term, last Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	for _, a := range l.mu.acks {
		if a.term != t || a.index >= last {
			a.due = 0
			continue
		}
		if a.due == 0 || a.index >= a.due {
			a.due, a.dueAt = last, now
		} else if now-a.dueAt > l.late {
			a.lateAt = now
		}
	}
}

// grantTo answers a request for a lease (rules R4 and R5): with how long it runs
// from the instant of the request, or with zero.
func (l *leases) grantTo(peer string, q ask) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.expireLocked(now)
	if l.mu.refused = l.refusalLocked(peer, q, now); l.mu.refused != "" {
		return 0
	}
	// Lemma 1: a lease that is granted ends with the leader's own. The request
	// left before it arrived, so that counting from its instant only shortens it.
	left := l.mu.lead.until - now - l.margin
	if left < l.margin {
		l.mu.refused = "no round of answers lately"
		return 0
	}
	g := grant{peer: peer, term: q.term, incarnation: q.incarnation, asked: q.at, until: l.mu.lead.until}
	if old := l.mu.grant; old.peer == peer {
		g.until = max(g.until, old.until)
		if old.incarnation == q.incarnation {
			g.asked, g.mixed = max(g.asked, old.asked), old.mixed
		} else {
			// Lemma 14: which of the two processes is the dead one cannot be told,
			// since a request may be late. What one returns is not the other's.
			g.mixed = old.until
		}
	}
	fresh := l.mu.grant.peer != peer
	l.mu.grant = g
	// Lemma 1: the leader's own promise stood before the look at its term. If it
	// votes in a later term, it does so after this.
	if !l.leads(q.term) {
		l.mu.refused = "not the leader"
		return 0
	}
	if fresh {
		l.moved()
		l.granting()
	}
	return left
}

// refusalLocked says why a request for a lease is refused; nothing if it is not.
func (l *leases) refusalLocked(peer string, q ask, now time.Duration) string {
	ld := &l.mu.lead
	g := &l.mu.grant
	renewed := g.peer == peer && g.term == q.term
	a := l.mu.acks[peer]
	switch {
	case q.promise != l.promise.Truncate(time.Microsecond):
		// Lemma 4: what a leader relies on is as long as it takes it for.
		return "its promises have another length"
	case ld.term != q.term || !l.leads(q.term):
		return "not the leader of that term"
	case !ld.ready:
		return "the barrier of the term is not applied"
	case ld.renounced:
		return "leadership is being handed over"
	case !l.data(peer) || !l.votesLocked(peer):
		return "not a voting data node"
	case g.peer != "" && g.peer != peer:
		return "another node may still hold one"
	case a == nil || a.term != q.term || a.index < l.mu.released:
		// Lemma 2: a holder has on its disk whatever was ever acknowledged.
		return "it lacks entries that are visible"
	case a.lateAt != 0 && now-a.lateAt < l.late:
		return "it acknowledges late"
	case a.lateAt != 0 && !renewed && now-a.lateAt < l.promise:
		return "it acknowledged late a moment ago"
	case q.applied+tailKeep < l.mu.released, !renewed && q.applied+tailMax < l.mu.released:
		return "it applies late"
	}
	return ""
}

// votesLocked tells whether a member is a voter of each configuration.
func (l *leases) votesLocked(peer string) bool {
	latest, committed := l.configurations()
	return latest.votes(peer) && committed.votes(peer)
}

// expireLocked forgets a grant that has run out.
func (l *leases) expireLocked(now time.Duration) {
	if l.mu.grant.peer != "" && now >= l.mu.grant.until {
		l.endLocked()
	}
}

func (l *leases) endLocked() {
	l.mu.grant = grant{}
	l.moved()
	l.granting()
}

// returned ends a grant that its holder gives back: this process of it holds none
// that it asked for up to an instant of its clock.
func (l *leases) returned(peer string, incarnation uint64, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := &l.mu.grant
	if g.peer == peer && g.incarnation == incarnation && g.asked <= at && l.clock.Now() >= g.mixed {
		l.endLocked()
	}
}

// reached is told of the current term of another member. A lease of an earlier
// term is void with it (rule R4).
func (l *leases) reached(peer string, t Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := &l.mu.grant; g.peer == peer && t > g.term {
		l.endLocked()
	}
}

// granted returns who may hold a lease that this process granted, and for how
// long; empty for nobody.
func (l *leases) granted() (string, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.expireLocked(now)
	return l.mu.grant.peer, l.mu.grant.until - now
}

// release returns up to which entry of those that are committed up to last may be
// given to the state machine, and, if that is not all, for how long at most the
// rest has to wait (rule R7).
func (l *leases) release(last Index) (Index, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.expireLocked(now)
	upTo := last
	// Lemma 2: what is shown here and may be acknowledged is on the disk of
	// whoever may hold a lease of this process, also after it has lost the lead.
	if g := &l.mu.grant; g.peer != "" {
		var have Index
		if a := l.mu.acks[g.peer]; a != nil && a.term >= g.term {
			have = a.index
		}
		upTo = min(last, max(have, l.mu.released))
	}
	l.mu.released = max(l.mu.released, upTo)
	return upTo, l.mu.grant.until - now
}
