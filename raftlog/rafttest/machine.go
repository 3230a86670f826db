package rafttest

import (
	"fmt"
	"sync"

	"twofold/raftlog"
)

// Machine is a state machine that keeps what it is given. It reports what
// breaks the contract of raftlog.StateMachine through Err.
type Machine struct {
	mu struct {
		sync.Mutex
		entries []raftlog.Entry
		last    raftlog.Index // of the log
		durable raftlog.Index
		term    raftlog.Term // of durable
		err     error
		changed chan struct{}
		block   chan struct{} // Commit waits until it is closed
	}
}

var _ raftlog.StateMachine = (*Machine)(nil)

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
	defer m.mu.Unlock()
	m.mu.last = entries[len(entries)-1].Index
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
