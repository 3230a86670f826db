package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"twofold/nfs/load"
)

// flushMetric counts appends to a node's log, each of which ends with a flush.
const flushMetric = "twofold_raft_append_duration_seconds_count"

// renderCosts writes what each process used for one operation.
func (t *table) renderCosts(w io.Writer) {
	fmt.Fprint(w, "\n### Costs of one operation\n\nMedians, for each process. CPU is user and system time in us; bytes are what the process had the kernel write to disk (write_bytes); "+
		"log flushes are appends to a node's log, each ending with an fdatasync; disk flushes are those of the whole disk, of all nodes and of whatever else "+
		"writes to it at the time; memory is what is resident. Compactions in the background count where they happen.\n\n"+
		"| workload | callers | system | CPU us/op | bytes written/op | log flushes/op | disk flushes/op | memory, MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range t.cells {
		for _, s := range t.systems {
			k := key{c, s}
			if len(t.measured[k]) == 0 {
				continue
			}
			nodes := slices.Sorted(maps.Keys(s.pids))
			all := append(slices.Clone(nodes), "bench")
			fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %s | %s | %s |\n", c.workload, c.callers, s.name,
				t.each(k, all, 1, func(u load.Usage) float64 { return 1e6 * u.CPUSeconds }),
				t.each(k, nodes, 0, func(u load.Usage) float64 { return float64(u.WrittenBytes) }),
				t.flushes(k, s), t.diskFlushes(k),
				t.memory(k, all))
		}
	}
}

// each gives every process's share of one operation.
func (t *table) each(k key, names []string, digits int, of func(load.Usage) float64) string {
	var parts []string
	for _, name := range names {
		v := t.median(k, func(m *load.Measured) float64 { return of(m.Processes[name]) / float64(max(m.Ops, 1)) })
		parts = append(parts, fmt.Sprintf("%s %.*f", name, digits, v))
	}
	return joined(parts)
}

func (t *table) flushes(k key, s *system) string {
	const digits = 3
	return t.each(k, slices.Sorted(maps.Keys(s.metrics)), digits, func(u load.Usage) float64 { return u.Metrics[flushMetric] })
}

func (t *table) diskFlushes(k key) string {
	if t.measured[k][0].Disk == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", t.median(k, func(m *load.Measured) float64 { return float64(m.Disk.Flushes) / float64(max(m.Ops, 1)) }))
}

func (t *table) memory(k key, names []string) string {
	var parts []string
	for _, name := range names {
		v := t.median(k, func(m *load.Measured) float64 { return float64(m.Processes[name].MemoryBytes) })
		parts = append(parts, fmt.Sprintf("%s %.0f", name, v/(1<<20)))
	}
	return joined(parts)
}

func joined(parts []string) string {
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// loadAverage is what the kernel says of the last minutes.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

// processor is the processors' model.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "model unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return "model unknown"
}

// kernel is the kernel's name and release.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "kernel unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
