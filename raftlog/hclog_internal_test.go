package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// What raft repeats with every heartbeat is logged once a minute for each
// member; another text, another member and what is no complaint are not held up.
func TestBridge_RepeatsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		b := newBridge(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug})))
		const minutes, perMinute = 3, 60
		for i := range minutes * perMinute {
			for _, m := range []string{"b", "w"} {
				b.Error("failed to heartbeat to", "peer", raft.ServerAddress(m), "backoff time", time.Second, "error", errors.New("refused"))
				b.With("x", 1).Error("failed to make requestVote RPC", "target", raft.Server{ID: raft.ServerID(m)}, "term", i)
				b.Warn("failed to contact", "server-id", raft.ServerID(m), "time", time.Duration(i))
			}
			b.Info("entering follower state", "follower", i)
			time.Sleep(time.Minute / perMinute)
		}
		for text, want := range map[string]int{
			"failed to heartbeat to": 2 * minutes, "failed to make requestVote RPC": 2 * minutes, "failed to contact": 2 * minutes,
			"entering follower state": minutes * perMinute,
		} {
			if n := strings.Count(buf.String(), text); n != want {
				t.Errorf("%d lines with %q, want %d", n, text, want)
			}
		}
		if n := strings.Count(buf.String(), fmt.Sprintf("suppressed=%d", perMinute-1)); n != 3*2*(minutes-1) {
			t.Errorf("%d lines count what was left out:\n%s", n, buf.String())
		}
	})
}

// What is remembered of lines is bounded, whatever comes.
func TestBridge_RemembersFewLines(t *testing.T) {
	b := newBridge(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil)))
	for i := range 3 * maxRaftLines {
		b.Warn(fmt.Sprint("line ", i))
		if n := len(b.lines.mu.last); n > maxRaftLines {
			t.Fatalf("%d lines are remembered", n)
		}
	}
}
