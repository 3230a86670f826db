package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"twofold/nfs/load"
)

const (
	// attempts is how often a measurement is made that fails.
	attempts = 2
	// stopBench bounds the wait for a bench that was told to stop: it removes what it made.
	stopBench = 2 * time.Minute
)

// key is one place in the table.
type key struct {
	cell   cell
	system *system
}

// rounds makes all measurements. Each round has every system once, beginning with another one.
func rounds(ctx context.Context, o *options, t *table) error {
	t.measured = make(map[key][]*load.Measured)
	t.failures = make(map[key]error)
	total := len(t.cells) * len(t.systems) * o.rounds
	n := 0
	for _, c := range t.cells {
		for r := range o.rounds {
			floor, err := measureFloor(ctx, o)
			if err != nil {
				return err
			}
			t.floors = append(t.floors, floor)
			for i := range t.systems {
				s := t.systems[(i+r)%len(t.systems)]
				n++
				m, err := measureOne(ctx, o, c, s, fmt.Sprintf("%s-%d-%d", c.workload, c.callers, r+1))
				if ctx.Err() != nil {
					return errors.New("interrupted; the reports made so far are in " + o.results)
				}
				if err != nil {
					t.failures[key{c, s}] = err
					say("%d/%d %s, round %d, %s: FAILED: %v", n, total, c, r+1, s.name, err)
					continue
				}
				t.measured[key{c, s}] = append(t.measured[key{c, s}], m)
				say("%d/%d %s, round %d, %s: %.0f ops/s", n, total, c, r+1, s.name, m.OpsRate)
			}
		}
	}
	return nil
}

// measureOne has bench measure one cell, once more if it fails.
func measureOne(ctx context.Context, o *options, c cell, s *system, name string) (*load.Measured, error) {
	var last error
	for range attempts {
		m, err := bench(ctx, o, c, s, name)
		if err == nil || ctx.Err() != nil {
			return m, err
		}
		last = err
	}
	return nil, last
}

// bench runs "twofold bench" for one cell and reads its report.
func bench(ctx context.Context, o *options, c cell, s *system, name string) (*load.Measured, error) {
	target := s.target
	if s.locate != nil {
		var err error
		if target, err = s.locate(ctx); err != nil {
			return nil, err
		}
	}
	slug := strings.NewReplacer(" ", "", ",", "-", "/", "-").Replace(s.name)
	path := filepath.Join(o.results, name+"-"+slug+".json")
	args := append([]string{"bench", target, "-w", c.workload, "-c", strconv.Itoa(c.callers), "-d", o.duration.String(), "--warmup", o.warmup.String(),
		"--width", strconv.Itoa(o.width), "--file-size", o.fileSize, "--json", path}, s.watch()...)
	if len(s.pids) > 0 && o.disk {
		args = append(args, "--disk", o.dir)
	}
	cmd := exec.CommandContext(ctx, o.binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopBench
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it by Cancel
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, lastLine(out))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r load.Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Schema != load.ReportSchema || len(r.Results) != 1 {
		return nil, fmt.Errorf("%s: schema %d with %d results: is %s older than this program?", path, r.Schema, len(r.Results), o.binary)
	}
	return &r.Results[0], nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// measureFloor measures what a durable change takes at the very least, on the disk of the nodes.
func measureFloor(ctx context.Context, o *options) (*load.FloorResult, error) {
	dirs := []string{filepath.Join(o.dir, "a"), filepath.Join(o.dir, "b")}
	out, err := exec.CommandContext(ctx, o.binary, "bench", "floor", "--dirs", strings.Join(dirs, ","), "-d", "1s", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	var f load.FloorResult
	if err := json.Unmarshal(out, &f); err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	return &f, nil
}
