package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/replica"
)

// seamVariable has the seam of a process that is started, as JSON.
const seamVariable = "TWOFOLD_TEST_SEAM"

// seam changes what a node, run by the test binary, is made of.
type seam struct {
	// KeepLog and MaxLog are how much of the log stays in any case, and for those
	// who are away; zero for the defaults. Markers and watermarks come often then.
	KeepLog, MaxLog uint64
	// At is a step of a transfer or of an installation before which the process
	// stands still, the one that comes as the Nth of its name: it makes the file
	// Held, and goes on when that is gone.
	At   string
	Nth  int64
	Held string
}

func (s *seam) text(t *testing.T) string {
	t.Helper()
	if s == nil {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// actAs is run, except that a node with a seam is served with it.
func actAs(args []string) int {
	text := os.Getenv(seamVariable)
	if text == "" || len(args) != 3 || args[0] != "serve" {
		return run(args)
	}
	err := serveWithSeam(text, args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "twofold:", oneLine(err))
		return exitError
	}
	return exitOK
}

func serveWithSeam(text, path string) error {
	var s seam
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	cfg, err := loadConfig(path)
	if err != nil {
		return err
	}
	var passed atomic.Int64
	at := func(step string) {
		if step == s.At && passed.Add(1) == s.Nth {
			s.hold()
		}
	}
	cfg.tuneStore = func(c *replica.Config) { c.Failpoint = at }
	cfg.tuneLog = func(c *raftlog.Config) {
		c.Failpoint = at
		if s.MaxLog == 0 {
			return
		}
		c.KeepLogBytes, c.MaxLogBytes, c.LogSegmentBytes = s.KeepLog, s.MaxLog, int(s.KeepLog)
		c.Timing.PingInterval, c.Timing.WatermarkInterval = seamTick, seamTick
	}
	return serveSignals(context.Background(), cfg, os.Stderr)
}

// seamTick is how often a node with a short log looks after it.
const seamTick = 50 * time.Millisecond

// hold stands still until the file is gone. The test that made it may end the
// process meanwhile.
func (s *seam) hold() {
	if err := os.WriteFile(s.Held, nil, 0o600); err != nil {
		panic(err) // the test would wait in vain
	}
	for {
		if _, err := os.Stat(s.Held); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
