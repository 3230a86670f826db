package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	binary    string
	dir       string
	results   string
	document  string
	peers     string
	notes     string
	nodes     string
	workloads string
	callers   string
	rounds    int
	duration  time.Duration
	warmup    time.Duration
	width     int
	fileSize  string
	disk      bool
	nfs       string
	http      string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchlab:", err)
		os.Exit(1)
	}
}

// defaultWorkloads are all; an address list is of nodes a and b, and of a, b and w.
const (
	defaultWorkloads = "null,getattr,lookup,access,read4k,readdirplus,create,smallfile,mkdir,rename,remove,mixed,seqwrite,seqread,tree,git"
	defaultNFS       = "127.0.0.1:13049,127.0.0.1:13149"
	defaultHTTP      = "127.0.0.1:13080,127.0.0.1:13180,127.0.0.1:13280"
	minRounds        = 3
)

func run(args []string) error {
	var o options
	f := flag.NewFlagSet("benchlab", flag.ContinueOnError)
	f.StringVar(&o.binary, "twofold", "bin/twofold", "the `program` to measure, and to measure with")
	f.StringVar(&o.dir, "dir", "bin/bench/dev", "`directory` of the nodes; what is in it goes")
	f.StringVar(&o.results, "results", "bin/bench/results", "`directory` for the reports")
	f.StringVar(&o.document, "document", "", "document to write the tables to, stdout if none is given")
	f.StringVar(&o.peers, "peers", os.Getenv("PEERS"), "other servers: `NAME=TARGET ...`")
	f.StringVar(&o.notes, "notes", os.Getenv("PEER_NOTES"), "JSON `file` that says what the peers are")
	f.StringVar(&o.nodes, "nodes", "leader,other,both", "which of twofold's data nodes to measure")
	f.StringVar(&o.workloads, "workloads", defaultWorkloads, "workloads")
	f.StringVar(&o.callers, "callers", "1,16,64", "numbers of callers")
	f.IntVar(&o.rounds, "rounds", minRounds, "rounds, at least 3")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure each")
	f.DurationVar(&o.warmup, "warmup", time.Second, "how long to go before measuring")
	f.IntVar(&o.width, "width", 1000, "entries of a directory")
	f.StringVar(&o.fileSize, "file-size", "256MiB", "size of the file of seqwrite and seqread")
	f.BoolVar(&o.disk, "disk", true, "measure the flushes of the disk of -dir, for peers of this host too")
	f.StringVar(&o.nfs, "nfs", defaultNFS, "NFS addresses of nodes a and b")
	f.StringVar(&o.http, "http", defaultHTTP, "HTTP addresses of nodes a, b and w")
	if err := f.Parse(args); err != nil {
		return err
	}
	cells, err := o.cells()
	if err != nil {
		return err
	}
	peers, err := readPeers(o.peers, o.notes)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return measure(ctx, &o, cells, peers)
}

// cell is one row: a workload and a number of callers.
type cell struct {
	workload string
	callers  int
}

func (c cell) String() string { return fmt.Sprintf("%s at %d", c.workload, c.callers) }

// cells are the rows.
func (o *options) cells() ([]cell, error) {
	if o.rounds < minRounds {
		return nil, fmt.Errorf("-rounds %d: a median needs at least %d", o.rounds, minRounds)
	}
	var cells []cell
	for w := range strings.SplitSeq(o.workloads, ",") {
		for text := range strings.SplitSeq(o.callers, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, fmt.Errorf("-callers: %w", err)
			}
			cells = append(cells, cell{workload: w, callers: n})
		}
	}
	return cells, nil
}

// measure starts the nodes, makes all measurements and writes the document.
func measure(ctx context.Context, o *options, cells []cell, peers []*system) error {
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return err
	}
	d, err := startDev(ctx, o)
	if err != nil {
		return err
	}
	defer d.stop()
	systems, err := d.systems(ctx, o.nodes)
	if err != nil {
		return err
	}
	systems = append(systems, peers...)
	t := &table{options: o, cells: cells, systems: systems, begin: time.Now(), loadBefore: loadAverage()}
	for _, s := range systems {
		if err := s.find(); err != nil {
			return err
		}
	}
	if err := rounds(ctx, o, t); err != nil {
		return errors.Join(err, d.stop())
	}
	t.loadAfter = loadAverage()
	if err := d.stop(); err != nil {
		return err
	}
	return t.write(o.document)
}

// say prints a line of progress.
func say(format string, args ...any) {
	fmt.Fprintln(os.Stderr, "benchlab:", fmt.Sprintf(format, args...))
}
