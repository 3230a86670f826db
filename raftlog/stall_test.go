package raftlog_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/logstore/logstoretest"
	"twofold/raftlog/rafttest"
)

// hanging is a cluster whose disks can hang.
func hanging(t *testing.T, f func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS)) {
	t.Helper()
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		disks := map[string]*logstoretest.FS{}
		for _, m := range c.Members {
			disks[m.Name] = logstoretest.New()
		}
		c.Configure = func(cfg *raftlog.Config) { cfg.LogFS = disks[cfg.Name] }
		c.Start()
		// Every node has to know that the others are there.
		time.Sleep(3 * time.Second)
		f(t, c, disks)
	})
}

// The leader's disk hangs: another node leads within 2 s of the first write that
// hangs, also if it hangs for good. When it goes on, the node comes back.
//
// Seen red: with a transport that goes on to send for a stalled leader.
func TestStall_Leader(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		for round := range 3 {
			old := c.Leader()
			now := c.Other(old)
			mustPropose(t, c.Nodes[old], "before")
			disks[old].Hold()
			begin := time.Now()
			lost := c.Nodes[old].Propose([]byte("hangs"))
			c.Eventually(2*time.Second, now+" leads", func() bool {
				s, _ := c.Nodes[now].Watch()
				return s.Ready
			})
			mustPropose(t, c.Nodes[now], "after")
			pause := time.Since(begin)
			if t.Logf("round %d: a pause of %s", round, pause); pause > 2*time.Second {
				t.Errorf("a pause of %s", pause)
			}
			time.Sleep(20 * time.Second)
			checkStalled(t, c, old, now)
			disks[old].Resume()
			<-lost.Done()
			// The other node had its entry before this one's disk, and may have told
			// so in time.
			if err := lost.Err(); err != nil && !errors.Is(err, raftlog.ErrUnknownOutcome) {
				t.Errorf("the proposal that hung: %v", err)
			} else if err == nil && !slices.Contains(c.Machines[now].Data(), "hangs") {
				t.Errorf("a proposal succeeded that %s does not have", now)
			}
			c.Eventually(5*time.Second, old+" is back", func() bool { return c.Nodes[old].Stalled() == nil })
			mustPropose(t, c.Nodes[now], "back")
			same(t, c, old, now)
		}
	})
}

// same waits until two machines were given the same. What was proposed last may be
// committed and not given to either of them yet.
func same(t *testing.T, c *rafttest.Cluster, one, other string) {
	t.Helper()
	c.Eventually(10*time.Second, one+" and "+other+" have the same", func() bool {
		return slices.Equal(c.Machines[one].Data(), c.Machines[other].Data())
	})
}

// The leader's disk hangs while nobody changes anything: another node leads within
// 2 s all the same. A follower and a witness say that theirs hangs in that time.
//
// Seen red: with a ProbeInterval of an hour.
func TestStall_Idle(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		for round := range 6 {
			old := c.Leader()
			now := c.Other(old)
			time.Sleep(time.Duration(round) * 50 * time.Millisecond)
			disks[old].Hold()
			begin := time.Now()
			c.Eventually(2*time.Second, now+" leads", func() bool {
				s, _ := c.Nodes[now].Watch()
				return s.Ready
			})
			t.Logf("round %d: %s leads after %s", round, now, time.Since(begin))
			time.Sleep(5 * time.Second)
			checkStalled(t, c, old, now)
			disks[old].Resume()
			c.Eventually(5*time.Second, old+" is back", func() bool { return c.Nodes[old].Stalled() == nil })
		}
		lead := c.Leader()
		for _, hung := range []string{c.Other(lead), "w"} {
			disks[hung].Hold()
			c.Eventually(2*time.Second, hung+" is stalled", func() bool { return c.Nodes[hung].Stalled() != nil })
			disks[hung].Resume()
			c.Eventually(5*time.Second, hung+" is back", func() bool { return c.Nodes[hung].Stalled() == nil })
		}
		if now := c.Leader(); now != lead {
			t.Errorf("%s leads, %s did", now, lead)
		}
	})
}

// The log's disk is probed while the log is quiet, a few times a second, and not
// while it is written.
func TestStall_ProbesOnlyWhenQuiet(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		lead := c.Leader()
		syncs := func(work func()) int {
			before := disks[lead].Steps()
			work()
			return (disks[lead].Steps() - before) / 2 // a write and a sync each
		}
		idle := syncs(func() { time.Sleep(5 * time.Second) })
		if idle < 10 || idle > 25 {
			t.Errorf("%d syncs in 5 s of an idle node", idle)
		}
		const changes = 50
		busy := syncs(func() {
			for range changes {
				mustPropose(t, c.Nodes[lead], "x")
				time.Sleep(100 * time.Millisecond)
			}
		})
		if busy > changes+5 { // a watermark may be among them
			t.Errorf("%d syncs for %d changes", busy, changes)
		}
	})
}

// checkStalled holds a node whose disk hangs to say so, here and at another node.
func checkStalled(t *testing.T, c *rafttest.Cluster, old, other string) {
	t.Helper()
	s := c.Nodes[old].Status()
	if !errors.Is(s.Stalled, raftlog.ErrStalled) || s.State.Ready {
		t.Errorf("%s: stalled %v, ready %t", old, s.Stalled, s.State.Ready)
	}
	if _, err := c.Nodes[old].ReadIndex(context.Background()); err == nil {
		t.Errorf("%s has a read index", old)
	}
	for _, p := range c.Nodes[other].Status().Peers {
		if p.Stalled != (p.Name == old) || !p.Reachable {
			t.Errorf("%s takes %s for stalled: %t, for reachable: %t", other, p.Name, p.Stalled, p.Reachable)
		}
	}
}

// The disk of a follower or of the witness hangs: the leader does not wait for it.
func TestStall_Follower(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		lead := c.Leader()
		for _, hung := range []string{c.Other(lead), "w"} {
			disks[hung].Hold()
			begin := time.Now()
			for range 500 {
				mustPropose(t, c.Nodes[lead], "x")
				time.Sleep(10 * time.Millisecond)
			}
			if d := time.Since(begin); d > 6*time.Second {
				t.Errorf("500 proposals took %s with the disk of %s hung", d, hung)
			}
			if c.Nodes[hung].Stalled() == nil {
				t.Errorf("%s is not stalled", hung)
			}
			disks[hung].Resume()
			c.Eventually(5*time.Second, hung+" is back", func() bool { return c.Nodes[hung].Stalled() == nil })
			same(t, c, c.Other(lead), lead)
		}
		if now := c.Leader(); now != lead {
			t.Errorf("%s leads, %s did", now, lead)
		}
	})
}

// limp lets a disk hang for d again and again, until the returned function is called.
func limp(disk *logstoretest.FS, d time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	disk.Hold()
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			time.Sleep(d)
			disk.Resume()
			time.Sleep(min(d, time.Millisecond))
			disk.Hold()
		}
		disk.Resume()
	}()
	return func() {
		cancel()
		<-stopped
	}
}

// A node whose disk takes most of a second for each write does not lead while
// there is a better one, and leads if there is none.
func TestStall_LimpingDisk(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		old := c.Leader()
		now := c.Other(old)
		defer limp(disks[old], time.Second)()
		c.Nodes[old].Propose([]byte("x"))
		c.Eventually(3*time.Second, now+" leads", func() bool {
			s, _ := c.Nodes[now].Watch()
			return s.Ready
		})
		for range 100 {
			mustPropose(t, c.Nodes[now], "x")
			time.Sleep(100 * time.Millisecond)
		}
		c.Stop(now)
		c.Eventually(30*time.Second, old+" leads, slowly", func() bool { return propose(c.Nodes[old], "slow") == nil })
	})
}

// A witness whose disk is slow is elected, since it alone has an entry beside the
// leader that died. It hands over when the target has the first entry of its term
// too: without that one the target would ask in vain, and wait for a second.
//
// Seen red: with a hand-over that asks only whether the target has what is in the
// log.
func TestHandOver_SlowWitness(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		lead := c.Leader()
		other := c.Other(lead)
		c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
		mustPropose(t, c.Nodes[lead], "x")
		defer limp(disks["w"], 5*time.Millisecond)()
		c.Crash(lead)
		died := time.Now()
		c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
		if next := c.Leader(); next != other {
			t.Fatalf("%s leads", next)
		}
		if d := time.Since(died); d > 600*time.Millisecond {
			t.Errorf("it leads after %v", d)
		}
		have(t, c, other, []string{"x"})
	})
}

// The state machine hangs: the leader hands the lead over by its silence.
func TestStall_Apply(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, _ map[string]*logstoretest.FS) {
		old := c.Leader()
		unblock := c.Machines[old].Block()
		c.Nodes[old].Propose([]byte("x"))
		c.Eventually(3*time.Second, c.Other(old)+" leads", func() bool {
			s, _ := c.Nodes[c.Other(old)].Watch()
			return s.Ready
		})
		unblock()
		c.Eventually(5*time.Second, old+" is back", func() bool { return c.Nodes[old].Stalled() == nil })
		mustPropose(t, c.Nodes[c.Other(old)], "y")
		same(t, c, old, c.Other(old))
	})
}

// Close does not wait for a disk that hangs.
func TestStall_Close(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		lead := c.Leader()
		disks[lead].Hold()
		c.Nodes[lead].Propose([]byte("x"))
		begin := time.Now()
		err := c.Nodes[lead].Close()
		if d := time.Since(begin); !errors.Is(err, raftlog.ErrStalled) || d > 2*time.Second {
			t.Errorf("after %s: %v", d, err)
		}
		delete(c.Nodes, lead)
		disks[lead].Resume() // lets the goroutines that were left behind end
		time.Sleep(time.Second)
	})
}

// A copy that is out of use takes no entry; its node's disk is not blamed for that.
//
// Seen red: with a node that looks at what such a copy has applied.
func TestStall_OutOfUse(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		mustPropose(t, c.Nodes[lead], "before")
		c.Stop(other)
		n, stop := openLost(t, c, other)
		defer stop()
		for range 20 {
			mustPropose(t, c.Nodes[lead], "meanwhile")
			time.Sleep(250 * time.Millisecond)
			if err := n.Stalled(); err != nil {
				t.Fatal(err)
			}
		}
		if n.Status().Last < c.Nodes[lead].Status().Commit {
			t.Error("it did not take part in the log")
		}
	})
}
