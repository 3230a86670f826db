package replica

import (
	"sync"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// fate is what became of a change that was handed over.
type fate uint8

const (
	fateApplied fate = iota // its result is known
	fateDropped             // it did not happen and never will under its term
	fateUnknown             // it may or may not have happened
)

// outcome is the fate of a change, with its result if it was applied.
type outcome struct {
	fate fate
	res  vfs.Result
}

// waiter is who wants to know the outcome of one change. done is called once,
// on the goroutine that found it out, and must not block.
type waiter struct {
	term uint64 // under which the change was handed over
	done func(outcome)
}

// waitTable holds the waiters of one node by the origin of their change.
type waitTable struct {
	mu    sync.Mutex
	m     map[command.Origin]waiter
	floor uint64 // an entry of this term is applied: who waits under an older one waits in vain
}

// newWaitTable returns the table of a node that has applied an entry of floor.
func newWaitTable(floor uint64) *waitTable {
	return &waitTable{m: make(map[command.Origin]waiter), floor: floor}
}

// add begins to wait for a change that is then handed over under term. It
// refuses if that term is over already: nothing would end the wait, since the
// event that settles the term's changes has passed.
func (t *waitTable) add(o command.Origin, term uint64, done func(outcome)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if term < t.floor {
		return false
	}
	t.m[o] = waiter{term: term, done: done}
	return true
}

// remove forgets a waiter, whose done will not be called by later events.
func (t *waitTable) remove(o command.Origin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, o)
}

func (t *waitTable) take(o command.Origin) (waiter, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.m[o]
	if ok {
		delete(t.m, o)
	}
	return w, ok
}

// applied delivers a result, whatever the term it was handed over in: a change
// that was applied has happened.
func (t *waitTable) applied(o command.Origin, res *vfs.Result) {
	if w, ok := t.take(o); ok {
		w.done(outcome{fate: fateApplied, res: *res})
	}
}

// end delivers f to the waiter of o if it still waits under term.
func (t *waitTable) end(o command.Origin, term uint64, f fate) {
	t.mu.Lock()
	w, ok := t.m[o]
	ok = ok && w.term == term
	if ok {
		delete(t.m, o)
	}
	t.mu.Unlock()
	if ok {
		w.done(outcome{fate: f})
	}
}

// endAll delivers f to everyone who waits now, in whatever term. There are no new
// ones of a term before term.
func (t *waitTable) endAll(term uint64, f fate) {
	t.mu.Lock()
	t.floor = max(t.floor, term)
	ended := t.m
	t.m = make(map[command.Origin]waiter)
	t.mu.Unlock()
	for _, w := range ended {
		w.done(outcome{fate: f})
	}
}

// endBelow delivers f to every waiter of a term before term. From now on there
// are no new ones.
func (t *waitTable) endBelow(term uint64, f fate) {
	var ended []waiter
	t.mu.Lock()
	t.floor = max(t.floor, term)
	for o, w := range t.m {
		if w.term < term {
			ended = append(ended, w)
			delete(t.m, o)
		}
	}
	t.mu.Unlock()
	for _, w := range ended {
		w.done(outcome{fate: f})
	}
}
