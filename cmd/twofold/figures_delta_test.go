//go:build process && figures

package main

import (
	"syscall"
	"testing"
	"time"
)

const (
	backFiles    = 2_000
	backFileSize = 4 << 10
	// backLimit is how long a node that missed 2,000 rewritten files may take from
	// the start of its process until it reads its own copy.
	backLimit = 3 * time.Second
	// awayFor is an outage, and awayLimit how long a node that had one may take until
	// it is in sync, from when it can be reached.
	awayFor   = 25 * time.Second
	awayLimit = 2 * time.Second
)

// TestFigures_NodeBack measures how long a node that missed 2,000 rewritten small
// files needs, from the start of its process, until it reads its own copy, while
// clients work at full speed at both nodes: by the log, and by what differs when
// the log is gone.
func TestFigures_NodeBack(t *testing.T) {
	for _, way := range []struct {
		name   string
		seam   seam
		rounds int // of rewriting, so that the log leads on no more
	}{
		{"by the log", seam{}, 1},
		{"by what differs", seam{KeepLog: 1 << 20, MaxLog: 16 << 20}, 5},
	} {
		t.Run(way.name, func(t *testing.T) {
			c := newDeltaCluster(t, way.seam, backFiles, backFileSize, nil)
			l := newLoad(t, c.procCluster)
			c.rewrite("a")
			for range 3 {
				leader := c.awaitHealthy()
				away := other(leader)
				l.start()
				l.progress(warmUp, 0, 1)
				c.kill(away)
				for range way.rounds {
					c.rewrite(leader)
				}
				if limit := way.seam.MaxLog * 3 / 2; limit > 0 {
					eventually(t, "the logs are cut", func() bool { return c.logBytes(leader) < limit && c.logBytes("w") < limit })
				}
				before, _ := c.running[leader].given(t)
				begun, changes := time.Now(), l.done[dataIndex(leader)].Load()
				c.start(away)
				c.awaitAnswer(away)
				answers := time.Since(begun)
				took := c.awaitInSync(away).Sub(begun)
				rate := float64(l.done[dataIndex(leader)].Load()-changes) / took.Seconds()
				c.ready(t, away)
				l.progress(afterwards, 0, 1)
				l.end()
				sent, _ := c.running[leader].given(t)
				t.Logf("%s: answers after %v, in sync after %v; %d bytes sent as a delta; %.0f changes/s at %s meanwhile",
					away, answers.Round(time.Millisecond), took.Round(time.Millisecond), sent-before, rate, leader)
				if took > backLimit {
					t.Errorf("in sync after %v, later than %v", took, backLimit)
				}
				if (sent-before > 0) != (way.seam.MaxLog > 0) {
					t.Errorf("%d bytes were sent as a delta", sent-before)
				}
				l.verify(t)
				c.verify()
			}
			c.stopAll()
		})
	}
}

// TestFigures_BackFromOutage measures how long a node needs after 25 s without it,
// with clients at full speed at the leader, from when it can be reached: after its
// process hung, after the link was dead, and after it was down.
func TestFigures_BackFromOutage(t *testing.T) {
	var links [2]*relay
	c := newDeltaCluster(t, seam{}, backFiles, backFileSize, func(c *procCluster) {
		for i, name := range dataNames {
			links[i] = newRelay(t, c, name, other(name))
		}
	})
	l := newLoad(t, c.procCluster)
	c.rewrite("a")
	var late []string
	for _, o := range []struct {
		name        string
		leave, back func(away string)
	}{
		{"its process hung", func(away string) { c.signal(syscall.SIGSTOP, away) }, func(away string) { c.signal(syscall.SIGCONT, away) }},
		{"the link was dead", func(string) {
			for _, r := range links {
				r.held.Lock()
			}
		}, func(string) {
			for _, r := range links {
				r.held.Unlock()
			}
		}},
		{"it was down", func(away string) { c.kill(away) }, func(away string) { c.start(away); c.awaitAnswer(away) }},
	} {
		leader := c.awaitHealthy()
		away := other(leader)
		l.start()
		l.progress(warmUp, 0, 1)
		from := l.done[dataIndex(leader)].Load()
		o.leave(away)
		time.Sleep(awayFor / 2)
		c.rewrite(leader)
		time.Sleep(awayFor / 2)
		rate := float64(l.done[dataIndex(leader)].Load()-from) / awayFor.Seconds()
		o.back(away)
		reachable := time.Now()
		lacks := c.lacks(away)
		took := c.awaitInSync(away).Sub(reachable)
		l.progress(afterwards, 0, 1)
		l.end()
		t.Logf("%s for %v, %.0f changes/s meanwhile, %d entries of the log: in sync %v after it can be reached",
			o.name, awayFor, rate, lacks, took.Round(time.Millisecond))
		if took > awayLimit {
			late = append(late, o.name)
		}
		c.awaitHealthy()
		l.verify(t)
		c.verify()
	}
	if len(late) > 0 {
		t.Errorf("%v: later than %v", late, awayLimit)
	}
	c.stopAll()
}

// lacks is how many entries of the log a node has not applied.
func (c *deltaCluster) lacks(name string) uint64 {
	c.t.Helper()
	leader, s := c.status(other(name)), c.status(name)
	if leader == nil || s == nil {
		c.t.Fatal("a node does not answer")
	}
	applied := func(s *clusterStatus) (n uint64) {
		for _, m := range s.Members {
			if m.Name == s.Node {
				n = m.Applied
			}
		}
		return n
	}
	return applied(leader) - min(applied(leader), applied(s))
}
