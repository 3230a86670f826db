package raftlog_test

import (
	"context"
	"errors"
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
			// Its entry has nowhere to go: the others never had it.
			if err := lost.Err(); !errors.Is(err, raftlog.ErrUnknownOutcome) {
				t.Errorf("the proposal that hung: %v", err)
			}
			c.Eventually(5*time.Second, old+" is back", func() bool { return c.Nodes[old].Stalled() == nil })
			mustPropose(t, c.Nodes[now], "back")
			have(t, c, old, c.Machines[now].Data())
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
			have(t, c, c.Other(lead), c.Machines[lead].Data())
		}
		if now := c.Leader(); now != lead {
			t.Errorf("%s leads, %s did", now, lead)
		}
	})
}

// limp lets a disk hang for a second again and again, until the returned function
// is called.
func limp(disk *logstoretest.FS) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	disk.Hold()
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			time.Sleep(time.Second)
			disk.Resume()
			time.Sleep(time.Millisecond)
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
		defer limp(disks[old])()
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
		have(t, c, old, c.Machines[c.Other(old)].Data())
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
