//go:build process && figures

package main

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"
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
	// busyRate is how many changes a second busy clients make.
	busyRate = 1000
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
// from when it can be reached: after its process hung, after the link was dead, and
// after it was down. The bound is for clients who together make busyRate changes a
// second all the time. With clients at full speed, what the survivors do in 25 s is
// what all processors of this machine can do: that is only shown.
func TestFigures_BackFromOutage(t *testing.T) {
	var links [2]*relay
	c := newDeltaCluster(t, seam{}, backFiles, backFileSize, func(c *procCluster) {
		for i, name := range dataNames {
			links[i] = newRelay(t, c, name, other(name))
		}
	})
	l := newLoad(t, c.procCluster)
	c.rewrite("a")
	outages := []outage{
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
	}
	for _, pace := range []rate.Limit{busyRate, rate.Inf} {
		l.pace.SetLimit(pace)
		for _, o := range outages {
			took := c.backFrom(o, l)
			if pace == busyRate && took > awayLimit {
				t.Errorf("after %s: later than %v", o.name, awayLimit)
			}
		}
	}
	c.stopAll()
}

// outage is a way in which a data node is away, and how it comes back.
type outage struct {
	name        string
	leave, back func(away string)
}

// backFrom has an outage of the follower, and returns how long after it can be
// reached it is in sync.
func (c *deltaCluster) backFrom(o outage, l *load) time.Duration {
	c.t.Helper()
	leader := c.awaitHealthy()
	away := other(leader)
	l.start()
	l.progress(warmUp, 0, 1)
	done := func() int64 { return l.done[0].Load() + l.done[1].Load() }
	from, log := done(), c.appliedAt(leader)
	o.leave(away)
	time.Sleep(awayFor / 2)
	c.rewrite(leader)
	time.Sleep(awayFor / 2)
	changes := float64(done()-from)/awayFor.Seconds() + backFiles/awayFor.Seconds()
	o.back(away)
	reachable := time.Now()
	lacks := c.appliedAt(leader) - log
	took := c.awaitInSync(away).Sub(reachable)
	l.progress(afterwards, 0, 1)
	l.end()
	c.t.Logf("%s for %v, %.0f changes/s meanwhile, %d entries missed: in sync %v after it can be reached",
		o.name, awayFor, changes, lacks, took.Round(time.Millisecond))
	c.awaitHealthy()
	l.verify(c.t)
	c.verify()
	return took
}

// appliedAt is the applied index of a node.
func (c *deltaCluster) appliedAt(name string) uint64 {
	c.t.Helper()
	s := c.status(name)
	if s == nil {
		c.t.Fatalf("%s does not answer", name)
	}
	for _, m := range s.Members {
		if m.Name == name {
			return m.Applied
		}
	}
	c.t.Fatalf("%s does not know itself", name)
	return 0
}
