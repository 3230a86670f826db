package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"twofold/nfs/client"
)

const (
	// preparers is how many callers prepare what is shared, at each server.
	preparers = 16
	// Rounds of remove: the first's size, a later one's time and its bounds.
	firstRound = 64
	roundTime  = time.Second
	roundGrow  = 8
	roundMost  = 50_000
	// watchEvery is how often calls are looked at that have no answer, and progress is told.
	watchEvery = 100 * time.Millisecond
	// stopGrace is how long calls may take that are outstanding when the run is to stop.
	stopGrace = 2 * time.Second
)

// cellRun is a cell with all its callers.
type cellRun struct {
	run
	bench   *Bench
	wl      *Workload
	shared  []*shared // of each server
	prep    []*caller // that prepare what is shared
	callers []*caller

	mu    sync.Mutex // guards the following, for progress
	stage string
	span  span
	spent time.Duration // measured before span
}

// Run measures one cell. A run that ctx ends gives what it has, and says that it was stopped.
func (b *Bench) Run(ctx context.Context, cell Cell) (*Result, error) {
	if err := cell.Validate(); err != nil {
		return nil, err
	}
	b.cells++
	r := &cellRun{bench: b, wl: Find(cell.Workload), stage: "prepare"}
	r.cfg, r.cell = &b.cfg, cell
	r.left.Store(math.MaxInt64)
	if err := r.makeCallers(ctx); err != nil {
		return nil, err
	}
	stop := r.watch(ctx)
	defer stop()
	res := &Result{Workload: cell.Workload, Operation: r.wl.Operation, Unit: r.wl.Unit, Callers: cell.Callers, Connections: b.cfg.Connections}
	for _, s := range b.servers {
		res.Targets = append(res.Targets, s.target.String())
	}
	if err := r.prepare(); err != nil {
		return nil, fmt.Errorf("%s: preparation: %w", cell.Workload, err)
	}
	var spent time.Duration
	var err error
	if r.wl.rounds {
		spent, err = r.measureRounds()
	} else {
		spent, err = r.measure(cell.Warmup, cell.Duration)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cell.Workload, err)
	}
	total := newTally()
	for _, c := range r.callers {
		total.add(c.t)
	}
	res.fill(total, spent.Seconds())
	res.Stopped = ctx.Err() != nil
	return res, nil
}

// makeCallers makes the cell's directories and its callers.
func (r *cellRun) makeCallers(ctx context.Context) error {
	name := fmt.Sprintf("cell-%d", r.bench.cells)
	for _, s := range r.bench.servers {
		sh := newShared(s, r.cfg)
		var err error
		if sh.dir, err = makeDir(ctx, r.cfg, s.client(), s.home, name); err != nil {
			return fmt.Errorf("%s: %w", s.target, err)
		}
		r.shared = append(r.shared, sh)
		for i := range preparers {
			r.prep = append(r.prep, newCaller(&r.run, MaxCallers+i, sh, s.links[i%len(s.links)]))
		}
	}
	for i := range r.cell.Callers {
		sh := r.shared[i%len(r.shared)]
		links := sh.srv.links
		r.callers = append(r.callers, newCaller(&r.run, i, sh, links[i/len(r.shared)%len(links)]))
	}
	return nil
}

// all runs do for many callers at once. The first error that ends the run stops the others.
func (r *cellRun) all(callers []*caller, do func(i int, c *caller) error) error {
	var g sync.WaitGroup
	errs := make([]error, len(callers))
	for i, c := range callers {
		g.Go(func() {
			if errs[i] = do(i, c); errs[i] != nil {
				r.halt.Store(true)
			}
		})
	}
	g.Wait()
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, errStopped) })
	if i >= 0 {
		return errs[i]
	}
	return errors.Join(errs...)
}

// prepare makes what the workload needs.
func (r *cellRun) prepare() error {
	steps := []struct {
		callers []*caller
		do      func(i int, c *caller) error
	}{
		{r.prep, func(i int, c *caller) error {
			if r.wl.first == nil || i%preparers != 0 {
				return nil
			}
			return r.wl.first(c)
		}},
		{r.prep, func(i int, c *caller) error {
			if r.wl.many == nil {
				return nil
			}
			return r.wl.many(c, share{next: i % preparers, step: preparers})
		}},
		{r.callers, func(i int, c *caller) error {
			if err := c.mkdir(c.sh.dir, c.nameOf("caller", i)); err != nil {
				return err
			}
			c.own = append(client.FH(nil), c.fh...)
			if r.wl.own == nil {
				return nil
			}
			return r.wl.own(c)
		}},
	}
	for _, s := range steps {
		if err := r.all(s.callers, s.do); err != nil {
			return err
		}
	}
	for _, c := range r.callers {
		c.t = newTally() // what went on until now is not counted
	}
	return nil
}

// measure runs all callers once, for a time or for a number of operations, and returns the time that counts.
func (r *cellRun) measure(warmup, duration time.Duration) (time.Duration, error) {
	now := time.Now()
	at := span{begin: now.Add(warmup), end: now.Add(warmup + duration)}
	if r.cell.Ops > 0 {
		at = span{begin: now, end: farAway(now)}
		r.left.Store(r.cell.Ops)
	}
	for _, c := range r.callers {
		c.span, c.perCall = at, r.wl.perCall
	}
	r.setStage("measure", at)
	windows := r.windows(at)
	err := r.all(r.callers, func(_ int, c *caller) error { return c.loop(r.wl) })
	end := time.Now()
	windows()
	if end.After(at.end) {
		end = at.end
	}
	return max(0, end.Sub(at.begin)), err
}

// windows calls Config.Window at both ends of a span. The function that it returns sees to it that both were called.
func (r *cellRun) windows(at span) func() {
	if r.cfg.Window == nil {
		return func() {}
	}
	over := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		for _, e := range []struct {
			at    time.Time
			begin bool
		}{{at.begin, true}, {at.end, false}} {
			timer := time.NewTimer(time.Until(e.at))
			select {
			case <-timer.C:
			case <-over:
			}
			timer.Stop()
			r.cfg.Window(e.begin)
		}
	})
	return func() {
		close(over)
		g.Wait()
	}
}

// measureRounds measures what uses up its preparation: it prepares, measures until nothing is left, and so on. It returns the sum of the rounds.
func (r *cellRun) measureRounds() (time.Duration, error) {
	batch := max(firstRound, 4*r.cell.Callers)
	var spent time.Duration
	ops := r.cell.Ops
	for r.cell.Ops > 0 && ops > 0 || r.cell.Ops == 0 && spent < r.cell.Duration {
		if r.cell.Ops > 0 {
			batch = int(min(int64(batch), ops))
		}
		before := spent
		took, err := r.round(batch, ops)
		spent += took
		if err != nil || r.halt.Load() {
			return spent, err
		}
		if r.cell.Ops > 0 {
			ops = r.cell.Ops - r.ended()
		}
		r.setSpent(spent)
		want := float64(batch) * float64(roundTime) / float64(max(spent-before, time.Millisecond))
		batch = int(min(want, float64(roundGrow*batch), roundMost))
		batch = max(batch, 4*r.cell.Callers)
	}
	return spent, nil
}

// ended is how many operations came to an end, good or bad.
func (r *cellRun) ended() (n int64) {
	for _, c := range r.callers {
		n += c.t.ops.Load() + c.t.lost
		for _, k := range c.t.errors {
			n += k
		}
	}
	return n
}

// round prepares one round and measures it.
func (r *cellRun) round(batch int, ops int64) (time.Duration, error) {
	r.left.Store(math.MaxInt64)
	now := time.Now()
	for _, c := range r.callers {
		c.span = span{begin: farAway(now), end: farAway(now).Add(time.Hour)} // preparing is not counted
	}
	r.setStage("prepare", span{})
	servers := len(r.shared)
	err := r.all(r.callers, func(i int, c *caller) error {
		// Callers are spread over the servers in turn; each server's share one batch.
		return r.wl.refill(c, share{next: i / servers, step: (r.cell.Callers + servers - 1) / servers, n: (batch + servers - 1) / servers})
	})
	if err != nil {
		return 0, stopped(err)
	}
	if ops > 0 && !r.wl.serial {
		r.left.Store(ops)
	}
	at := span{begin: time.Now()}
	at.end = farAway(at.begin)
	for _, c := range r.callers {
		c.span = at
	}
	r.setStage("measure", at)
	if r.cfg.Window != nil {
		r.cfg.Window(true)
	}
	err = r.all(r.callers, func(_ int, c *caller) error { return c.loop(r.wl) })
	took := time.Since(at.begin)
	if r.cfg.Window != nil {
		r.cfg.Window(false)
	}
	return took, err
}
