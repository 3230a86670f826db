package raftlog_test

import (
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// appends counts writes to a log.
type appends struct{ n atomic.Int64 }

func (a *appends) ObserveAppend(int, time.Duration)                  { a.n.Add(1) }
func (*appends) SetState(term, commit, applied, last uint64, _ bool) {}
func (*appends) LeaderChanged()                                      {}
func (*appends) SenderRefused()                                      {}
func (*appends) Stalled(bool)                                        {}
func (*appends) Leaderless(bool)                                     {}
func (*appends) LogDamaged(bool)                                     {}
func (*appends) SetProtected(bool)                                   {}
func (*appends) SetLease(bool)                                       {}

// While both data nodes are well the witness gets many entries at once. They are
// on both data nodes when they are visible, so that the leader may be lost with
// entries that the witness lacks.
func TestLazy_LeaderLost(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		var synced appends
		c.Configure = func(cfg *raftlog.Config) {
			if cfg.Name == "w" {
				cfg.Metrics = &synced
			}
		}
		lead, other, r := leased(t, c)
		behind := func() bool { return c.Nodes["w"].Status().Last < c.Nodes[lead].Status().Last }
		time.Sleep(time.Second)
		before, begun := synced.n.Load(), time.Now()
		var want []string
		for i := 0; i < 400 || !behind(); i++ {
			want = append(want, number(i, i)[0])
			mustPropose(t, c.Nodes[lead], want[i])
			time.Sleep(time.Millisecond)
			if w, l := c.Nodes["w"].Status().Last, c.Nodes[lead].Status().Last; w+100 < l {
				t.Fatalf("the witness has %d of %d", w, l)
			}
		}
		most := int64(time.Since(begun)/(50*time.Millisecond)) + 2
		if n := synced.n.Load() - before; n < 2 || n > most {
			t.Errorf("the witness wrote %d times for %d entries in %v", n, len(want), time.Since(begun))
		}
		c.Crash(lead)
		r.Update()
		if next := c.Leader(); next != other {
			t.Fatalf("%s leads", next)
		}
		have(t, c, other, want)
		mustPropose(t, c.Nodes[other], "after")
		r.Stop()
	})
}

// Without a follower that holds a lease the witness gets entries at once.
func TestLazy_NobodyHolds(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		defer c.Nodes[other].GiveUpLease()()
		time.Sleep(100 * time.Millisecond)
		for range 20 {
			mustPropose(t, c.Nodes[lead], "x")
			time.Sleep(time.Millisecond)
			if w, l := c.Nodes["w"].Status().Last, c.Nodes[lead].Status().Last; w != l {
				t.Errorf("the witness has %d of %d", w, l)
			}
		}
	})
}

// The follower is lost with entries that the witness lacks: they go to it at once.
func TestLazy_FollowerLost(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		mustPropose(t, c.Nodes[lead], "x")
		c.Net.Between(c.Net.Cut, other, lead, "w")
		start := time.Now()
		mustPropose(t, c.Nodes[lead], "y")
		if d := time.Since(start); d > 25*time.Millisecond {
			t.Errorf("committed after %v", d)
		}
		c.Net.Between(c.Net.Heal, other, lead, "w")
	})
}

// A follower that holds a lease learns soon what is committed, and at once if it is
// nudged.
func TestNudge_WhenQuiet(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		within := func(nudge bool) time.Duration {
			start := time.Now()
			before := c.Machines[other].Applied()
			mustPropose(t, c.Nodes[lead], "x")
			if nudge {
				c.Nodes[lead].Nudge(other)
			}
			for c.Machines[other].Applied() == before {
				time.Sleep(100 * time.Microsecond)
			}
			return time.Since(start)
		}
		var slowest time.Duration
		for range 20 {
			time.Sleep(13 * time.Millisecond)
			slowest = max(slowest, within(false))
			if d := within(true); d > 500*time.Microsecond {
				t.Errorf("told after %v by a nudge", d)
			}
		}
		if slowest < time.Millisecond || slowest > 5*time.Millisecond {
			t.Errorf("told after %v", slowest)
		}
	})
}

// A data node that was cut off gets many entries at once when it is back: it syncs
// for each message, which is what its way back takes.
func TestLazy_ManyForWhoIsBehind(t *testing.T) {
	const missed = 2000
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		synced := map[string]*appends{"a": {}, "b": {}, "w": {}}
		c.Configure = func(cfg *raftlog.Config) { cfg.Metrics = synced[cfg.Name] }
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		for _, m := range []string{lead, "w"} {
			c.Net.Cut(m, other)
			c.Net.Cut(other, m)
		}
		for i := range missed {
			mustPropose(t, c.Nodes[lead], number(i, i)[0])
		}
		for _, m := range []string{lead, "w"} {
			c.Net.Heal(m, other)
			c.Net.Heal(other, m)
		}
		before := synced[other].n.Load()
		c.Eventually(10*time.Second, "all is there", func() bool {
			mustPropose(t, c.Nodes[c.Leader()], "tick")
			return len(c.Machines[other].Data()) >= missed
		})
		// Ticks that came meanwhile may have been written one by one.
		if n := synced[other].n.Load() - before; n > missed/40 {
			t.Errorf("%d entries were written in %d steps", missed, n)
		}
	})
}
