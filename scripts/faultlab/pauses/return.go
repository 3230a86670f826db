package pauses

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/probe"
)

const (
	// Missed is how many small files are rewritten while a node is down.
	Missed = 2000
	// Away is how long a node is cut off.
	Away = 25 * time.Second
	// returnLimit is how long a node may take to be in sync.
	returnLimit = 5 * time.Minute
	// loadFiles are rewritten again and again by clients at full speed while a node comes back.
	loadFiles = 64
	askEvery  = 10 * time.Millisecond
)

// Returned is how a node came back.
type Returned struct {
	What     string
	Goal     time.Duration
	Times    []time.Duration // until it was in sync, in the order of trials
	Rewrites int             // that clients made meanwhile
}

// Return measures how long a node takes to be in sync and to take a change from a client: one that was down while files were rewritten, from its start, and one that was cut off, from when it
// can be reached. Clients work at full speed all the while.
func Return(ctx context.Context, c Config) ([]*Returned, error) {
	all := []*Returned{
		{What: fmt.Sprintf("restarted, had missed %d rewrites of small files", Missed), Goal: 3 * time.Second},
		{What: fmt.Sprintf("reachable again, was cut off for %s", Away), Goal: 2 * time.Second},
	}
	bulk, err := probe.NewBulk(ctx, c.Runner.Lab.NFSAddrs(), "missed", Missed)
	if err != nil {
		return all, err
	}
	load, err := probe.NewBulk(ctx, c.Runner.Lab.NFSAddrs(), "load", loadFiles)
	if err != nil {
		return all, err
	}
	for i, leave := range []func(context.Context, lab.Node) error{
		func(ctx context.Context, n lab.Node) error {
			if err := c.Runner.Lab.Kill(n); err != nil {
				return err
			}
			return bulk.Rewrite(ctx, len(all[0].Times)+1)
		},
		func(ctx context.Context, n lab.Node) error {
			var s lab.Situation
			s.CutLink(n, n.Other())
			s.CutLink(n, lab.W)
			if err := c.Runner.Lab.Apply(s); err != nil {
				return err
			}
			return wait(ctx, Away)
		},
	} {
		for range c.Trials {
			if err := c.returnOnce(ctx, all[i], load, leave); err != nil {
				return all, err
			}
			c.Say("%s: in sync after %d ms", all[i].What, all[i].Times[len(all[i].Times)-1].Milliseconds())
		}
	}
	return all, nil
}

// returnOnce is one trial.
func (c Config) returnOnce(ctx context.Context, r *Returned, load *probe.Bulk, leave func(context.Context, lab.Node) error) error {
	if err := c.Runner.Lab.AwaitHealthy(ctx, returnLimit); err != nil {
		return err
	}
	leader, err := c.Runner.Lab.Leader(ctx)
	if err != nil {
		return err
	}
	node := leader.Other()
	work := load.Work(ctx)
	err = leave(ctx, node)
	if err == nil {
		begun := time.Now()
		if err = c.Runner.Lab.Heal(); err == nil {
			err = errors.Join(c.awaitInSync(ctx, node), load.RewriteOne(ctx, int(node)))
		}
		r.Times = append(r.Times, time.Since(begun))
	}
	n, workErr := work()
	r.Rewrites += n
	if err == nil {
		err = workErr
	}
	if err != nil {
		return err
	}
	if err := c.Runner.Lab.AwaitHealthy(ctx, returnLimit); err != nil {
		return err
	}
	return c.Runner.Lab.CompareDigests(ctx, returnLimit)
}

// awaitInSync waits until the other data node and the node itself say that it is in sync and serves.
func (c Config) awaitInSync(ctx context.Context, n lab.Node) error {
	for end := time.Now().Add(returnLimit); time.Now().Before(end); time.Sleep(askEvery) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if own, err := c.Runner.Lab.Status(ctx, n); err != nil || !own.Ready {
			continue
		}
		other, err := c.Runner.Lab.Status(ctx, n.Other())
		if err != nil {
			continue
		}
		for _, m := range other.Members {
			if m.Name == n.String() && m.InSync {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not in sync after %s", n, returnLimit)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReturnTable writes what was measured.
func ReturnTable(all []*Returned) string {
	var b strings.Builder
	b.WriteString("| a node comes back | trials | median, ms | maximum, ms | goal, ms | rewrites by clients meanwhile |\n|---|---|---|---|---|---|\n")
	for _, r := range all {
		if n := len(r.Times); n > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", r.What, n, median(slices.Sorted(slices.Values(r.Times))), slices.Max(r.Times).Milliseconds(), r.Goal.Milliseconds(), r.Rewrites)
		}
	}
	return b.String()
}
