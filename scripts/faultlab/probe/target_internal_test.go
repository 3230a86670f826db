package probe

import (
	"slices"
	"testing"
)

// Each number of changes leads to names that no other number does.
func TestCountChanges(t *testing.T) {
	there := []string{chainName(0)}
	for i := int64(0); i < 50; i++ {
		if got, err := countChanges(append([]string{".", ".."}, there...)); got != i || err != nil {
			t.Fatalf("%v: %d changes, %v, want %d", there, got, err, i)
		}
		// The same changes as target.rename makes.
		switch {
		case i%2 == 0:
			there[slices.Index(there, chainName(i/2))] = chainName(i/2 + 1)
		case i%4 == 1:
			there = append(there, extraName(i/4))
		default:
			there = slices.DeleteFunc(there, func(n string) bool { return n == extraName(i/4) })
		}
	}
}

func TestCountChanges_Impossible(t *testing.T) {
	for _, names := range [][]string{{}, {"n1", "n2"}, {"n1", "k7"}, {"k0"}, {"n1", "x"}, {"n2", "k0", "k1"}} {
		if n, err := countChanges(names); err == nil {
			t.Errorf("%v: %d changes, want an error", names, n)
		}
	}
}

func TestSteps_Observe(t *testing.T) {
	var s steps
	s.tried.Store(5)
	s.acked.Store(4)
	if err := s.observe(s.floor(), 3); err == nil {
		t.Error("what was acknowledged is missing, and nobody notices")
	}
	if err := s.observe(s.floor(), 6); err == nil {
		t.Error("what was never asked for is there, and nobody notices")
	}
	if err := s.observe(s.floor(), 5); err != nil || s.floor() != 5 {
		t.Errorf("%v, and then at least %d must be seen, want 5", err, s.floor())
	}
	if err := s.observe(s.floor(), 4); err == nil {
		t.Error("a read goes back behind another one, and nobody notices")
	}
}
