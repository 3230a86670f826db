package model

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// system is something to search: states, and what may happen in each. S holds no pointers, so that equal states are equal values.
type system[S comparable] interface {
	initial() []S
	// next appends to out every state that one event leads to.
	next(s *S, out []step[S]) []step[S]
	// violated says what is wrong with a state, or nothing.
	violated(s *S) string
	// name tells an event in words.
	name(e event) string
}

// step is one event and the state after it.
type step[S comparable] struct {
	event event
	state S
}

// event is what happened: a kind and up to three small numbers.
type event struct{ kind, a, b, c uint8 }

// Result is the outcome of a search.
type Result struct {
	States int
	Depth  int
	// Complete is false if a violation ended the search, or the limit of states.
	Complete bool
	// Violation says what went wrong, and Trace how: one event a line, the shortest way to it.
	Violation string
	Trace     string
}

// arrival is how a state was reached first.
type arrival struct {
	parent int32
	event  event
}

// search visits every state that can be reached, breadth first, and stops at the first violation. A state is known again by 64 bits of
// hash, drawn anew in each process: a search of n states overlooks one with a probability of about n²/2⁶⁵, which is 10⁻⁵ for ten millions.
func search[S comparable](sys system[S], limit int) Result {
	seed := maphash.MakeSeed()
	seen := newHashSet()
	var came []arrival
	var level, following []queued[S]
	var out []step[S]
	for _, s := range sys.initial() {
		if seen.add(maphash.Comparable(seed, s)) {
			level = append(level, queued[S]{s, int32(len(came))})
			came = append(came, arrival{parent: -1})
		}
	}
	depth := 0
	for ; len(level) > 0; depth++ {
		following = following[:0]
		for i := range level {
			out = sys.next(&level[i].state, out[:0])
			for j := range out {
				if !seen.add(maphash.Comparable(seed, out[j].state)) {
					continue
				}
				at := int32(len(came))
				came = append(came, arrival{level[i].at, out[j].event})
				if what := sys.violated(&out[j].state); what != "" {
					return Result{States: len(came), Depth: depth + 1, Violation: what, Trace: trace(sys, came, at)}
				}
				following = append(following, queued[S]{out[j].state, at})
			}
			if len(came) > limit {
				return Result{States: len(came), Depth: depth + 1}
			}
		}
		level, following = following, level
	}
	return Result{States: len(came), Depth: depth, Complete: true}
}

// queued is a state whose successors are still to be looked at.
type queued[S comparable] struct {
	state S
	at    int32
}

// trace tells the events that led to a state.
func trace[S comparable](sys system[S], came []arrival, at int32) string {
	var lines []string
	for ; came[at].parent >= 0; at = came[at].parent {
		lines = append(lines, sys.name(came[at].event))
	}
	var b strings.Builder
	for i := len(lines) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%3d. %s\n", len(lines)-i, lines[i])
	}
	return b.String()
}

// hashSet is a set of hashes with open addressing: a Go map would take three times the memory.
type hashSet struct {
	slots []uint64
	used  int
}

func newHashSet() *hashSet { return &hashSet{slots: make([]uint64, 1<<16)} }

// add reports whether h is new.
func (s *hashSet) add(h uint64) bool {
	if h == 0 {
		h = 1 // Zero marks a free slot.
	}
	if s.used*4 > len(s.slots)*3 {
		old := s.slots
		s.slots = make([]uint64, 2*len(old))
		for _, o := range old {
			if o != 0 {
				s.slots[s.find(o)] = o
			}
		}
	}
	i := s.find(h)
	if s.slots[i] == h {
		return false
	}
	s.slots[i] = h
	s.used++
	return true
}

// find gives the slot that holds h, or the free one where it belongs.
func (s *hashSet) find(h uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := h & mask
	for s.slots[i] != 0 && s.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}
