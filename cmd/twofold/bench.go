package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	nfsload "twofold/nfs/load"
)

// benchCleanLimit bounds how long bench removes what it made.
const benchCleanLimit = 10 * time.Minute

// benchOptions are the flags of bench.
type benchOptions struct {
	nfsload.Config
	workloads []string
	callers   []int
	duration  time.Duration
	warmup    time.Duration
	ops       int64
	fileSize  string
	json      string
	watch     []string
	metrics   []string
	disk      string
	procs     int
}

// Defaults of bench.
const (
	defaultBenchCallers  = 16
	defaultBenchDuration = 10 * time.Second
	defaultBenchWarmup   = time.Second
	defaultBenchWidth    = 1000
	defaultBenchFile     = "256MiB"
	defaultBenchTimeout  = 30 * time.Second
)

func newBenchCmd() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench TARGET[,TARGET]",
		Short: "Make load for any NFSv3 server, and measure what it makes of it",
		Long: "bench makes NFSv3 calls over TCP, without the kernel's client, and tells operations a\n" +
			"second and latencies. A target is host[:port[:mountport]][/export]; ports that are\n" +
			"not given are asked of the host's port mapper. Of two targets, which must serve\n" +
			"one volume, each gets half of the callers.\n\n" +
			"It works in a new directory of the export, and removes it at the end, after Ctrl-C\n" +
			"too; a second Ctrl-C ends it at once. What one operation of each workload is:\n\n" + workloadHelp() + "\n" +
			"Exit code: 0 all operations went right; 1 some did not, or it was broken off.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args[0]); err != nil {
				return err
			}
			return runBenchCmd(cmd, &o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.workloads, "workloads", "w", nil, "workloads, in this order (default all)")
	f.IntSliceVarP(&o.callers, "callers", "c", []int{defaultBenchCallers}, fmt.Sprintf("numbers of callers, 1 to %d", nfsload.MaxCallers))
	f.DurationVarP(&o.duration, "duration", "d", defaultBenchDuration, "how long to measure each")
	f.DurationVar(&o.warmup, "warmup", defaultBenchWarmup, "how long to go before measuring")
	f.Int64VarP(&o.ops, "ops", "n", 0, "number of operations to make, instead of a duration")
	f.IntVar(&o.Connections, "connections", 1, "connections to each target")
	f.IntVar(&o.Width, "width", defaultBenchWidth, "entries of a directory")
	f.StringVar(&o.fileSize, "file-size", defaultBenchFile, "size of the file of seqwrite and seqread")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of what is chosen by chance")
	f.DurationVar(&o.Timeout, "timeout", defaultBenchTimeout, "a call without an answer for so long is lost")
	f.Uint32Var(&o.UID, "uid", 0, "user id of the calls (AUTH_SYS)")
	f.Uint32Var(&o.GID, "gid", 0, "group id of the calls")
	f.BoolVar(&o.ReservedPort, "reserved-port", false, "connect from a port below 1024, as some exports demand; needs root")
	f.StringVar(&o.json, "json", "", "file for the results as JSON, - for stdout")
	f.StringSliceVar(&o.watch, "watch", nil, "NAME=PID of processes on this host whose CPU, memory and disk use to measure")
	f.StringSliceVar(&o.metrics, "metrics", nil, "NAME=ADDR of the HTTP addresses of watched twofold nodes")
	f.StringVar(&o.disk, "disk", "", "directory on a disk whose writes and flushes to measure, all of them")
	f.IntVar(&o.procs, "procs", 1, "processors that bench itself may use at a time")
	cmd.AddCommand(newFloorCmd())
	return cmd
}

func workloadHelp() string {
	var b strings.Builder
	for _, w := range nfsload.Workloads {
		fmt.Fprintf(&b, "  %-12s %s\n", w.Name, w.Operation)
	}
	return b.String()
}

// complete reads what the flags have as text, and checks all.
func (o *benchOptions) complete(targets string) error {
	o.Targets = nil
	for text := range strings.SplitSeq(targets, ",") {
		t, err := nfsload.ParseTarget(text)
		if err != nil {
			return err
		}
		o.Targets = append(o.Targets, t)
	}
	size, err := parseByteSize(o.fileSize)
	if err != nil {
		return fmt.Errorf("--file-size: %w", err)
	}
	o.FileSize = int64(size)
	if len(o.workloads) == 0 {
		for _, w := range nfsload.Workloads {
			o.workloads = append(o.workloads, w.Name)
		}
	}
	if o.procs < 1 {
		return errors.New("--procs: at least one processor is needed")
	}
	for _, c := range o.cells() {
		if err := c.Validate(); err != nil {
			return err
		}
	}
	return o.Config.Validate()
}

// cells are the measurements to make.
func (o *benchOptions) cells() []nfsload.Cell {
	var cells []nfsload.Cell
	for _, w := range o.workloads {
		for _, c := range o.callers {
			cells = append(cells, nfsload.Cell{Workload: w, Callers: c, Duration: o.duration, Warmup: o.warmup, Ops: o.ops})
		}
	}
	return cells
}

// runBenchCmd measures, writes the report and says by its error whether all went right.
func runBenchCmd(cmd *cobra.Command, o *benchOptions) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.procs))
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process
	w, err := newWatcher(o.watch, o.metrics, o.disk)
	if err != nil {
		return err
	}
	show := newBenchView(cmd.ErrOrStderr())
	report := newReport(o)
	err = measureAll(ctx, o, w, show, report)
	show.end()
	if err != nil {
		report.Error = oneLine(err)
	}
	return errors.Join(err, writeReport(o.json, report, cmd.OutOrStdout()), verdict(report))
}

func newReport(o *benchOptions) *nfsload.Report {
	return &nfsload.Report{
		Schema: nfsload.ReportSchema, Version: buildVersion(), Go: runtime.Version(), CPUs: runtime.NumCPU(), Time: time.Now().UTC().Format(time.RFC3339),
		Seed: o.Seed, Width: o.Width, FileSize: o.FileSize, UID: o.UID, GID: o.GID,
		TimeoutSecs: o.Timeout.Seconds(), WarmupSecs: o.warmup.Seconds(), Results: []nfsload.Measured{},
	}
}

// measureAll makes all measurements and removes what they made.
func measureAll(ctx context.Context, o *benchOptions, w *watcher, show *benchView, report *nfsload.Report) error {
	cfg := o.Config
	cfg.Progress, cfg.Window = show.progress, w.window
	b, err := nfsload.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	err = measureCells(ctx, b, o, w, show, report)
	show.cleaning(b.Dir())
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), benchCleanLimit)
	defer cancel()
	return errors.Join(err, b.Clean(clean))
}

func measureCells(ctx context.Context, b *nfsload.Bench, o *benchOptions, w *watcher, show *benchView, report *nfsload.Report) error {
	cells := o.cells()
	for i, c := range cells {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		show.begin(i+1, len(cells), c)
		w.reset()
		res, err := b.Run(ctx, c)
		if err != nil {
			return err
		}
		m := nfsload.Measured{Result: *res}
		if err := w.used(&m); err != nil {
			return err
		}
		report.Results = append(report.Results, m)
		show.result(res)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return nil
}

// writeReport writes the report to a file, or as JSON or a table to out.
func writeReport(path string, r *nfsload.Report, out io.Writer) error {
	if path == "" {
		return writeBenchTable(out, r)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if path == "-" {
		_, err = out.Write(text)
		return err
	}
	return errors.Join(os.WriteFile(path, text, 0o644), writeBenchTable(out, r))
}

// verdict is an error if an operation went wrong.
func verdict(r *nfsload.Report) error {
	var failed int64
	for _, m := range r.Results {
		failed += m.Failed()
	}
	if failed > 0 {
		return fmt.Errorf("%d calls were not answered as they should be: see the errors of the results", failed)
	}
	return nil
}
