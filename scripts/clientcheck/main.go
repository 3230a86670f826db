package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// testCase is one thing to check. Its check may say in a few words what it measured.
type testCase struct {
	name  string
	limit time.Duration
	check func(context.Context, *setup) (string, error)
}

// setup is what a case works with.
type setup struct {
	A, B       string // the case's directory at either mount
	Source     string // a large source tree
	Repository string // a git repository to clone

	// For the case that runs a node itself.
	Twofold string
	Config  string
	NodeLog string
	NFSPort int
	Ready   string // the URL that says whether it serves
	Other   string // the address of the other data node, on another machine

	// For the case that sets this machine's clock.
	OtherHTTP string // the URL of the other data node's status and metrics
	OtherLead string // a file: while it is there, the other node is told to have this one lead
}

// volumeCases use a volume through both nodes, the quick ones first.
var volumeCases = []testCase{
	{"both nodes show each change at once", 30 * time.Second, checkCoherence},
	{"modes, owners, times and special files", 30 * time.Second, checkAttributes},
	{"renames of every kind", 30 * time.Second, checkRenames},
	{"set-ID bits and who clears them", 30 * time.Second, checkSetID},
	{"set-group-ID and sticky directories", 30 * time.Second, checkSharedDirectories},
	{"times", 30 * time.Second, checkTimes},
	{"holes, truncation, the largest file", 30 * time.Second, checkSparse},
	{"reads at the end of a file", 30 * time.Second, checkEnds},
	{"mapped files", 30 * time.Second, checkMapped},
	{"O_DIRECT", 30 * time.Second, checkDirect},
	{"writes that overlap", 30 * time.Second, checkOverlap},
	{"appends in turns", 30 * time.Second, checkTurns},
	{"races for a name", 30 * time.Second, checkRaces},
	{"permissions of three users", 30 * time.Second, checkPermissions},
	{"changes by the other client", 30 * time.Second, checkOtherClient},
	{"listings while entries come and go", 30 * time.Second, checkListing},
	{"positions in a listing", 30 * time.Second, checkPositions},
	{"figures and limits", 30 * time.Second, checkFigures},
	{"a tree for libnfs", 30 * time.Second, checkLibnfsTree},
	{"hard links", 30 * time.Second, checkHardLinks},
	{"rename of an open file", 30 * time.Second, checkRenameOpen},
	{"unlink of an open file", 30 * time.Second, checkUnlinkOpen},
	{"rename of a directory with open files", 30 * time.Second, checkRenameDirectory},
	{"SQLite", 2 * time.Minute, checkSQLite},
	{"git clone, commit, fsck, gc", 2 * time.Minute, checkGit},
	{"1 GiB written at a, read at b", 3 * time.Minute, checkBigFile},
	{"directory of 20,000 files", 4 * time.Minute, checkManyFiles},
	{"source tree copied at a, compared at b", 5 * time.Minute, checkSourceTree},
}

// selfCases run a node and its client on one machine, each with a start of the node. The kernel goes on asking for locks when the
// programs that wanted them are gone, which takes time from whatever comes after, so that case is the last.
var selfCases = []testCase{
	{"a node's clock is set", time.Minute, checkClocks},
	{"node and client on one small machine", 4 * time.Minute, checkSelf},
	{"plain mounts, no locks granted", 2 * time.Minute, checkPlainMounts},
}

func main() {
	failed, err := run(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "clientcheck:", err)
		os.Exit(2)
	case failed > 0:
		os.Exit(1)
	}
}

func run(args []string) (failed int, err error) {
	if len(args) == 0 {
		return 0, errors.New("say volume or self (see the package's documentation)")
	}
	if args[0] == "lock" && len(args) == 3 {
		return 0, lockOnce(args[1], args[2])
	}
	var s setup
	fs := flag.NewFlagSet("clientcheck "+args[0], flag.ContinueOnError)
	only := fs.String("only", "", "run only the cases whose name matches this `regexp`")
	skip := fs.String("skip", "^$", "leave out the cases whose name matches this `regexp`")
	results := fs.String("results", "", "append one line for each case to this `file`")
	var cases []testCase
	switch args[0] {
	case "volume":
		cases = volumeCases
		fs.StringVar(&s.A, "a", "/mnt/a", "mount `point` of node a")
		fs.StringVar(&s.B, "b", "/mnt/b", "mount `point` of node b")
		fs.StringVar(&s.Source, "source", "", "source `tree` to copy")
		fs.StringVar(&s.Repository, "repository", "", "git `repository` to clone")
	case "self":
		cases = selfCases
		fs.StringVar(&s.Twofold, "twofold", "", "the twofold `binary`")
		fs.StringVar(&s.Config, "config", "", "config `file` of the node, which this command formats and starts")
		fs.StringVar(&s.NodeLog, "node-log", "node.log", "`file` for the node's log")
		fs.IntVar(&s.NFSPort, "nfs-port", 2049, "the node's NFS `port`")
		fs.StringVar(&s.Other, "other", "", "`address` of the other data node, which is the port mapper there")
		fs.StringVar(&s.OtherHTTP, "other-http", "", "`URL` of the other data node's status and metrics")
		fs.StringVar(&s.OtherLead, "other-lead", "", "`file` to make for the other data node to hand over its lead")
		fs.StringVar(&s.Ready, "ready", "", "`URL` that answers 200 once the node serves")
	default:
		return 0, fmt.Errorf("unknown command %q: say volume or self", args[0])
	}
	if err := fs.Parse(args[1:]); err != nil {
		return 0, err
	}
	cases, err = chosen(cases, *only, *skip)
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return runCases(ctx, cases, s, *results)
}

// chosen gives the cases that match only and do not match skip.
func chosen(cases []testCase, only, skip string) ([]testCase, error) {
	yes, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	no, err := regexp.Compile(skip)
	if err != nil {
		return nil, err
	}
	unwanted := func(c testCase) bool { return !yes.MatchString(c.name) || no.MatchString(c.name) }
	return slices.DeleteFunc(slices.Clone(cases), unwanted), nil
}

func runCases(ctx context.Context, cases []testCase, s setup, results string) (failed int, err error) {
	for _, c := range cases {
		started := time.Now()
		detail, cerr := runCase(ctx, c, s)
		verdict := "PASS"
		if cerr != nil {
			failed++
			verdict, detail = "FAIL", cerr.Error()
		}
		line := fmt.Sprintf("%s %7.2f s  %s", verdict, time.Since(started).Seconds(), c.name)
		if detail != "" {
			line += ": " + detail
		}
		fmt.Println(line)
		if err := appendLine(results, line); err != nil {
			return failed, err
		}
		if errors.Is(cerr, context.DeadlineExceeded) || ctx.Err() != nil {
			return failed, nil
		}
	}
	return failed, nil
}

// runCase runs one case in directories of its own, up to its limit.
func runCase(ctx context.Context, c testCase, s setup) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	type result struct {
		detail string
		err    error
	}
	done := make(chan result, 1)
	go func() {
		if s.A != "" {
			s.A, s.B = filepath.Join(s.A, c.name), filepath.Join(s.B, c.name)
			if err := os.Mkdir(s.A, 0o755); err != nil {
				done <- result{err: err}
				return
			}
		}
		detail, err := c.check(ctx, &s)
		done <- result{detail, err}
	}()
	select {
	case r := <-done:
		return r.detail, r.err
	case <-ctx.Done():
	}
	// A case that heeds its context still gets a moment to say what it was doing; another one hangs.
	select {
	case r := <-done:
		return r.detail, errors.Join(context.Cause(ctx), r.err)
	case <-time.After(5 * time.Second):
	}
	stacks := make([]byte, 64<<10)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return "", fmt.Errorf("hangs: %w\n%s", context.Cause(ctx), stacks)
}

func appendLine(name, line string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
