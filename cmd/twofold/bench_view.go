package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	nfsload "twofold/nfs/load"
)

// benchView shows how far a bench is: a bar on a terminal, else a line for each measurement.
type benchView struct {
	out   io.Writer
	isTTY bool

	mu    sync.Mutex // progress comes from another goroutine
	bar   *progressbar.ProgressBar
	title string
}

// Steps of the bar, and how often it is drawn at most.
const (
	barSteps    = 1000
	barWidth    = 30
	barThrottle = 100 * time.Millisecond
)

func newBenchView(out io.Writer) *benchView {
	f, ok := out.(*os.File)
	return &benchView{out: out, isTTY: ok && term.IsTerminal(int(f.Fd()))}
}

// begin begins a measurement.
func (v *benchView) begin(i, of int, c nfsload.Cell) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.title = fmt.Sprintf("%d/%d %s, %s", i, of, c.Workload, callersText(c.Callers))
	if !v.isTTY {
		return
	}
	v.bar = progressbar.NewOptions(barSteps, progressbar.OptionSetWriter(v.out), progressbar.OptionSetDescription(v.title),
		progressbar.OptionSetWidth(barWidth), progressbar.OptionThrottle(barThrottle), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false))
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

// progress moves the bar.
func (v *benchView) progress(p nfsload.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bar == nil {
		return
	}
	what := p.Stage
	if p.Ops > 0 {
		what = fmt.Sprintf("%d operations", p.Ops)
	}
	v.bar.Describe(v.title + ": " + what)
	_ = v.bar.Set(min(int(p.Done*barSteps), barSteps-1)) // a terminal that is gone matters to nobody
}

// result ends a measurement with a line.
func (v *benchView) result(r *nfsload.Result) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	fmt.Fprintf(v.out, "%s: %.0f ops/s, p50 %d us, p99 %d us%s\n", v.title, r.OpsRate, r.Latency.P50, r.Latency.P99, troubles(r))
}

// cleaning says what is going on at the end.
func (v *benchView) cleaning(dir string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	fmt.Fprintf(v.out, "removing %s\n", dir)
}

func (v *benchView) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
}

func (v *benchView) clearLocked() {
	if v.bar != nil {
		_ = v.bar.Clear()
		v.bar = nil
	}
}

// troubles tells what did not go right, if anything.
func troubles(r *nfsload.Result) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(r.Errors)) {
		parts = append(parts, fmt.Sprintf("%d times %s", r.Errors[what], what))
	}
	if r.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d calls lost", r.Lost))
	}
	if r.Jukebox > 0 {
		parts = append(parts, fmt.Sprintf("%d times JUKEBOX", r.Jukebox))
	}
	if r.Stopped {
		parts = append(parts, "stopped before its time")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// writeBenchTable writes the results for people.
func writeBenchTable(out io.Writer, r *nfsload.Report) error {
	if len(r.Results) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "workload\tcallers\tops/s\tunits/s\tp50 us\tp90 us\tp99 us\tp99.9 us\tmax us\terrors\tlost\tjukebox\trepeated\tbench us/op\t")
	for _, m := range r.Results {
		units := "-"
		switch m.Unit {
		case "":
		case "bytes":
			units = fmt.Sprintf("%.1f MB", m.UnitRate/1e6)
		default:
			units = fmt.Sprintf("%.0f %s", m.UnitRate, m.Unit)
		}
		l := m.Latency
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t\n", m.Workload, m.Callers, m.OpsRate, units,
			l.P50, l.P90, l.P99, l.P999, l.Max, m.Failed()-m.Lost, m.Lost, m.Jukebox, m.Repeated,
			1e6*m.Processes[benchProcess].CPUSeconds/float64(max(m.Ops, 1)))
	}
	return w.Flush()
}
