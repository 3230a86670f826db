package raftlog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// shortLog has a log that is let go of soon.
func shortLog(cfg *raftlog.Config) {
	cfg.KeepLogBytes, cfg.MaxLogBytes, cfg.LogSegmentBytes = 64<<10, 256<<10, 64<<10
	cfg.Timing.PingInterval, cfg.Timing.WatermarkInterval = 50*time.Millisecond, 50*time.Millisecond
}

// outrun writes until the log of a node begins above an index, and returns what
// it wrote.
func outrun(t *testing.T, c *rafttest.Cluster, name string, above raftlog.Index) (sent []string) {
	t.Helper()
	for range 100 {
		if c.Nodes[name].Status().First > above+1 {
			return sent
		}
		sent = append(sent, pump(t, c.Nodes[name], 128<<10)...)
		time.Sleep(200 * time.Millisecond) // for marker, watermark, compaction
	}
	t.Fatalf("the log of %s still begins at %d", name, c.Nodes[name].Status().First)
	return nil
}

// behind leaves b so far behind that no log leads on from where it stopped.
func behind(t *testing.T, c *rafttest.Cluster) (lead string, want []string) {
	t.Helper()
	c.Start()
	want = number(1, 20)
	c.Eventually(10*time.Second, "a leads", func() bool {
		if s, _ := c.Nodes["b"].Watch(); s.Ready {
			_ = c.Nodes["b"].TransferLeadership(t.Context(), "a")
		}
		s, _ := c.Nodes["a"].Watch()
		return s.Ready
	})
	for _, s := range want {
		mustPropose(t, c.Nodes["a"], s)
	}
	have(t, c, "b", want)
	last := c.Nodes["b"].Status().Last
	c.Stop("b")
	return "a", append(want, outrun(t, c, "a", last)...)
}

// A data node that was away for longer than the log is given a state, goes on
// with the log after it, and comes back from a restart at any later moment.
func TestCatchUp_BeyondTheLog(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = shortLog
		lead, want := behind(t, c)
		if s := c.Nodes[lead].Status(); s.LogBytes > 400<<10 {
			t.Errorf("%d bytes of log are kept", s.LogBytes)
		}
		c.Start("b")
		have(t, c, "b", want)
		if c.Machines[lead].Brought() == 0 {
			t.Fatal("nobody was asked to bring a state")
		}
		more := pump(t, c.Nodes[lead], 64<<10)
		want = append(want, more...)
		have(t, c, "b", want)
		for _, crash := range []bool{true, false} {
			if crash {
				c.Crash("b")
			} else {
				c.Stop("b")
			}
			c.Start("b")
			have(t, c, "b", want)
		}
		// It counts: with the leader gone, b and the witness go on.
		c.Crash(lead)
		mustPropose(t, c.Nodes[c.Leader()], "last")
		have(t, c, "b", append(want, "last"))
	})
}

// While a state is brought the leader goes on, and keeps its log from the marker
// on for the follower, attempts that fail included.
func TestCatchUp_LeaderGoesOnMeanwhile(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = shortLog
		lead, want := behind(t, c)
		held := make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		defer release()
		c.Machines[lead].OnBring(func(times int) error {
			if times < 4 {
				return errors.New("interrupted")
			}
			<-held
			return nil
		})
		c.Start("b")
		c.Eventually(10*time.Second, "the fourth attempt", func() bool { return c.Machines[lead].Brought() >= 4 })
		want = append(want, pump(t, c.Nodes[lead], 400<<10)...) // above MaxLogBytes, below the bound of pins
		time.Sleep(2 * time.Second)
		if s := c.Nodes[lead].Status(); !s.State.Ready {
			t.Fatalf("the leader does not lead: %+v", s)
		}
		release()
		have(t, c, "b", want)
		if n := c.Machines[lead].Brought(); n != 4 {
			t.Errorf("%d attempts", n)
		}
		c.Eventually(10*time.Second, "the log is short again", func() bool {
			return c.Nodes[lead].Status().LogBytes <= 280<<10
		})
	})
}

// A transfer that takes longer than the log can be kept for it is begun again.
// The leader's disk is not filled.
func TestCatchUp_PinIsBounded(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = shortLog
		lead, want := behind(t, c)
		stuck := make(chan struct{})
		release := sync.OnceFunc(func() { close(stuck) })
		defer release()
		c.Machines[lead].OnBring(func(times int) error {
			if times == 1 {
				<-stuck
				return errors.New("given up")
			}
			return nil
		})
		c.Start("b")
		c.Eventually(10*time.Second, "an attempt", func() bool { return c.Machines[lead].Brought() == 1 })
		for range 8 {
			want = append(want, pump(t, c.Nodes[lead], 128<<10)...)
			time.Sleep(200 * time.Millisecond)
		}
		if s := c.Nodes[lead].Status(); s.LogBytes > 700<<10 {
			t.Errorf("%d bytes of log are kept for a transfer", s.LogBytes)
		}
		release()
		have(t, c, "b", want)
	})
}

// A crash before each step of an installation leads to a node that starts, and
// that has everything in the end.
func TestCatchUp_CrashInInstallation(t *testing.T) {
	for _, step := range []string{raftlog.StepPending, raftlog.StepSwap, raftlog.StepMarker, raftlog.StepReset} {
		t.Run(step, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				frozen := make(chan *rafttest.Frozen, 1)
				c.Configure = func(cfg *raftlog.Config) {
					shortLog(cfg)
					if cfg.Name != "b" {
						return
					}
					cfg.Failpoint = func(at string) {
						if at != step || len(frozen) > 0 {
							return
						}
						f, err := c.Freeze("b")
						if err != nil {
							t.Error(err)
						}
						frozen <- f
					}
				}
				lead, want := behind(t, c)
				c.Start("b")
				have(t, c, "b", want)
				f := <-frozen
				c.Configure = shortLog
				c.Thaw("b", f)
				have(t, c, "b", want)
				mustPropose(t, c.Nodes[lead], "after")
				have(t, c, "b", append(want, "after"))
				c.Crash("b")
				c.Start("b")
				have(t, c, "b", append(want, "after"))
			})
		})
	}
}

// A witness that was away for longer than the log takes a marker, no contents,
// and counts again.
func TestCatchUp_WitnessTakesAMarker(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = shortLog
		c.Start()
		lead := c.Leader()
		want := number(1, 20)
		for _, s := range want {
			mustPropose(t, c.Nodes[lead], s)
		}
		last := c.Nodes["w"].Status().Last
		c.Stop("w")
		want = append(want, outrun(t, c, lead, last)...)
		c.Start("w")
		c.Eventually(10*time.Second, "the witness has the log's end", func() bool {
			return c.Nodes["w"].Status().Last >= c.Nodes[lead].Status().Commit
		})
		if n := c.Machines[lead].Brought(); n != 0 {
			t.Errorf("a state was brought to a witness %d times", n)
		}
		for range 2 {
			c.Crash("w")
			c.Start("w")
			other := c.Other(lead)
			c.Stop(other)
			mustPropose(t, c.Nodes[c.Leader()], "with the witness")
			want = append(want, "with the witness")
			c.Start(other)
			have(t, c, other, want)
		}
		// And it can complete a data node's log from there.
		c.Crash(lead)
		next := c.Leader()
		mustPropose(t, c.Nodes[next], "without "+lead)
	})
}

// The witness keeps what a data node lacks, up to its budget; then it lets go,
// and the volume is not protected until the node is back.
func TestProtected_WitnessBudget(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = func(cfg *raftlog.Config) {
			shortLog(cfg)
			if cfg.Role == raftlog.RoleData {
				cfg.MaxLogBytes = 64 << 20
			}
		}
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		protected := func(name string) bool { return c.Nodes[name].Status().Protection.Protected }
		for _, m := range c.Members {
			c.Eventually(5*time.Second, m.Name+" knows that all is protected", func() bool { return protected(m.Name) })
		}
		want := number(1, 5)
		for _, s := range want {
			mustPropose(t, c.Nodes[lead], s)
		}
		c.Stop(other)
		want = append(want, pump(t, c.Nodes[lead], 128<<10)...)
		time.Sleep(time.Second)
		if p := c.Nodes[lead].Status().Protection; !p.Protected {
			t.Fatalf("within the budget: %+v", p)
		}
		want = append(want, pump(t, c.Nodes[lead], 512<<10)...)
		for _, name := range []string{lead, "w"} {
			c.Eventually(5*time.Second, name+" says that it is not protected", func() bool { return !protected(name) })
			if p := c.Nodes[name].Status().Protection; !strings.Contains(p.Reason, other) {
				t.Errorf("reason %q does not name %s", p.Reason, other)
			}
		}
		if n := c.Nodes["w"].Status().LogBytes; n > 300<<10 {
			t.Errorf("the witness keeps %d bytes", n)
		}
		c.Start(other) // the data node's log still leads on
		have(t, c, other, want)
		if n := c.Machines[lead].Brought(); n != 0 {
			t.Errorf("%d states were brought", n)
		}
		c.Eventually(time.Minute, "protected again", func() bool {
			mustPropose(t, c.Nodes[lead], "tick")
			_ = c.Nodes[other].WriteMarker() // flushes
			return protected(lead) && protected("w")
		})
	})
}

// The log that a data node keeps for an absent one is not what fills its disk: when
// that is short of space, most of it goes. The witness keeps its own, so that the
// volume stays protected, and the absent one is given a state.
func TestProtected_TightDisk(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		var tight atomic.Bool
		c.Configure = func(cfg *raftlog.Config) {
			shortLog(cfg)
			cfg.MaxLogBytes = 4 << 20
			cfg.Tight = tight.Load
		}
		c.Start()
		makeLeader(t, c, "a")
		c.Stop("b")
		want := pump(t, c.Nodes["a"], 1<<20)
		time.Sleep(time.Second)
		if n := c.Nodes["a"].Status().LogBytes; n < 1<<20 {
			t.Fatalf("a keeps %d bytes for b", n)
		}
		tight.Store(true)
		c.Eventually(5*time.Second, "a lets go", func() bool { return c.Nodes["a"].Status().LogBytes <= 4<<20/16+64<<10 })
		if s := c.Nodes["w"].Status(); s.LogBytes < 1<<20 || !s.Protection.Protected {
			t.Errorf("the witness keeps %d bytes: %+v", s.LogBytes, s.Protection)
		}
		tight.Store(false)
		c.Start("b")
		have(t, c, "b", want)
		if c.Machines["a"].Brought() == 0 {
			t.Error("b was given no state")
		}
	})
}

// A node that was cut off for 25 s is in sync within 2 s of being reachable.
func TestAway_BackInTime(t *testing.T) {
	for _, how := range []string{"cut", "hold"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Start()
				lead := c.Leader()
				other := c.Other(lead)
				each := func(f func(from, to string, ks ...raftlog.StreamKind)) {
					for _, m := range []string{lead, "w"} {
						f(m, other)
						f(other, m)
					}
				}
				if how == "cut" {
					each(c.Net.Cut)
				} else {
					each(c.Net.Hold)
				}
				for i := range 250 {
					mustPropose(t, c.Nodes[lead], fmt.Sprint(i, strings.Repeat("x", 1000)))
					time.Sleep(100 * time.Millisecond)
				}
				if how == "cut" {
					each(c.Net.Heal)
				} else {
					each(c.Net.Release)
				}
				healed := time.Now()
				c.Eventually(2*time.Second, "in sync", func() bool {
					mustPropose(t, c.Nodes[c.Leader()], "tick")
					return len(c.Machines[other].Data()) >= len(c.Machines[c.Leader()].Data())-1
				})
				t.Logf("in sync %v after the %s ended", time.Since(healed), how)
			})
		})
	}
}
