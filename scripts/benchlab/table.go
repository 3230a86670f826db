package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"twofold/nfs/load"
)

// The marks between which the document is written by this program.
const (
	markBegin = "<!-- figures: begin; written by make bench -->"
	markEnd   = "<!-- figures: end -->"
)

// table is everything that was measured.
type table struct {
	options    *options
	cells      []cell
	systems    []*system
	measured   map[key][]*load.Measured
	failures   map[key]error
	floors     []*load.FloorResult
	begin      time.Time
	loadBefore string
	loadAfter  string
}

// write writes the tables into the document, or to stdout.
func (t *table) write(document string) error {
	var b bytes.Buffer
	t.render(&b)
	if document == "" {
		_, err := os.Stdout.Write(b.Bytes())
		return err
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	text, err = between(text, b.Bytes())
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, text, 0o644)
}

// between replaces what is between the marks.
func between(text, figures []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(text, []byte(markBegin))
	_, tail, ok2 := bytes.Cut(rest, []byte(markEnd))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the marks %q and %q are not there", markBegin, markEnd)
	}
	return slices.Concat(head, []byte(markBegin+"\n\n"), figures, []byte("\n"+markEnd), tail), nil
}

// render writes all of it as Markdown.
func (t *table) render(w io.Writer) {
	o := t.options
	fmt.Fprintf(w, "Measured on %s, %d processors (%s), %s; load average %s before and %s after. Server, client and disks share this machine.\n",
		t.begin.UTC().Format("2006-01-02"), runtime.NumCPU(), processor(), kernel(), t.loadBefore, t.loadAfter)
	fmt.Fprintf(w, "%d rounds of %v after %v of warm-up, one connection to each target, directories of %d entries, streams of %s. Caches are warm: files were made just before.\n\n",
		o.rounds, o.duration, o.warmup, o.width, o.fileSize)
	t.renderSystems(w)
	t.renderRates(w)
	t.renderFloor(w)
	t.renderCosts(w)
	t.renderFailures(w)
}

func (t *table) renderSystems(w io.Writer) {
	fmt.Fprint(w, "### Systems\n\n| system | version | settings | a reply to a change means |\n| --- | --- | --- | --- |\n")
	for _, s := range t.systems {
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", s.name, said(s.notes.Version), said(s.notes.Settings), said(s.notes.Durability))
	}
}

// said is what is known of a system, or that nothing is.
func said(text string) string {
	if text == "" {
		return "not stated"
	}
	return strings.ReplaceAll(text, "|", "/")
}

// rate is what is compared: units where an operation has several, else operations.
func rate(m *load.Measured) float64 {
	if m.Unit != "" {
		return m.UnitRate
	}
	return m.OpsRate
}

// renderRates writes medians with their spread, and the ratios of the first system to each peer.
func (t *table) renderRates(w io.Writer) {
	fmt.Fprint(w, "\n### Rates\n\nMedian operations per second, with the least and the most in brackets; entries per second for readdirplus, MB per second for seqwrite and seqread. "+
		"A ratio is between medians; above 1 twofold is faster.\n\n| workload | callers |")
	ours, peers := t.split()
	for _, s := range t.systems {
		fmt.Fprintf(w, " %s |", s.name)
	}
	for _, p := range peers {
		for _, s := range ours {
			fmt.Fprintf(w, " %s : %s |", strings.TrimPrefix(s.name, "twofold, "), p.name)
		}
	}
	fmt.Fprintln(w, "\n|"+strings.Repeat(" --- |", 2+len(t.systems)+len(ours)*len(peers)))
	for _, c := range t.cells {
		fmt.Fprintf(w, "| %s | %d |", c.workload, c.callers)
		for _, s := range t.systems {
			fmt.Fprintf(w, " %s |", t.rateText(key{c, s}))
		}
		for _, p := range peers {
			for _, s := range ours {
				fmt.Fprintf(w, " %s |", ratioText(t.median(key{c, s}, rate), t.median(key{c, p}, rate)))
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	for _, wl := range load.Workloads {
		if slices.ContainsFunc(t.cells, func(c cell) bool { return c.workload == wl.Name }) {
			fmt.Fprintf(w, "- `%s`: %s.\n", wl.Name, wl.Operation)
		}
	}
}

func (t *table) split() (ours, peers []*system) {
	for _, s := range t.systems {
		if s.ours {
			ours = append(ours, s)
		} else {
			peers = append(peers, s)
		}
	}
	return ours, peers
}

func (t *table) rateText(k key) string {
	ms := t.measured[k]
	if len(ms) == 0 {
		return "failed"
	}
	scale, digits := 1.0, 0
	if ms[0].Unit == "bytes" {
		scale, digits = 1e6, 1
	}
	low, high := rate(ms[0]), rate(ms[0])
	for _, m := range ms {
		low, high = min(low, rate(m)), max(high, rate(m))
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, t.median(k, rate)/scale, digits, low/scale, digits, high/scale)
}

func ratioText(ours, theirs float64) string {
	if ours == 0 || theirs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

// median is the median of what of says of the measurements of one place; 0 if there are none.
func (t *table) median(k key, of func(*load.Measured) float64) float64 {
	var values []float64
	for _, m := range t.measured[k] {
		values = append(values, of(m))
	}
	return middle(values)
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.SortFunc(values, cmp.Compare[float64])
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// renderFloor compares lone changes with the least that they can take.
func (t *table) renderFloor(w io.Writer) {
	var medians, syncs []float64
	for _, f := range t.floors {
		medians = append(medians, float64(f.Latency.P50))
		syncs = append(syncs, float64(max(f.Sync[0].P50, f.Sync[1].P50)))
	}
	if len(medians) == 0 {
		return
	}
	floor := middle(medians)
	fmt.Fprintf(w, "\n### One caller and the floor\n\nThe floor is %.0f us, the median of %d runs of `twofold bench floor` in between: %s. fdatasync alone takes %.0f us of it.\n\n",
		floor, len(medians), "a message to one node, one hop to the other, fdatasync at both at once, and back", middle(syncs))
	fmt.Fprintln(w, "| workload | system | median latency, us | of the floor |\n| --- | --- | --- | --- |")
	for _, c := range t.cells {
		if c.callers != 1 || !slices.Contains([]string{"create", "mkdir", "rename", "remove"}, c.workload) {
			continue
		}
		for _, s := range t.systems {
			if p50 := t.median(key{c, s}, func(m *load.Measured) float64 { return float64(m.Latency.P50) }); p50 > 0 {
				fmt.Fprintf(w, "| %s | %s | %.0f | %.2f |\n", c.workload, s.name, p50, p50/floor)
			}
		}
	}
}

// renderFailures says what was not measured, and which calls went wrong.
func (t *table) renderFailures(w io.Writer) {
	var lines []string
	for _, c := range t.cells {
		for _, s := range t.systems {
			k := key{c, s}
			if err := t.failures[k]; err != nil {
				lines = append(lines, fmt.Sprintf("- %s, %s: a round failed twice: %s", c, s.name, strings.ReplaceAll(err.Error(), "\n", " ")))
			}
			if n := t.median(k, func(m *load.Measured) float64 { return float64(m.Jukebox + m.Repeated) }); n > 0 {
				lines = append(lines, fmt.Sprintf("- %s, %s: %.0f calls had to be made again (JUKEBOX, or a connection that failed)", c, s.name, n))
			}
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(w, "\n### What went wrong\n\n%s\n", strings.Join(lines, "\n"))
	}
}
