package raftlog

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// lostQuorums is a Metrics that counts.
type lostQuorums struct {
	noMetrics
	lost, back int
}

func (l *lostQuorums) Leaderless(lost bool) {
	if lost {
		l.lost++
	} else {
		l.back++
	}
}

// An election is no lost quorum. A lost one is said once, as a warning that says
// what to do, and so is its end.
func TestQuorumWatch_SaysItOnce(t *testing.T) {
	var log bytes.Buffer
	m := &lostQuorums{}
	n := &Node{log: slog.New(slog.NewTextHandler(&log, nil)), cfg: Config{Metrics: m, Timing: testTiming()}}
	n.peerSet.Store(&peerSet{links: []*link{newLink(Member{Name: "b", Role: RoleData}, &n.cfg, n.log, nil, nil)}})
	var q quorumWatch
	now := time.Now()
	pass := func(leader string, d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(50 * time.Millisecond) {
			q.look(n, leader, now)
		}
	}
	pass("", time.Second) // the process starts
	pass("a", time.Second)
	pass("", time.Second)
	pass("b", time.Second)
	if log.Len() > 0 || m.lost > 0 {
		t.Errorf("elections are called a lost quorum: %s", log.String())
	}
	pass("", time.Minute)
	if m.lost != 1 || m.back != 0 {
		t.Errorf("told the metrics of %d lost quorums, of %d that are back", m.lost, m.back)
	}
	pass("a", time.Second)
	if m.lost != 1 || m.back != 1 {
		t.Errorf("told the metrics of %d lost quorums, of %d that are back", m.lost, m.back)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "level=WARN") != 2 ||
		!strings.Contains(got, "silent=b") || !strings.Contains(got, "start the members") {
		t.Errorf("log: %s", got)
	}
}
