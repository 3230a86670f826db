package matrix_test

import (
	"testing"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/matrix"
)

// find returns the row of a name.
func find(t *testing.T, name string) matrix.Row {
	t.Helper()
	for _, r := range matrix.Rows() {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("there is no row %q", name)
	return matrix.Row{}
}

// The rule gives what the design says of each event.
func TestExpect_Events(t *testing.T) {
	for name, want := range map[string][2]matrix.Service{
		"A down":              {matrix.Silent, matrix.Serves},
		"B down":              {matrix.Serves, matrix.Silent},
		"W down":              {matrix.Serves, matrix.Serves},
		"A hung disk":         {matrix.May, matrix.Serves},
		"B hung disk":         {matrix.Serves, matrix.May},
		"A cut off from both": {matrix.Refuses, matrix.Serves},
		"A cut off from B":    {matrix.Either, matrix.Either},
		"A cut off from W":    {matrix.Serves, matrix.Serves},
		"A down, B behind":    {matrix.Silent, matrix.Serves},
		"A down, W down":      {matrix.Silent, matrix.Refuses},
		"B down, W hung disk": {matrix.Stalls, matrix.Silent},
		"A drained":           {matrix.Silent, matrix.Serves},
	} {
		if got := find(t, name).Expect().Service; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if goal := find(t, "A drained").Expect().Goal[1]; goal != matrix.GoalDrained {
		t.Errorf("A drained: the goal at B is %s", goal)
	}
}

// mirror exchanges the data nodes.
func mirror(s lab.Situation) (m lab.Situation) {
	at := [lab.Nodes]int{1, 0, 2}
	for x, y := range at {
		m.Nodes[y] = s.Nodes[x]
		for u, v := range at {
			m.Cut[y][v] = s.Cut[x][u]
		}
	}
	return m
}

// Who must serve does not hang on who led, and nobody serves better for one more fault.
func TestExpect_SymmetricAndMonotonic(t *testing.T) {
	for _, row := range matrix.Rows() {
		s := row.Situation
		e, m := matrix.Expect(s).Service, matrix.Expect(mirror(s)).Service
		if e[0] != m[1] || e[1] != m[0] {
			t.Errorf("%s: %v, mirrored %v", row.Name, e, m)
		}
		for n := range s.Nodes {
			if s.Nodes[n] != lab.Up {
				continue
			}
			more := s
			more.Nodes[n] = lab.Down
			for i, after := range matrix.Expect(more).Service {
				if after == matrix.Serves && e[i] != matrix.Serves && e[i] != matrix.Either {
					t.Errorf("%s: gateway %d %v, but serves when %d is down too", row.Name, i, e[i], n)
				}
			}
		}
	}
}

// A gateway that must serve has a usable majority that it can talk with, counted in another way than the rule does.
func TestExpect_ServesWithMajority(t *testing.T) {
	for _, row := range matrix.Rows() {
		s := row.Situation
		usable := func(n int) bool { return s.Nodes[n] == lab.Up || s.Nodes[n] == lab.Behind }
		for i, service := range matrix.Expect(s).Service {
			reach := 0
			for n := range lab.Nodes {
				if usable(n) && usable(i) && (n == i || s.Linked(lab.Node(i), lab.Node(n))) {
					reach++
				}
			}
			if must := service == matrix.Serves || service == matrix.Either; must != (reach >= 2) {
				t.Errorf("%s: gateway %d %v, with %d usable members in reach", row.Name, i, service, reach)
			}
		}
	}
}

// Every single fault and every pair of two nodes is a row, and no situation is two.
func TestRows_Complete(t *testing.T) {
	rows := matrix.Rows()
	seen := map[lab.Situation]bool{}
	for i, r := range rows {
		if r.Number != i+1 {
			t.Errorf("row %d has the number %d", i+1, r.Number)
		}
		if r.Drained || r.Full || r.Damage != lab.NoDamage {
			continue
		}
		if seen[r.Situation] {
			t.Errorf("row %d, %s, is there twice", r.Number, r.Name)
		}
		seen[r.Situation] = true
	}
	conditions := []lab.Condition{lab.Down, lab.Hung, lab.Paused, lab.Behind}
	for x := range lab.Nodes {
		for y := range lab.Nodes {
			for _, c := range conditions {
				for _, d := range conditions {
					var s lab.Situation
					s.Nodes[x] = c
					if x != y {
						s.Nodes[y] = d
					}
					if !seen[s] {
						t.Errorf("no row has %v", s.Nodes)
					}
				}
				for z := range lab.Nodes {
					var s lab.Situation
					s.Nodes[x] = c
					if y != z {
						s.CutLink(lab.Node(y), lab.Node(z))
					}
					if !seen[s] {
						t.Errorf("no row has %v with %v", s.Nodes, s.Cut)
					}
				}
			}
		}
	}
}

func TestThird_HasEveryEvent(t *testing.T) {
	all, third := matrix.Rows(), matrix.Third(matrix.Rows())
	if 5*len(third) < len(all) || 2*len(third) > len(all) {
		t.Errorf("%d of %d rows are not about a third", len(third), len(all))
	}
	for _, e := range matrix.Events {
		for _, name := range e.Rows {
			row := find(t, name)
			found := false
			for _, r := range third {
				found = found || r.Number == row.Number
			}
			if !found {
				t.Errorf("%s: row %q is not among those of every test run", e.What, name)
			}
		}
	}
}
