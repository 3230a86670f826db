package load

import (
	"context"
	"sync"
	"time"
)

func (r *cellRun) setStage(stage string, at span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage, r.span = stage, at
}

func (r *cellRun) setSpent(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spent = d
}

// watch abandons calls that get no answer, stops everybody when ctx ends, and tells of progress, until the function that it returns is called.
func (r *cellRun) watch(ctx context.Context) func() {
	over := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		var halted time.Time
		for {
			select {
			case now := <-tick.C:
				r.look(ctx, now, &halted)
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		g.Wait()
	}
}

// look is one turn of watch.
func (r *cellRun) look(ctx context.Context, now time.Time, halted *time.Time) {
	if ctx.Err() != nil && halted.IsZero() {
		*halted = now
		r.halt.Store(true)
	}
	r.abandon(now.Add(-r.cfg.Timeout), errLost)
	if !halted.IsZero() && now.Sub(*halted) > stopGrace {
		r.abandon(now, errStopped)
	}
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.progress(now))
	}
}

// abandon ends the calls that were made before a time.
func (r *cellRun) abandon(before time.Time, err error) {
	for _, callers := range [][]*caller{r.prep, r.callers} {
		for _, c := range callers {
			c.slot.Load().Abandon(before, err)
		}
	}
}

func (r *cellRun) progress(now time.Time) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Cell: r.cell, Stage: r.stage}
	if r.stage != "measure" {
		return p
	}
	if now.Before(r.span.begin) {
		p.Stage = "warm up"
		return p
	}
	for _, c := range r.callers {
		p.Ops += c.t.ops.Load()
	}
	p.Done = float64(r.spent+now.Sub(r.span.begin)) / float64(max(r.cell.Duration, 1))
	if r.cell.Ops > 0 {
		p.Done = float64(p.Ops) / float64(r.cell.Ops)
	}
	p.Done = min(p.Done, 1)
	return p
}
