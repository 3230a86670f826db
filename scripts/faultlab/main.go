package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"twofold/scripts/faultlab/lab"
)

// options are what every command has.
type options struct {
	binary string // the twofold program
	out    string // directory for results and logs
}

// command is one part of the program.
type command struct {
	what string
	run  func(ctx context.Context, o *options, f *flag.FlagSet, args []string) error
}

var commands = map[string]command{
	"matrix": {"bring all faults upon a cluster, one row after the other", runMatrix},
	"soak":   {"have random clients work while faults come and go", runSoak},
	"pauses": {"measure a few faults many times over, and how long a node takes to come back", runPauses},
}

func main() {
	lab.RunGuardian()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "faultlab:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || commands[args[0]].run == nil {
		return errors.New("usage: faultlab matrix|soak|pauses [flags]")
	}
	if err := lab.Enter(); errors.Is(err, lab.ErrUnable) && os.Getenv("CI") != "true" {
		fmt.Println("faultlab: SKIPPED:", err)
		return nil
	} else if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	f := flag.NewFlagSet("faultlab "+args[0], flag.ContinueOnError)
	f.StringVar(&o.binary, "twofold", "bin/twofold", "the `program` to run")
	f.StringVar(&o.out, "out", filepath.Join("bin", "faults", args[0]), "`directory` for results and logs")
	return commands[args[0]].run(ctx, &o, f, args[1:])
}

// say prints a line of progress.
func say(format string, args ...any) {
	fmt.Println("faultlab:", strings.TrimSpace(fmt.Sprintf(format, args...)))
}
