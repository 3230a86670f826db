package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/soak"
)

func runSoak(ctx context.Context, o *options, f *flag.FlagSet, args []string) error {
	length := f.Duration("for", 2*time.Hour, "how `long` to run, with what earlier runs have done already")
	seed := f.Uint64("seed", 0, "`number` that the plan follows from; 0 chooses one")
	fresh := f.Bool("fresh", false, "forget what earlier runs have done")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *fresh {
		if err := soak.Forget(o.out); err != nil {
			return err
		}
	}
	l, err := lab.Open(ctx, lab.Options{Index: 1, Binary: o.binary, Logs: filepath.Join(o.out, "logs")})
	if err != nil {
		return err
	}
	totals, err := soak.Run(ctx, soak.Config{Lab: l, For: *length, Dir: o.out, Seed: *seed, Say: say})
	say("in all: %v", totals)
	if err == nil && totals.Wrong > 0 {
		err = fmt.Errorf("in an earlier run %d epochs were wrong, see %s; -fresh forgets them", totals.Wrong, o.out)
	}
	return errors.Join(err, l.Close())
}
