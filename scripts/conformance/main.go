package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	o, err := parseOptions(os.Args[1:])
	if err == nil {
		err = o.run(ctx, os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// options is what the command line asks for.
type options struct {
	target
	only   *regexp.Regexp // cases to run
	skip   *regexp.Regexp // cases to leave out; nil leaves out none
	seed   uint64         // of random cases
	random int            // how many random cases to run instead of the list
	record string         // file to write
	facts  string         // file with the lines of the record's head
	golden string         // file to compare with
	exact  bool           // compare without the reasons
	make   bool           // make the directory of the second export, and nothing else
	wait   time.Duration
}

func parseOptions(args []string) (options, error) {
	var o options
	var servers, only, skip, rw, ro, squash string
	f := flag.NewFlagSet("conformance", flag.ContinueOnError)
	f.StringVar(&servers, "servers", "", "`ADDR:PORT[,ADDR:PORT]` of one server, or of several that take turns")
	f.StringVar(&o.mount, "mount", "", "`ADDR:PORT` of MOUNT, if it is not that of the first server")
	f.StringVar(&o.path, "export", "/", "`path` of the export")
	f.StringVar(&rw, "rw", "127.0.0.1", "client `address` that the server gives rw, no_root_squash")
	f.StringVar(&ro, "ro", "127.0.0.3", "client `address` that the server gives ro, no_root_squash")
	f.StringVar(&squash, "squash", "127.0.0.4", "client `address` that the server gives rw, root_squash")
	f.StringVar(&only, "only", "", "run the cases that fit this `regexp`")
	f.StringVar(&skip, "skip", "", "leave out the cases that fit this `regexp`")
	f.Uint64Var(&o.seed, "seed", 1, "`number` that random cases follow from")
	f.IntVar(&o.random, "random", 0, "run this many random `cases` instead of the list")
	f.StringVar(&o.record, "record", "", "write what the server answers to this `file`")
	f.StringVar(&o.facts, "facts", "", "`file` of lines about the server, for the head of the record")
	f.StringVar(&o.golden, "compare", "", "compare with the record in this `file`")
	f.BoolVar(&o.exact, "exact", false, "compare without regard to the known differences")
	f.BoolVar(&o.make, "make-other", false, "make the directory that is to be the second export, and end")
	f.DurationVar(&o.wait, "wait", time.Minute, "how long the server may take to come up")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.bare, o.patient = o.make, o.record != "" || o.exact
	if servers == "" {
		return o, fmt.Errorf("-servers is missing (see -h)")
	}
	o.nfs = strings.Split(servers, ",")
	o.locals = make(map[string]netip.Addr)
	for export, text := range map[string]string{exportRW: rw, exportRO: ro, exportSquash: squash} {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return o, fmt.Errorf("-%s: %w", export, err)
		}
		o.locals[export] = addr
	}
	var err error
	if o.only, err = regexp.Compile(only); err == nil && skip != "" {
		o.skip, err = regexp.Compile(skip)
	}
	return o, err
}

// chooses reports that a case is to run.
func (o options) chooses(name string) bool {
	return o.only.MatchString(name) && (o.skip == nil || !o.skip.MatchString(name))
}

// run runs the cases and does with the answers what the options ask for.
func (o options) run(ctx context.Context, out io.Writer) error {
	cases, err := o.chosen()
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	s, err := waitFor(waiting, o.target)
	if err != nil {
		return err
	}
	defer s.close()
	if o.make {
		return s.makeOther(ctx)
	}
	start := time.Now()
	results, err := runCases(ctx, s, cases)
	if err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	defer fmt.Fprintf(out, "conformance: %d cases, %d calls, %.1f s\n", len(results), countCalls(results), took)
	if o.record != "" {
		if err := writeRecord(o, results); err != nil {
			return err
		}
	}
	if o.golden == "" {
		return nil
	}
	return judge(o, results)
}

// chosen gives the cases that are to run.
func (o options) chosen() ([]testCase, error) {
	all, err := allCases()
	if o.random > 0 {
		all, err = randomCases(o.seed, o.random)
	}
	var list []testCase
	for _, c := range all {
		if o.chooses(c.name) {
			list = append(list, c)
		}
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no case fits %s", o.only)
	}
	return list, err
}

func countCalls(results []result) int {
	n := 0
	for _, r := range results {
		n += len(r.answers) - 1 // without END
	}
	return n
}

func writeRecord(o options, results []result) error {
	var head []string
	if o.facts != "" {
		text, err := os.ReadFile(o.facts)
		if err != nil {
			return err
		}
		head = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	return os.WriteFile(o.record, []byte(format(head, results)), 0o644)
}

// judge compares with the recorded server.
func judge(o options, results []result) error {
	text, err := os.ReadFile(o.golden)
	if err != nil {
		return err
	}
	_, recorded, err := parseRecord(string(text))
	if err != nil {
		return err
	}
	var rules []*rule
	if !o.exact {
		rules = compile(reasons())
	}
	expected := slices.DeleteFunc(expect(recorded, rules), func(r result) bool { return !o.chooses(r.name) })
	found := compare(expected, results)
	if o.random == 0 {
		found = append(found, unused(rules)...)
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%d differences\n%s", len(found), strings.Join(found, "\n"))
}
