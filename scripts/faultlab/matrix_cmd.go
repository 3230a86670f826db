package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/matrix"
	"twofold/scripts/faultlab/probe"
)

// matrixRun is what one call of the command does.
type matrixRun struct {
	options
	third    bool
	only     string
	document string
	labs     int
	repeat   int

	begun time.Time
	opens atomic.Int32 // labs that were opened: the index of the next one

	mu struct {
		sync.Mutex
		results []*matrix.Result
	}
}

func runMatrix(ctx context.Context, o *options, f *flag.FlagSet, args []string) error {
	m := &matrixRun{begun: time.Now()}
	f.BoolVar(&m.third, "third", false, "take the third of the rows that make test takes")
	f.StringVar(&m.only, "only", "", "take the rows whose number or name fits this `regexp`")
	f.StringVar(&m.document, "document", "", "write what was measured to this `file`")
	f.IntVar(&m.repeat, "repeat", 1, "how many `times` each row is brought about")
	f.IntVar(&m.labs, "labs", 2, "how many `clusters` work on rows at a time")
	if err := f.Parse(args); err != nil {
		return err
	}
	m.options = *o
	rows, err := m.rows()
	if err != nil {
		return err
	}
	if err := m.runAll(ctx, rows); err != nil {
		return err
	}
	return m.finish(rows)
}

// rows lists what is asked for.
func (m *matrixRun) rows() ([]matrix.Row, error) {
	rows := matrix.Rows()
	if m.third {
		rows = matrix.Third(rows)
	}
	only, err := regexp.Compile(m.only)
	if err != nil {
		return nil, err
	}
	var some []matrix.Row
	for _, r := range rows {
		if only.MatchString(fmt.Sprintf("%d %s", r.Number, r.Name)) {
			some = append(some, slices.Repeat([]matrix.Row{r}, m.repeat)...)
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("no row fits %q", m.only)
	}
	return some, nil
}

// runAll shares the rows among the labs.
func (m *matrixRun) runAll(ctx context.Context, rows []matrix.Row) error {
	todo := make(chan matrix.Row, len(rows))
	for _, r := range rows {
		todo <- r
	}
	close(todo)
	errs := make([]error, m.labs)
	var labs sync.WaitGroup
	for i := range errs {
		labs.Go(func() { errs[i] = m.work(ctx, todo, len(rows)) })
	}
	labs.Wait()
	return errors.Join(errs...)
}

// work takes rows until there are none. A cluster in which something went wrong is replaced.
func (m *matrixRun) work(ctx context.Context, todo <-chan matrix.Row, total int) error {
	var runner *matrix.Runner
	end := func() error {
		if runner == nil {
			return nil
		}
		err := runner.Lab.Close()
		runner = nil
		return err
	}
	for row := range todo {
		if runner == nil {
			l, err := lab.Open(ctx, lab.Options{Index: int(m.opens.Add(1)), Binary: m.binary, Logs: filepath.Join(m.out, "logs")})
			if err != nil {
				return err
			}
			runner = &matrix.Runner{Lab: l}
		}
		res, err := runner.Run(ctx, row)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), end())
		}
		if err != nil {
			res.Problems = append(res.Problems, err.Error())
		}
		m.note(res, runner.Lab.Index(), total)
		if len(res.Problems) > 0 {
			if err := end(); err != nil {
				return err
			}
		}
	}
	return end()
}

// note keeps a result and shows it.
func (m *matrixRun) note(res *matrix.Result, index, total int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.results = append(m.mu.results, res)
	var b strings.Builder
	for i, o := range res.Observed {
		fmt.Fprintf(&b, "  %s %s", matrix.Role(i), res.Expected.Service[i])
		for k := range probe.Kinds {
			if o.Served[k] {
				fmt.Fprintf(&b, " %s %d ms", probe.Kind(k), o.Pause[k].Milliseconds())
			} else {
				fmt.Fprintf(&b, " %s -", probe.Kind(k))
			}
		}
	}
	if res.Note != "" {
		b.Reset()
		b.WriteString(" " + res.Note)
	}
	verdict := "ok  "
	if len(res.Problems) > 0 {
		verdict = "FAIL"
	}
	say("%4.0f s %3d/%d %s row %d, %s:%s; all served after %d ms (%s), healthy after %d ms", time.Since(m.begun).Seconds(), len(m.mu.results), total, verdict,
		res.Row.Number, res.Row.Name, b.String(), res.Resumed.Milliseconds(), res.Last, res.Healed.Milliseconds())
	for _, p := range res.Problems {
		say("       row %d (logs %d-*): %s", res.Row.Number, index, p)
	}
}

// finish writes the page and says how it went.
func (m *matrixRun) finish(rows []matrix.Row) error {
	failed := 0
	for _, r := range m.mu.results {
		if len(r.Problems) > 0 {
			failed++
		}
	}
	if m.document != "" {
		if err := os.WriteFile(m.document, []byte(matrix.Document(m.mu.results)), 0o644); err != nil {
			return err
		}
	}
	t := matrix.Sum(m.mu.results)
	say("%d rows in %s: %d failed; %d calls answered, %d times repeated, %d JUKEBOX",
		len(rows), time.Since(m.begun).Round(time.Second), failed, t.Answers, t.Repeats, t.Jukebox)
	if failed > 0 {
		return fmt.Errorf("%d of %d rows failed; the nodes' logs are in %s", failed, len(rows), filepath.Join(m.out, "logs"))
	}
	return nil
}
