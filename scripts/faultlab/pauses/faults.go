package pauses

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"twofold/scripts/faultlab/matrix"
)

// Fault is what is measured.
type Fault struct {
	Name     string
	Row      string // of the matrix
	survivor matrix.Role
	hold     bool // for as long as the caller says
}

// Faults lists what is measured, in the order of the table.
var Faults = []Fault{
	{Name: "leader killed", Row: "A down", survivor: matrix.Follower},
	{Name: "follower killed", Row: "B down", survivor: matrix.Leader},
	{Name: "witness killed", Row: "W down", survivor: matrix.Leader},
	{Name: "leader drained", Row: "A drained", survivor: matrix.Follower},
	{Name: "leader paused", Row: "A paused", survivor: matrix.Follower, hold: true},
	{Name: "leader's disk hung", Row: "A hung disk", survivor: matrix.Follower},
	{Name: "leader cut off", Row: "A cut off from both", survivor: matrix.Follower},
}

// Measured is what a fault did in all trials.
type Measured struct {
	Fault   Fault
	Goal    time.Duration
	Pauses  []time.Duration // of the clients of the surviving node, sorted
	Healing []time.Duration // their longest waits while the fault went, sorted
}

// Config says how to measure.
type Config struct {
	Runner *matrix.Runner
	Trials int
	Hold   time.Duration // of a pause of the leader
	Say    func(format string, args ...any)
}

// Measure makes the trials of one fault.
func Measure(ctx context.Context, c Config, f Fault) (*Measured, error) {
	rows := matrix.Rows()
	i := slices.IndexFunc(rows, func(r matrix.Row) bool { return r.Name == f.Row })
	if i < 0 {
		return nil, fmt.Errorf("no row is called %q", f.Row)
	}
	c.Runner.Hold = 0
	if f.hold {
		c.Runner.Hold = c.Hold
	}
	m := &Measured{Fault: f}
	for trial := range c.Trials {
		res, err := c.Runner.Run(ctx, rows[i])
		if err == nil && len(res.Problems) > 0 {
			err = fmt.Errorf("%s, trial %d: %s", f.Name, trial+1, strings.Join(res.Problems, "; "))
		}
		if err != nil {
			return m, err
		}
		seen := res.Observed[f.survivor]
		m.Goal = res.Expected.Goal[f.survivor]
		m.Pauses = append(m.Pauses, slices.Max(seen.Pause[:]))
		m.Healing = append(m.Healing, seen.Healing)
		c.Say("%s, trial %d of %d: %d ms, and %d ms while it went", f.Name, trial+1, c.Trials,
			m.Pauses[trial].Milliseconds(), seen.Healing.Milliseconds())
	}
	slices.Sort(m.Pauses)
	slices.Sort(m.Healing)
	return m, nil
}

// Table writes what was measured.
func Table(all []*Measured) string {
	var b strings.Builder
	b.WriteString("| event | trials | median, ms | maximum, ms | goal, ms | while it goes: median, ms | maximum, ms |\n|---|---|---|---|---|---|---|\n")
	for _, m := range all {
		if n := len(m.Pauses); n > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", m.Fault.Name, n, median(m.Pauses), m.Pauses[n-1].Milliseconds(), m.Goal.Milliseconds(),
				median(m.Healing), m.Healing[n-1].Milliseconds())
		}
	}
	return b.String()
}

// median is that of sorted times, in milliseconds.
func median(d []time.Duration) int64 {
	return ((d[(len(d)-1)/2] + d[len(d)/2]) / 2).Milliseconds()
}
