package raftlog

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// aheadMachine is at one index and has a state of another one staged.
type aheadMachine struct {
	sinkMachine
	applied, staged Index
}

func (m *aheadMachine) Applied() Index                             { return m.applied }
func (m *aheadMachine) Bring(context.Context, string, Index) error { return nil }
func (m *aheadMachine) Staged() (Index, Term)                      { return m.staged, 1 }
func (m *aheadMachine) Install(Index) error                        { return nil }

// Rule M4: what is not ahead of the log, the state and the marker of a node is
// refused, so that an InstallSnapshot that comes again does nothing; and so is a
// marker without a state that goes with it.
func TestAdmit(t *testing.T) {
	store, err := logstore.Open(logstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for i := uint64(1); i <= 10; i++ {
		if err := store.StoreLog(&raft.Log{Index: i, Term: 1}); err != nil {
			t.Fatal(err)
		}
	}
	servers := []raft.Server{{ID: "a", Address: "a"}}
	for _, c := range []struct {
		name                             string
		applied, staged, marker, offered uint64
		ok                               bool
	}{
		{"ahead of all", 8, 40, 5, 30, true},
		{"staged at the marker", 8, 30, 5, 30, true},
		{"covered by the log", 8, 40, 5, 10, false},
		{"at the applied index", 30, 40, 5, 30, false},
		{"below the applied index", 35, 40, 5, 30, false},
		{"at the own marker", 8, 40, 30, 30, false},
		{"nothing staged", 8, 0, 5, 30, false},
		{"staged too early", 8, 29, 5, 30, false},
	} {
		n := &Node{store: store, markers: &markers{}, fsm: &fsm{}, sm: &aheadMachine{applied: Index(c.applied), staged: Index(c.staged)}}
		n.markers.mu.index = Index(c.marker)
		m := &marker{Index: c.offered, Term: 1, ConfigIndex: 1, Servers: servers}
		if err := n.admit(m); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRefusedState) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok && n.marking.beginWrite() {
			t.Errorf("%s: a marker of the old state could be written meanwhile", c.name)
		}
	}
}
