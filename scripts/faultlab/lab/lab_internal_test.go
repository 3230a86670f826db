package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRuleset(t *testing.T) {
	n := network{index: 3}
	rules := n.ruleset([]Node{B, W})
	for _, want := range []string{"delete table inet lab", "ip saddr 10.79.3.2 drop", "ip saddr 10.79.3.3 drop"} {
		if !strings.Contains(rules, want) {
			t.Errorf("%q is missing in\n%s", want, rules)
		}
	}
	if open := n.ruleset(nil); strings.Contains(open, "drop") {
		t.Errorf("without a cut something is dropped:\n%s", open)
	}
}

// What is left of a run is removed, but not while the run, or its guardian, holds the lock.
func TestRemoveDeadRuns(t *testing.T) {
	parent := t.TempDir()
	dirs := [2]string{filepath.Join(parent, runPrefix+"alive"), filepath.Join(parent, runPrefix+"dead")}
	var locks [2]*os.File
	for i, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if locks[i], err = os.Create(filepath.Join(dir, lockName)); err != nil {
			t.Fatal(err)
		}
		defer locks[i].Close()
	}
	if err := unix.Flock(int(locks[0].Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if err := removeDeadRuns(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dirs[0]); err != nil {
		t.Errorf("the run that is alive: %v", err)
	}
	if _, err := os.Stat(dirs[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead run is still there: %v", err)
	}
}

func TestSituation_Linked(t *testing.T) {
	var s Situation
	s.Cut[A][B] = true
	if s.Linked(A, B) || s.Linked(B, A) || !s.Linked(A, W) || s.Healthy() {
		t.Errorf("one direction is cut: %+v", s)
	}
	s.CutLink(A, W)
	if s.Linked(W, A) || !s.Linked(B, W) || !(Situation{}).Healthy() {
		t.Errorf("a link is cut: %+v", s)
	}
}

// Outside of namespaces of its own a lab would touch those of the host.
func TestOpen_RefusesOutside(t *testing.T) {
	t.Setenv(insideVariable, "")
	if l, err := Open(t.Context(), Options{}); err == nil {
		t.Error("it opened", l.Close())
	}
}
