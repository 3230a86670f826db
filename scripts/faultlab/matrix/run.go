package matrix

import (
	"context"
	"fmt"
	"slices"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/probe"
)

// Bounds of one row.
const (
	settle   = 700 * time.Millisecond // after the faults, when a call is begun that shows service with them
	baseline = 200 * time.Millisecond // of service before them
	// drainCalm is how long a cluster is whole before a node is drained: a node that has just started cannot take the lead, and nobody stops the other
	// one so soon.
	drainCalm   = time.Second
	watch       = time.Second            // over the grace, of a gateway that must refuse
	recent      = 500 * time.Millisecond // at the end, when only one of two may answer
	healLimit   = time.Minute            // until all is well again
	behindFiles = 400                    // that a node misses
	pollEvery   = 10 * time.Millisecond
	// jukeboxAfter is less than a call waits for a quorum before it is answered NFS3ERR_JUKEBOX (5 s).
	jukeboxAfter = 4500 * time.Millisecond
)

// Observed is what the clients of one gateway saw.
type Observed struct {
	Served  [probe.Kinds]bool // after the faults had settled
	Pause   [probe.Kinds]time.Duration
	Healing time.Duration // the longest pause while the faults went, where clients were served before
}

// Result is what became of one row.
type Result struct {
	Row      Row
	Expected Expectation
	Observed [2]Observed   // of the gateways of Leader and Follower
	Resumed  time.Duration // from the end of the faults until everyone was served
	Last     string        // who was served last then
	Healed   time.Duration // and until all was healthy
	Answers  int
	Repeats  int
	Jukebox  int
	Problems []string
	Note     string // of a row that is not about pauses: what was seen
}

// Runner brings rows about in one lab.
type Runner struct {
	Lab  *lab.Lab
	Hold time.Duration // how long faults last after everyone who must serve does

	bulk   *probe.Bulk
	rounds int
}

// trial is one row at work.
type trial struct {
	*Result
	lab     *lab.Lab
	hold    time.Duration
	round   *probe.Round
	gateway [2]int       // nodes of Leader and Follower
	file    *bigFile     // that a damaged table has
	spoiled *lab.Spoiled // the victim of a damage
	begun   time.Time    // just before the faults
	applied time.Time    // when all of them were there
}

// Run brings one row about. The error is one of the lab, which is then of no more use; what is wrong with the cluster is in the result.
func (r *Runner) Run(ctx context.Context, row Row) (*Result, error) {
	res := &Result{Row: row, Expected: row.Expect()}
	if err := r.Lab.AwaitHealthy(ctx, healLimit); err != nil {
		return res, err
	}
	leader, err := r.Lab.Leader(ctx)
	if err != nil {
		return res, err
	}
	if r.rounds++; r.bulk == nil {
		if r.bulk, err = probe.NewBulk(ctx, r.Lab.NFSAddrs(), "bulk", behindFiles); err != nil {
			return res, err
		}
	}
	if row.Drained {
		time.Sleep(drainCalm)
	}
	if row.Full {
		return res, r.full(ctx, res, placed(leader)[row.Victim])
	}
	t := &trial{Result: res, lab: r.Lab, hold: r.Hold, gateway: [2]int{int(leader), int(leader.Other())}}
	if row.Damage == lab.TableFlip {
		if t.file, err = newBigFile(ctx, r.Lab.NFSAddrs(), fmt.Sprintf("row%d-%d-big", row.Number, r.rounds)); err != nil {
			return res, err
		}
	}
	if t.round, err = probe.Start(ctx, r.Lab.NFSAddrs(), fmt.Sprintf("row%d-%d", row.Number, r.rounds)); err != nil {
		return res, err
	}
	defer t.round.Stop(0)
	if err := t.inflict(ctx, r, row.Place(leader)); err != nil {
		return res, err
	}
	t.observe()
	if err := t.heal(ctx); err != nil {
		return res, err
	}
	res.Problems = append(res.Problems, t.round.Stop(healLimit)...)
	res.Problems = append(res.Problems, t.round.Problems()...)
	res.Problems = append(res.Problems, t.round.Verify(ctx)...)
	res.Problems = append(res.Problems, r.Lab.Ended()...)
	res.Answers, res.Repeats, res.Jukebox = t.round.Totals()
	t.judgeJukebox()
	if err := r.Lab.CompareDigests(ctx, healLimit); err != nil {
		res.Problems = append(res.Problems, err.Error())
	}
	return res, nil
}

// inflict waits for a moment of service and brings the faults about.
func (t *trial) inflict(ctx context.Context, r *Runner, s lab.Situation) error {
	if !t.await(baseline+healLimit, func() bool {
		since := time.Now().Add(-baseline)
		return t.round.ServedAll(0, since) && t.round.ServedAll(1, since)
	}) {
		return fmt.Errorf("no service before the faults: %v", t.round.Problems())
	}
	behind, err := t.lab.Prepare(s)
	if err != nil {
		return err
	}
	if behind {
		if err := r.bulk.Rewrite(ctx, r.rounds); err != nil {
			return err
		}
	}
	t.begun = time.Now()
	if t.Row.Drained {
		err = t.lab.Terminate(lab.Node(t.gateway[t.Row.Victim]))
	} else {
		err = t.lab.Apply(s)
	}
	t.applied = time.Now()
	return err
}

// await polls until f is true.
func (t *trial) await(limit time.Duration, f func() bool) bool {
	for end := time.Now().Add(limit); !f(); time.Sleep(pollEvery) {
		if time.Now().After(end) || len(t.round.Problems()) > 0 {
			return false
		}
	}
	return true
}

// observe waits until everyone who must serve does, and watches those who must not.
func (t *trial) observe() {
	limit, least := settle, settle
	for i, s := range t.Expected.Service {
		switch s {
		case Serves, Either:
			limit = max(limit, Bound(t.Expected.Goal[i]))
		}
		if s == Refuses || s == Stalls || s == Either {
			least = Grace + watch
		}
	}
	limit = max(limit, least)
	if t.await(limit, func() bool { return time.Since(t.applied) >= least && t.served() }) && t.hold > 0 {
		t.await(t.hold, func() bool { return false })
	}
	end := time.Now()
	if len(t.round.Problems()) > 0 {
		return // a probe has ended over what it saw, which Run reports
	}
	for i, g := range t.gateway {
		for k := range probe.Kinds {
			t.Observed[i].Served[k] = t.round.Served(g, probe.Kind(k), t.applied.Add(settle))
			t.Observed[i].Pause[k] = t.round.Pause(g, probe.Kind(k), t.begun, end)
		}
		t.judge(i, end)
	}
	t.judgeEither(end)
}

// served reports that all service that must be there is.
func (t *trial) served() bool {
	after := t.applied.Add(settle)
	either, any := false, false
	for i, s := range t.Expected.Service {
		served := t.round.ServedAll(t.gateway[i], after)
		if s == Serves && !served {
			return false
		}
		either, any = either || s == Either, any || served
	}
	return any || !either
}

// judge holds what one gateway did against what it must do.
func (t *trial) judge(i int, end time.Time) {
	for k := range probe.Kinds {
		kind := probe.Kind(k)
		late := t.round.Served(t.gateway[i], kind, t.applied.Add(Grace))
		switch s := t.Expected.Service[i]; {
		case s == Serves && !t.Observed[i].Served[k]:
			t.problem("%s at %s is not served %s after the faults", kind, Role(i), end.Sub(t.applied).Round(time.Millisecond))
		case s == Serves && t.Observed[i].Pause[k] > Bound(t.Expected.Goal[i]):
			t.problem("%s at %s paused for %s, more than %s; the goal is %s",
				kind, Role(i), t.Observed[i].Pause[k].Round(time.Millisecond), Bound(t.Expected.Goal[i]), t.Expected.Goal[i])
		case s == Refuses && late, s == Stalls && late && kind != probe.Read:
			t.problem("SERVED: %s at %s had an answer, and was asked for over %s after the faults", kind, Role(i), Grace)
		}
	}
}

// judgeEither holds both gateways against a situation in which only one may serve.
func (t *trial) judgeEither(end time.Time) {
	if t.Expected.Service[0] != Either {
		return
	}
	count := 0
	for i, g := range t.gateway {
		if t.round.Served(g, probe.Read, end.Add(-recent)) || t.round.Served(g, probe.Write, end.Add(-recent)) {
			count++
			t.Expected.Goal[i] = max(t.Expected.Goal[i], GoalLost)
		}
	}
	if count != 1 {
		t.problem("%d gateways served, want exactly one of the two", count)
	}
}

// judgeJukebox holds that nobody who was served in time was told to come back later.
func (t *trial) judgeJukebox() {
	for i, g := range t.gateway {
		n, longest := t.round.Jukeboxes(g), max(slices.Max(t.Observed[i].Pause[:]), t.Observed[i].Healing)
		if n > 0 && t.Expected.Service[i] == Serves && longest < jukeboxAfter {
			t.problem("%d answers of %s were NFS3ERR_JUKEBOX, and no pause was longer than %s", n, Role(i), longest.Round(time.Millisecond))
		}
	}
}

// heal ends the faults and waits until all is well.
func (t *trial) heal(ctx context.Context) error {
	begun := time.Now()
	if t.Row.Drained {
		if err := t.lab.Stop(lab.Node(t.gateway[t.Row.Victim])); err != nil {
			t.problem("%v", err)
		}
	}
	if err := t.spoil(); err != nil {
		return err
	}
	if err := t.lab.Heal(); err != nil {
		return err
	}
	healed := time.Now()
	served := t.await(healLimit, func() bool { return t.round.ServedAll(0, healed) && t.round.ServedAll(1, healed) })
	if !served && len(t.round.Problems()) == 0 {
		t.problem("not everyone is served %s after the faults are gone", healLimit)
	}
	t.Resumed, t.Last = t.resumed(begun, healed)
	err := t.lab.AwaitHealthy(ctx, healLimit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.problem("%v", err)
	}
	if t.spoiled != nil {
		defer t.spoiled.Close()
		t.mended(ctx)
	}
	t.Healed = time.Since(begun)
	for i, g := range t.gateway {
		for k := range probe.Kinds {
			if t.Observed[i].Served[k] {
				t.Observed[i].Healing = max(t.Observed[i].Healing, t.round.Pause(g, probe.Kind(k), begun, time.Now()))
			}
		}
	}
	return nil
}

// resumed tells when the last probe had an answer to a call of its own time, and which that was.
func (t *trial) resumed(begun, healed time.Time) (last time.Duration, who string) {
	for i, g := range t.gateway {
		for k := range probe.Kinds {
			if d := t.round.FirstAnswer(g, probe.Kind(k), healed).Sub(begun); d > last {
				last, who = d, fmt.Sprintf("%s at %s", probe.Kind(k), Role(i))
			}
		}
	}
	return last, who
}

func (t *trial) problem(format string, args ...any) {
	t.Problems = append(t.Problems, fmt.Sprintf(format, args...))
}
