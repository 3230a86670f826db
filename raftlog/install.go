package raftlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// This file is the follower's side of catching up without the log: a state that
// was staged beside the old one takes its place, together with the marker that a
// leader sent (rule M4). sendState in bring.go is the leader's side.
//
// The marker is at M, the staged state at I >= M. raft goes on with the entry
// after M; the state machine is not given the entries up to I again. The log ends
// at M then while the state is at I, and a restart must take that for what it is
// and not for a lost log: marker.Installed says so until the log has reached I.
//
// What is on disk changes in four steps, each of them atomic:
//
//  1. The marker file names the new marker as pending.
//  2. The state machine swaps its state.
//  3. The new marker replaces the old one.
//  4. The log, which ends before M, is emptied.
//
// settleInstall finds after a crash between any two of them whether the state is
// the new one, and goes on, or forgets the pending marker.

// CatchUp is implemented by a StateMachine that can bring another data node's
// state up to its own, and take such a state. Without it a node that is behind
// the leader's log stays behind.
type CatchUp interface {
	// Bring has another data node stage a copy of this node's state at an index of
	// at least at, and returns when it is complete and durable there. It may take
	// hours and be called again after an error; ctx ends with this node's lead.
	Bring(ctx context.Context, peer string, at Index) error
	// Staged returns index and term of the complete state that is staged here;
	// zero if there is none.
	Staged() (Index, Term)
	// Install puts the staged state, which is at index, in the place of the old one:
	// everything that was committed here is applied before, or given up. If it
	// returns an error the old state is still there.
	Install(index Index) error
}

// The steps of an installation, as Config.Failpoint is told of them.
const (
	StepPending = "pending"
	StepSwap    = "swap"
	StepMarker  = "marker"
	StepReset   = "reset"
)

// ErrRefusedState is returned for a marker that this node must not take.
var ErrRefusedState = errors.New("raftlog: the state is refused")

// admit judges a marker that another node sent, on raft's main goroutine: the log
// does not change meanwhile. It must be ahead of everything that this node has,
// applied or in its log; so an old InstallSnapshot that comes again is refused.
func (n *Node) admit(m *marker) error {
	last, _ := n.store.LastIndex()
	have := max(last, uint64(n.markers.limit()), n.fsm.delivered.Load())
	if n.sm != nil {
		have = max(have, uint64(n.sm.Applied()))
	}
	if m.Index <= have {
		return fmt.Errorf("%w: it is of %d, this node has %d", ErrRefusedState, m.Index, have)
	}
	if m.ConfigIndex > m.Index || m.Term == 0 || len(m.Servers) == 0 {
		return fmt.Errorf("%w: marker %+v", ErrRefusedState, *m)
	}
	if n.sm != nil {
		in, ok := n.sm.(CatchUp)
		if !ok {
			return fmt.Errorf("%w: this node cannot take a state", ErrRefusedState)
		}
		if index, _ := in.Staged(); uint64(index) < m.Index {
			return fmt.Errorf("%w: the marker is of %d, the staged state of %d", ErrRefusedState, m.Index, index)
		}
	}
	if !n.marking.beginInstall() {
		return fmt.Errorf("%w: a marker of the old state is being written", ErrRefusedState)
	}
	return nil
}

// install is called on raft's state machine goroutine, while its main goroutine
// waits: nothing is appended and nothing committed.
func (n *Node) install(m *marker) error {
	defer n.marking.endInstall()
	n.markers.write.Lock()
	defer n.markers.write.Unlock()
	m.Installed = m.Index
	m.Watermark, m.DataMark = n.fsm.watermark.Load(), n.fsm.dataMark.Load()
	if n.sm == nil {
		return n.finishInstall(m)
	}
	in := n.sm.(CatchUp) // admit has looked
	index, term := in.Staged()
	if uint64(index) < m.Index {
		return fmt.Errorf("%w: the staged state is gone", ErrRefusedState)
	}
	m.Installed = uint64(index)
	defer n.bar()() // M4: the lease goes back first
	n.queue.reset()
	old := marker{}
	if now := n.markers.now(); now != nil {
		old = *now
	}
	old.Pending = m
	n.cfg.Failpoint(StepPending)
	if err := writeMarker(n.cfg.Dir, &old); err != nil {
		return fmt.Errorf("raftlog: writing the pending marker: %w", err)
	}
	n.cfg.Failpoint(StepSwap)
	n.truncated(1) // a read that began on the old state begins anew
	if err := in.Install(index); err != nil {
		return fmt.Errorf("raftlog: installing the staged state: %w", err)
	}
	n.leases.installed(index)
	n.log.Info("a state was installed", "index", uint64(index), "term", uint64(term), "marker", m.Index)
	return n.finishInstall(m)
}

// finishInstall makes the marker the current one and drops the log before it.
// With a new state and without its marker this process cannot go on.
func (n *Node) finishInstall(m *marker) error {
	n.cfg.Failpoint(StepMarker)
	err := n.markers.replace(m)
	if err == nil {
		n.cfg.Failpoint(StepReset)
		n.truncated(1) // what the log has is in the state, or will never be
		n.membership.installed(m)
		err = n.store.Reset(m.Index)
	}
	if err != nil {
		n.fail(err)
	}
	return err
}

// settleInstall brings an installation that a crash interrupted to its end, or
// forgets it. It returns the marker that holds.
func (n *Node) settleInstall(m *marker) (*marker, error) {
	if m == nil {
		return nil, nil
	}
	if p := m.Pending; p != nil {
		old := *m
		old.Pending = nil
		m = &old
		if n.sm != nil {
			if durable, _ := n.sm.Durable(); uint64(durable) == p.Installed {
				m = p
			}
		}
		if m.Index == 0 { // there was no marker before
			m = nil
			if err := removeMarker(n.cfg.Dir); err != nil {
				return nil, err
			}
			return nil, nil
		}
		if err := writeMarker(n.cfg.Dir, m); err != nil {
			return nil, err
		}
	}
	if last, _ := n.store.LastIndex(); m.Installed != 0 && last < m.Index {
		return m, n.store.Reset(m.Index)
	}
	return m, nil
}

// excuses tells what an installed state explains: the log may be empty or end
// before the state.
func (m *marker) excuses(durable, last uint64) bool {
	return m != nil && m.Installed != 0 && durable <= m.Installed && (last == 0 || last >= m.Index)
}

// role returns whether a member is a data node, a witness, or not known here.
func (n *Node) role(name string) Role {
	latest, _ := n.membership.configurations()
	s, _ := latest.Server(name)
	return s.Role
}

// installed takes the members from a marker that another node sent.
func (m *membership) installed(k *marker) {
	c, err := m.parse(k.ConfigIndex, raft.Configuration{Servers: k.Servers})
	if err != nil {
		m.fail(fmt.Errorf("the marker of %d: %w", k.Index, err))
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.latest, m.mu.committed = c, c
	m.signalLocked()
}

// installed tells that what a state has, up to an index, may have been shown.
func (l *leases) installed(index Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.released = max(l.mu.released, index)
}

// termAt returns the term of an entry of the log or of the marker that it
// continues; zero if the index is neither.
func (n *Node) termAt(index uint64) uint64 {
	if t, ok := n.store.Term(index); ok {
		return t
	}
	if m := n.markers.now(); m != nil && m.Index == index {
		return m.Term
	}
	return 0
}

func removeMarker(dir string) error {
	if err := os.Remove(filepath.Join(dir, markerFile)); err != nil {
		return err
	}
	return syncDir(dir)
}
