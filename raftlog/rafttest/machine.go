package rafttest

import (
	"context"
	"fmt"
	"sync"

	"twofold/raftlog"
)

// Machine is a state machine that keeps what it is given. It reports what
// breaks the contract of raftlog.StateMachine through Err.
type Machine struct {
	peer func(name string) *Machine // finds the others'; nil for none

	mu struct {
		sync.Mutex
		staged  *staged
		brought int                   // calls of Bring
		bring   func(times int) error // may fail a Bring
		entries []raftlog.Entry
		last    raftlog.Index // of the log
		durable raftlog.Index
		term    raftlog.Term // of durable
		err     error
		changed chan struct{}
		block   chan struct{} // Commit waits until it is closed
		store   chan struct{} // and so does Appended
	}
}

// staged is a complete copy of another machine's state.
type staged struct {
	entries []raftlog.Entry
	index   raftlog.Index
	term    raftlog.Term
}

var (
	_ raftlog.StateMachine = (*Machine)(nil)
	_ raftlog.CatchUp      = (*Machine)(nil)
)

// NewMachine returns an empty state.
func NewMachine() *Machine {
	m := &Machine{}
	m.mu.changed = make(chan struct{})
	return m
}

// Restart returns what is left of the state after a crash: what was durable.
func (m *Machine) Restart() *Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := NewMachine()
	r.peer, r.mu.staged = m.peer, m.mu.staged
	r.mu.durable, r.mu.term = m.mu.durable, m.mu.term
	for _, e := range m.mu.entries {
		if e.Index <= m.mu.durable {
			r.mu.entries = append(r.mu.entries, e)
		}
	}
	return r
}

// Recovered implements raftlog.StateMachine.
func (m *Machine) Recovered(last raftlog.Index) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.last = last
}

// Appended implements raftlog.StateMachine.
func (m *Machine) Appended(entries []raftlog.Entry) {
	m.mu.Lock()
	block := m.mu.store
	m.mu.Unlock()
	if block != nil {
		<-block
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.last = entries[len(entries)-1].Index
}

// HoldAppended has Appended wait until release is called.
func (m *Machine) HoldAppended() (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	block := make(chan struct{})
	m.mu.store = block
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.store = nil
		close(block)
	}
}

// Truncated implements raftlog.StateMachine.
func (m *Machine) Truncated(from raftlog.Index) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.last = from - 1
}

// Last returns the last index of the log, as far as the machine was told.
func (m *Machine) Last() raftlog.Index {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.last
}

// Commit implements raftlog.StateMachine.
func (m *Machine) Commit(entries []raftlog.Entry) {
	m.mu.Lock()
	block := m.mu.block
	m.mu.Unlock()
	if block != nil {
		<-block
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if last := m.appliedLocked(); e.Index <= last || e.Index <= m.mu.durable {
			m.mu.err = fmt.Errorf("entry %d delivered after %d, durable %d", e.Index, last, m.mu.durable)
		}
		m.mu.entries = append(m.mu.entries, e)
	}
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
}

// Block makes Commit wait until the returned function is called.
func (m *Machine) Block() (unblock func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	block := make(chan struct{})
	m.mu.block = block
	return func() {
		m.mu.Lock()
		m.mu.block = nil
		m.mu.Unlock()
		close(block)
	}
}

func (m *Machine) appliedLocked() raftlog.Index {
	if len(m.mu.entries) == 0 {
		return m.mu.durable
	}
	return m.mu.entries[len(m.mu.entries)-1].Index
}

// Applied implements raftlog.StateMachine.
func (m *Machine) Applied() raftlog.Index {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appliedLocked()
}

// Durable implements raftlog.StateMachine.
func (m *Machine) Durable() (raftlog.Index, raftlog.Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.durable, m.mu.term
}

// Flush implements raftlog.StateMachine.
func (m *Machine) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.mu.entries); n > 0 {
		m.mu.durable, m.mu.term = m.mu.entries[n-1].Index, m.mu.entries[n-1].Term
	}
	return nil
}

// Data returns the data of the application's entries, in order.
func (m *Machine) Data() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, e := range m.mu.entries {
		if e.Data != nil {
			out = append(out, string(e.Data))
		}
	}
	return out
}

// Entries returns everything it was given.
func (m *Machine) Entries() []raftlog.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]raftlog.Entry(nil), m.mu.entries...)
}

// Changed returns a channel that is closed at the next Commit.
func (m *Machine) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.changed
}

// Err returns the first breach of contract.
func (m *Machine) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.err
}

// Bring implements raftlog.CatchUp: the peer's machine gets a copy of what this
// one has applied.
func (m *Machine) Bring(ctx context.Context, peer string, at raftlog.Index) error {
	m.mu.Lock()
	m.mu.brought++
	times, fail := m.mu.brought, m.mu.bring
	s := &staged{entries: append([]raftlog.Entry(nil), m.mu.entries...), index: m.mu.durable, term: m.mu.term}
	if n := len(s.entries); n > 0 {
		s.index, s.term = s.entries[n-1].Index, s.entries[n-1].Term
	}
	m.mu.Unlock()
	if s.index < at {
		return fmt.Errorf("asked to bring %d at %d", at, s.index)
	}
	if fail != nil {
		if err := fail(times); err != nil {
			return err
		}
	}
	if m.peer == nil || m.peer(peer) == nil {
		return fmt.Errorf("no machine of %q", peer)
	}
	to := m.peer(peer)
	to.mu.Lock()
	defer to.mu.Unlock()
	to.mu.staged = s
	return ctx.Err()
}

// OnBring has f called in each Bring, with the count of calls; its error fails it.
func (m *Machine) OnBring(f func(times int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.bring = f
}

// Brought returns how often Bring was called.
func (m *Machine) Brought() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.brought
}

// Staged implements raftlog.CatchUp.
func (m *Machine) Staged() (raftlog.Index, raftlog.Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.staged == nil {
		return 0, 0
	}
	return m.mu.staged.index, m.mu.staged.term
}

// Install implements raftlog.CatchUp.
func (m *Machine) Install(index raftlog.Index) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.mu.staged
	if s == nil || s.index != index || index <= m.appliedLocked() {
		m.mu.err = fmt.Errorf("installation of a state at %d over one at %d", index, m.appliedLocked())
		return m.mu.err
	}
	m.mu.entries, m.mu.durable, m.mu.term, m.mu.staged = s.entries, s.index, s.term, nil
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
	return nil
}
