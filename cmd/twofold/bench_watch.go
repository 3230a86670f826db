package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	nfsload "twofold/nfs/load"
)

const (
	// benchProcess is the name of bench itself among the processes.
	benchProcess = "bench"
	// ticksPerSecond is the unit of /proc/PID/stat's times; it is 100 on every Linux that Go runs on.
	ticksPerSecond = 100
	// metricsTimeout bounds one question for metrics, maxMetricsBytes the answer.
	metricsTimeout  = 5 * time.Second
	maxMetricsBytes = 4 << 20
)

// watchedMetrics are the counters of a node's log that a report has. Each append ends with a flush.
var watchedMetrics = []string{"twofold_raft_append_duration_seconds_count", "twofold_raft_append_bytes_total"}

// watcher measures what processes use within the measured time.
type watcher struct {
	pids    map[string]int
	metrics map[string]string // URLs
	disk    string            // path of a disk's counters; empty for none
	http    http.Client

	mu    sync.Mutex
	from  usages // at the begin of the window
	total usages
	err   error // the first thing that could not be measured
}

// usages are all counters that are watched.
type usages struct {
	processes map[string]nfsload.Usage
	disk      nfsload.DiskUsage
}

// newWatcher reads NAME=PID and NAME=ADDR, and finds the disk of a directory.
func newWatcher(pids, metrics []string, disk string) (*watcher, error) {
	w := &watcher{pids: map[string]int{benchProcess: os.Getpid()}, metrics: map[string]string{}, http: http.Client{Timeout: metricsTimeout}}
	for _, text := range pids {
		name, value, ok := strings.Cut(text, "=")
		pid, err := strconv.Atoi(value)
		if !ok || err != nil || pid < 1 || name == "" || w.pids[name] != 0 {
			return nil, fmt.Errorf("--watch %q: write NAME=PID, each name once and none %q", text, benchProcess)
		}
		w.pids[name] = pid
	}
	for _, text := range metrics {
		name, addr, ok := strings.Cut(text, "=")
		if !ok || w.pids[name] == 0 || addr == "" {
			return nil, fmt.Errorf("--metrics %q: write NAME=ADDR, with a name that --watch has", text)
		}
		w.metrics[name] = "http://" + addr + "/metrics"
	}
	if disk != "" {
		path, err := diskStatPath(disk)
		if err != nil {
			return nil, err
		}
		w.disk = path
	}
	w.reset()
	_, err := w.sample()
	return w, err
}

// reset begins a new measurement.
func (w *watcher) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.from, w.total, w.err = usages{}, usages{processes: map[string]nfsload.Usage{}}, nil
}

// window is called at the begin and at the end of each measured time.
func (w *watcher) window(begin bool) {
	now, err := w.sample()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.err == nil {
		w.err = err
	}
	if begin {
		w.from = now
		return
	}
	for name, to := range now.processes {
		sum := w.total.processes[name]
		sum.Add(w.from.processes[name], to)
		w.total.processes[name] = sum
	}
	w.total.disk.Flushes += now.disk.Flushes - w.from.disk.Flushes
	w.total.disk.WrittenBytes += now.disk.WrittenBytes - w.from.disk.WrittenBytes
}

// used enters what was used since reset.
func (w *watcher) used(m *nfsload.Measured) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.Processes = w.total.processes
	if w.disk != "" {
		disk := w.total.disk
		m.Disk = &disk
	}
	return w.err
}

// sample reads all counters as they are.
func (w *watcher) sample() (usages, error) {
	all := usages{processes: make(map[string]nfsload.Usage)}
	var errs []error
	if w.disk != "" {
		var err error
		if all.disk, err = readDisk(w.disk); err != nil {
			errs = append(errs, err)
		}
	}
	for name, pid := range w.pids {
		u, err := processUsage(pid)
		if err == nil && w.metrics[name] != "" {
			u.Metrics, err = w.scrape(w.metrics[name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		all.processes[name] = u
	}
	return all, errors.Join(errs...)
}

// processUsage reads what a process has used since its start.
func processUsage(pid int) (u nfsload.Usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, err
	}
	// The second field is a name in parentheses, which may have blanks; utime and stime are the 14th and the 15th (proc_pid_stat(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return u, fmt.Errorf("%sstat has %d fields", dir, len(fields))
	}
	var ticks, pages int64
	for i, into := range map[int]*int64{11: &ticks, 12: &ticks, 21: &pages} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return u, fmt.Errorf("%sstat: %w", dir, err)
		}
		*into += n
	}
	u.CPUSeconds, u.MemoryBytes = float64(ticks)/ticksPerSecond, pages*int64(os.Getpagesize())
	text, err := os.ReadFile(dir + "io")
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64) // the kernel writes numbers
		switch key {
		case "read_bytes":
			u.ReadBytes = n
		case "write_bytes":
			u.WrittenBytes = n
		}
	}
	return u, nil
}

// scrape reads the watched counters of a node.
func (w *watcher) scrape(url string) (map[string]float64, error) {
	res, err := w.http.Get(url)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxMetricsBytes))
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", url, res.Status), err)
	}
	return parseMetrics(string(text)), nil
}

// parseMetrics takes the watched counters from the text format of Prometheus. They have no labels.
func parseMetrics(text string) map[string]float64 {
	found := make(map[string]float64)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, want := range watchedMetrics {
			if v, err := strconv.ParseFloat(value, 64); name == want && err == nil {
				found[name] = v
			}
		}
	}
	return found
}
