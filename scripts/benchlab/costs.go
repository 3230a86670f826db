package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"twofold/nfs/load"
)

// flushMetric counts appends to a node's log, each of which ends with a flush.
const flushMetric = "twofold_raft_append_duration_seconds_count"

// renderCosts writes what each process used for one operation.
func (t *table) renderCosts(w io.Writer) {
	fmt.Fprint(w, "\n### Costs of one operation\n\nMedians. CPU is user and system time in us; bytes are what the process had the kernel write to disk (write_bytes); "+
		"log flushes are appends to a node's log, each ending with an fdatasync. Compactions in the background count where they happen.\n\n"+
		"| workload | callers | system | process | CPU us/op | bytes written/op | log flushes/op | memory, MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range t.cells {
		for _, s := range t.systems {
			k := key{c, s}
			if len(t.measured[k]) == 0 {
				continue
			}
			for _, name := range append(sortedKeys(s.pids), "bench") {
				t.renderProcess(w, k, name)
			}
		}
	}
}

// renderProcess writes one process's row.
func (t *table) renderProcess(w io.Writer, k key, name string) {
	per := func(of func(load.Usage) float64) float64 {
		return t.median(k, func(m *load.Measured) float64 { return of(m.Processes[name]) / float64(max(m.Ops, 1)) })
	}
	flushes := "-"
	if _, ok := t.measured[k][0].Processes[name].Metrics[flushMetric]; ok {
		flushes = fmt.Sprintf("%.3f", per(func(u load.Usage) float64 { return u.Metrics[flushMetric] }))
	}
	memory := t.median(k, func(m *load.Measured) float64 { return float64(m.Processes[name].MemoryBytes) })
	fmt.Fprintf(w, "| %s | %d | %s | %s | %.1f | %.0f | %s | %.0f |\n", k.cell.workload, k.cell.callers, k.system.name, name,
		1e6*per(func(u load.Usage) float64 { return u.CPUSeconds }), per(func(u load.Usage) float64 { return float64(u.WrittenBytes) }),
		flushes, memory/(1<<20))
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
