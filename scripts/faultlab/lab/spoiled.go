package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// watchEvery is how often a node with damaged files is asked how it is. What it says may be over soon.
const watchEvery = 2 * time.Millisecond

// Spoiled is a node whose files were damaged while it was down.
type Spoiled struct {
	lab    *Lab
	node   Node
	damage Damage
	logged int // bytes of its log before
	end    context.CancelFunc
	done   chan struct{}

	mu struct {
		sync.Mutex
		found   bool   // it said so
		fetches bool   // and what it does about it
		cause   string // of the quarantine
		last    *Status
	}
}

// watch asks a node for its status until Spoiled.Close.
func (l *Lab) watch(n Node, d Damage, logged int) *Spoiled {
	s := &Spoiled{lab: l, node: n, damage: d, logged: logged, done: make(chan struct{})}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	go func() {
		defer close(s.done)
		for tick := time.NewTicker(watchEvery); ; {
			if st, err := l.Status(ctx, n); err == nil {
				s.note(st)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	}()
	return s
}

// Close ends the watch.
func (s *Spoiled) Close() {
	s.end()
	<-s.done
}

// note takes what the node says now.
func (s *Spoiled) note(st *Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.last = st
	// A problem is what twofold status prints, and what makes its verdict.
	says := func(what string) bool {
		return slices.ContainsFunc(st.Problems, func(p string) bool { return strings.Contains(p, what) })
	}
	if s.damage == LogFlip {
		said := st.logDamaged(s.node) && says("the log of "+s.node.String()+" was damaged")
		s.mu.found, s.mu.fetches = s.mu.found || said, s.mu.fetches || said
		return
	}
	if q := st.Integrity.Quarantine; q != nil && says("the copy of the volume at "+s.node.String()+" is out of use ("+q.Cause+")") {
		s.mu.found, s.mu.cause = true, q.Cause
		s.mu.fetches = s.mu.fetches || st.Integrity.Refetch != "" && says(st.Integrity.Refetch)
	}
}

// Found reports that the node has said in its status that its files are damaged.
func (s *Spoiled) Found() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.found
}

// Whole reports that the node has said so, and says now that nothing is damaged any more.
func (s *Spoiled) Whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.mu.last
	if !s.mu.found || st.Health != "healthy" || len(st.Problems) > 0 {
		return false
	}
	if s.damage == LogFlip {
		return !st.logDamaged(s.node)
	}
	return st.Integrity.Quarantine == nil && st.Integrity.Refetched == 1
}

// Problems tells what the node should have said, in its log and its status, and has not.
func (s *Spoiled) Problems() (all []string) {
	what := damages[s.damage]
	log, err := os.ReadFile(s.lab.members[s.node].log)
	if err != nil || len(log) < s.logged || !bytes.Contains(log[s.logged:], []byte(what.says)) {
		all = append(all, fmt.Sprintf("%s's log does not have %q: %v", s.node, what.says, err))
	}
	if !s.Found() {
		return append(all, fmt.Sprintf("the status of %s says nothing of the damage", s.node))
	}
	whole := s.Whole()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.cause != what.cause {
		all = append(all, fmt.Sprintf("the status of %s gives the cause %q, want %q", s.node, s.mu.cause, what.cause))
	}
	if !s.mu.fetches {
		all = append(all, fmt.Sprintf("the status of %s does not say how the copy that replaces the damaged one comes along", s.node))
	}
	if !whole {
		all = append(all, fmt.Sprintf("the status of %s does not say that it is whole again: %s, %q, %+v", s.node, s.mu.last.Health, s.mu.last.Problems, s.mu.last.Integrity))
	}
	return all
}

// logDamaged reports that a node says that its log is damaged.
func (s *Status) logDamaged(n Node) bool {
	for _, m := range s.Members {
		if m.Name == n.String() {
			return m.LogDamaged
		}
	}
	return false
}
