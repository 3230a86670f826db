package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/linear"
	"twofold/scripts/faultlab/matrix"
)

// Times of an epoch.
const (
	epochLength = 15 * time.Second
	holdLeast   = 200 * time.Millisecond // of one situation
	holdMost    = 3 * time.Second
	calmMost    = 1500 * time.Millisecond // between two
	answerLimit = 2 * time.Minute         // until every call is answered with all faults gone
	healLimit   = 2 * time.Minute
)

// Config says what to run.
type Config struct {
	Lab  *lab.Lab
	For  time.Duration // in all runs together
	Dir  string        // for totals and histories
	Seed uint64        // 0 chooses one
	Say  func(format string, args ...any)
}

// run is one run of a soak.
type run struct {
	Config
	totals Totals
	rng    *rand.Rand
	rows   []matrix.Row
	faults []string // of this epoch
}

// Run soaks until the time of all runs is over.
func Run(ctx context.Context, c Config) (Totals, error) {
	totals, err := load(c.Dir)
	if err != nil {
		return totals, err
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	r := &run{Config: c, totals: totals, rng: rand.New(rand.NewPCG(c.Seed, 0)), rows: rows()}
	c.Say("seed %d; so far: %v", c.Seed, totals)
	for r.totals.Seconds < c.For.Seconds() && ctx.Err() == nil {
		if err := r.epoch(ctx); err != nil {
			return r.totals, err
		}
		if err := r.totals.save(c.Dir); err != nil {
			return r.totals, err
		}
		c.Say("%v", r.totals)
	}
	return r.totals, ctx.Err()
}

// rows are those of the matrix in which changes never fail.
func rows() []matrix.Row {
	return slices.DeleteFunc(matrix.Rows(), func(r matrix.Row) bool { return r.Full })
}

// epoch is some seconds of clients with faults, and then the checks.
func (r *run) epoch(ctx context.Context) error {
	if err := r.Lab.AwaitHealthy(ctx, healLimit); err != nil {
		return err
	}
	begin := time.Now()
	name := fmt.Sprintf("epoch-%d-%d", r.totals.Epochs, r.rng.Uint32())
	e, err := linear.Start(ctx, r.Lab.NFSAddrs(), name, r.rng.Uint64())
	if err != nil {
		return err
	}
	r.faults = nil
	if err := r.nemesis(ctx, begin.Add(epochLength)); err != nil {
		e.Stop(0)
		return err
	}
	problems := e.Stop(answerLimit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := r.Lab.AwaitHealthy(ctx, healLimit); err != nil {
		problems = append(problems, err.Error())
	} else if err := e.Look(ctx); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, r.Lab.Ended()...)
	if err := r.Lab.CompareDigests(ctx, healLimit); err != nil {
		problems = append(problems, err.Error())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	v := e.History.Check()
	problems = append(problems, v.Violations...)
	r.totals.add(v, e, len(r.faults), len(problems) > 0, time.Since(begin))
	if len(problems) > 0 {
		return errors.Join(r.report(e, problems), r.totals.save(r.Dir))
	}
	return nil
}

// add takes an epoch into the totals.
func (t *Totals) add(v linear.Verdict, e *linear.Epoch, faults int, wrong bool, took time.Duration) {
	t.Seconds += took.Seconds()
	t.Epochs++
	t.Faults += faults
	t.Operations += v.Ops
	t.Unknown += v.Unknown
	t.Repeated += e.Repeats()
	t.Jukebox += e.Jukeboxes()
	t.Objects += v.Objects
	t.Undecided += v.Undecided
	if wrong {
		t.Wrong++
	}
}

// nemesis brings situations about until a time, and then ends them.
func (r *run) nemesis(ctx context.Context, until time.Time) error {
	began := time.Now()
	for time.Now().Before(until) && ctx.Err() == nil {
		r.pause(ctx, calmMost)
		row := r.rows[r.rng.IntN(len(r.rows))]
		leader, err := r.Lab.Leader(ctx)
		if err != nil {
			leader = lab.DataNodes[r.rng.IntN(2)] // it is not settled: any role will do
		}
		r.faults = append(r.faults, fmt.Sprintf("%9.3f ms: row %d, %s; %s for A", float64(time.Since(began))/1e6, row.Number, row.Name, leader))
		err = r.inflict(ctx, row, leader)
		if err == nil {
			time.Sleep(holdLeast)
			r.pause(ctx, holdMost-holdLeast)
		}
		if err := errors.Join(err, r.Lab.Heal()); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// inflict brings one row about.
func (r *run) inflict(ctx context.Context, row matrix.Row, leader lab.Node) error {
	if row.Drained {
		return r.Lab.Stop([2]lab.Node{leader, leader.Other()}[row.Victim])
	}
	s := row.Place(leader)
	behind, err := r.Lab.Prepare(s)
	if err != nil {
		return err
	}
	if behind {
		r.pause(ctx, holdMost) // the clients write meanwhile
	}
	return r.Lab.Apply(s)
}

// pause waits a random time.
func (r *run) pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(r.rng.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}

// report saves what there is of an epoch in which something was wrong.
func (r *run) report(e *linear.Epoch, problems []string) error {
	dir := filepath.Join(r.Dir, fmt.Sprintf("wrong-%d-%d", r.totals.Epochs, time.Now().Unix()))
	err := e.History.Save(dir)
	text := "What is wrong:\n" + strings.Join(problems, "\n") + "\n\nFaults, by the time of the epoch:\n" + strings.Join(r.faults, "\n") + "\n"
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "what.txt"), []byte(text), 0o644)
	}
	return errors.Join(err, fmt.Errorf("%s\nfaults, and all operations in order: %s/what.txt and history.txt there; open object-N.html there in a browser: it shows how far an order was found; the nodes' logs are in %s",
		strings.Join(problems, "\n"), dir, filepath.Join(r.Dir, "logs")))
}
