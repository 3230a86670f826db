package pauses_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"twofold/scripts/faultlab/matrix"
	"twofold/scripts/faultlab/pauses"
)

func TestTable(t *testing.T) {
	ms := time.Millisecond
	table := pauses.Table([]*pauses.Measured{{
		Fault: pauses.Faults[0], Goal: time.Second, Pauses: []time.Duration{100 * ms, 200 * ms, 400 * ms, 900 * ms}, Healing: []time.Duration{1 * ms, 2 * ms, 3 * ms, 4 * ms},
	}, {Fault: pauses.Faults[1]}})
	if !strings.Contains(table, "| leader killed | 4 | 300 | 900 | 1000 | 2 | 4 |\n") || strings.Contains(table, "follower") {
		t.Error(table)
	}
	table = pauses.ReturnTable([]*pauses.Returned{{What: "x", Goal: time.Second, Times: []time.Duration{30 * ms, 10 * ms, 20 * ms}, Rewrites: 5}})
	if !strings.Contains(table, "| x | 3 | 20 | 30 | 1000 | 5 |\n") {
		t.Error(table)
	}
}

// Measuring a fault fails with an error, not only when it comes to it, if the matrix has no such row.
func TestFaults_AreRows(t *testing.T) {
	for _, f := range pauses.Faults {
		if !slices.ContainsFunc(matrix.Rows(), func(r matrix.Row) bool { return r.Name == f.Row }) {
			t.Errorf("%s: no row is called %q", f.Name, f.Row)
		}
	}
}
