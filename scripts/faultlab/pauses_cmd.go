package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/matrix"
	"twofold/scripts/faultlab/pauses"
)

func runPauses(ctx context.Context, o *options, f *flag.FlagSet, args []string) (err error) {
	trials := f.Int("trials", 50, "how `many` times each fault is brought about")
	returns := f.Int("returns", 5, "how `many` times each node comes back")
	hold := f.Duration("hold", 30*time.Second, "how `long` the leader is paused")
	only := f.String("only", "", "measure what fits this `regexp`; returns are called return")
	if err := f.Parse(args); err != nil {
		return err
	}
	fits, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	l, err := lab.Open(ctx, lab.Options{Index: 1, Binary: o.binary, Logs: filepath.Join(o.out, "logs")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	c := pauses.Config{Runner: &matrix.Runner{Lab: l}, Trials: *trials, Hold: *hold, Say: say}
	var all []*pauses.Measured
	for _, fault := range pauses.Faults {
		if !fits.MatchString(fault.Name) {
			continue
		}
		m, err := pauses.Measure(ctx, c, fault)
		all = append(all, m)
		if err != nil {
			fmt.Print(pauses.Table(all))
			return err
		}
	}
	var back []*pauses.Returned
	if fits.MatchString("return") {
		c.Trials = *returns
		back, err = pauses.Return(ctx, c)
	}
	if len(all) > 0 {
		fmt.Printf("\nThe longest wait of a client of the surviving node, of one that reads, one that writes and one that changes names:\n\n%s", pauses.Table(all))
	}
	if len(back) > 0 {
		fmt.Printf("\nUntil a node is in sync and takes a change:\n\n%s", pauses.ReturnTable(back))
	}
	return err
}
