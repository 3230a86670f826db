package raftlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// stubborn makes a leader that believes in itself for long without a quorum,
// as a process does that was stopped meanwhile: only its read index is then
// between it and a stale read.
func stubborn(c *rafttest.Cluster, name string) {
	c.Configure = func(cfg *raftlog.Config) {
		cfg.Timing.PingInterval = 20 * time.Millisecond // old answers are there to be mistaken
		if cfg.Name == name {
			cfg.Timing.HeartbeatTimeout = 20 * time.Second
			cfg.Timing.RPCTimeout = 30 * time.Second
		}
	}
}

// makeLeader gets the lead to a node that would never campaign by itself.
func makeLeader(t *testing.T, c *rafttest.Cluster, name string) *raftlog.Node {
	t.Helper()
	c.Start()
	if lead := c.Leader(); lead != name {
		if err := c.Nodes[lead].TransferLeadership(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	c.Eventually(5*time.Second, name+" leads", func() bool {
		s, _ := c.Nodes[name].Watch()
		return s.Ready
	})
	return c.Nodes[name]
}

// An index is at or above every acknowledged entry, and the state machine does
// reach it although no-ops and barriers lie above.
func TestReadIndex_CoversAcknowledged(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		for range 3 {
			lead := c.Leader()
			n := c.Nodes[lead]
			i, err := n.ReadIndex(t.Context()) // right after noop and barrier
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Machines[lead].Applied(); got < i {
				t.Fatalf("read index %d; the state ends at %d for good", i, got)
			}
			p := n.Propose([]byte("x"))
			<-p.Done()
			if i, err = n.ReadIndex(t.Context()); err != nil || i < p.Index() {
				t.Fatalf("read index %d, %v; entry %d was acknowledged", i, err, p.Index())
			}
			if err := n.TransferLeadership(t.Context(), c.Other(lead)); err != nil {
				t.Fatal(err)
			}
			c.Leader(lead)
		}
		for _, name := range []string{"w", c.Other(c.Leader())} {
			if _, err := c.Nodes[name].ReadIndex(t.Context()); !errors.Is(err, raftlog.ErrNotLeader) {
				t.Errorf("at %s: %v", name, err)
			}
		}
	})
}

// All messages to and from the leader are held until there is another one, and
// then a read begins at the old one. It must not succeed, neither while they
// are held nor when they all arrive at last, answers to earlier pings with the
// old term among them.
func TestReadIndex_HeldPastElection(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		stubborn(c, "a")
		old := makeLeader(t, c, "a")
		mustPropose(t, old, "x=1")
		// Pings go out and their answers, of the old term, are held.
		c.Net.Hold("b", "a")
		c.Net.Hold("w", "a")
		time.Sleep(100 * time.Millisecond)
		c.Net.Hold("a", "b")
		c.Net.Hold("a", "w")
		next := c.Leader("a")
		mustPropose(t, c.Nodes[next], "x=2") // acknowledged before the read begins
		if s, _ := old.Watch(); !s.Ready {
			t.Fatalf("the old leader gave up by itself: %+v", s)
		}
		got := make(chan error, 1)
		go func() {
			_, err := old.ReadIndex(context.Background())
			got <- err
		}()
		time.Sleep(500 * time.Millisecond)
		select {
		case err := <-got:
			t.Fatalf("a read without any answer: %v", err)
		default:
		}
		for _, p := range []string{"b", "w"} {
			c.Net.Release(p, "a", raftlog.StreamControl) // old answers
		}
		time.Sleep(500 * time.Millisecond)
		select {
		case err := <-got:
			t.Fatalf("a read that only had answers from before it began: %v", err)
		default:
		}
		for _, p := range []string{"b", "w"} {
			c.Net.Release("a", p, raftlog.StreamControl)
		}
		if err := <-got; !errors.Is(err, raftlog.ErrNotLeader) {
			t.Errorf("read at the old leader: %v", err)
		}
		c.Net.Between(c.Net.Release, "a", "b", "w")
		c.Eventually(5*time.Second, "the old leader follows", func() bool {
			s, _ := old.Watch()
			return s.Leader == next
		})
	})
}

// One answer is enough: a hung member does not hold up reads.
func TestReadIndex_OneMemberHung(t *testing.T) {
	for _, hung := range []string{"w", "data"} {
		t.Run(hung, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Start()
				lead := c.Leader()
				peer := hung
				if hung == "data" {
					peer = c.Other(lead)
				}
				c.Net.Between(c.Net.Hold, lead, peer)
				start := time.Now()
				for range 500 {
					if _, err := c.Nodes[lead].ReadIndex(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if d := time.Since(start); d > 100*time.Millisecond {
					t.Errorf("500 reads took %v", d)
				}
			})
		})
	}
}

// Calls share rounds: a thousand of them need a handful.
func TestReadIndex_Shared(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		for _, p := range []string{c.Other(lead), "w"} {
			c.Net.Delay(lead, p, 10*time.Millisecond, raftlog.StreamControl)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := c.Nodes[lead].ReadIndex(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d < 10*time.Millisecond || d > 40*time.Millisecond {
			t.Errorf("took %v; a round is 10 ms", d)
		}
	})
}

func TestReadIndex_ContextEnds(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		stubborn(c, "a")
		n := makeLeader(t, c, "a")
		c.Net.Between(c.Net.Hold, "a", "b", "w")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.ReadIndex(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		c.Net.Between(c.Net.Release, "a", "b", "w")
	})
}

// After a nudge a follower has what was committed at once, not at the next
// occasion that raft takes.
func TestNudge_FollowerCommitsAtOnce(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = func(cfg *raftlog.Config) { cfg.Timing.CommitTimeout = time.Hour }
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		time.Sleep(time.Second) // let the new leader's first messages pass
		resume := c.Nodes[other].GiveUpLease()
		time.Sleep(time.Second)
		// The other data node makes the quorum, so that its entry leaves before
		// the commit.
		c.Net.Delay(lead, "w", time.Millisecond, raftlog.StreamRaft)
		mustPropose(t, c.Nodes[lead], "1")
		time.Sleep(10 * time.Second)
		if got := c.Machines[other].Data(); len(got) != 0 {
			t.Fatalf("the follower committed %q without a word", got)
		}
		start := time.Now()
		c.Nodes[lead].Nudge(other)
		have(t, c, other, []string{"1"})
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("took %v", d)
		}
		// Nudges that may not do anything, do not.
		c.Nodes[other].Nudge(lead)
		c.Nodes["w"].Nudge(lead)
		c.Nodes[lead].Nudge("nobody")
		for range 1000 {
			c.Nodes[lead].Nudge(other)
		}
		mustPropose(t, c.Nodes[lead], "2")
		c.Nodes[lead].Nudge(other)
		have(t, c, other, []string{"1", "2"})
		// One that comes before the follower has the entry is not lost.
		c.Net.Delay(lead, other, 20*time.Millisecond, raftlog.StreamRaft)
		mustPropose(t, c.Nodes[lead], "3")
		c.Nodes[lead].Nudge(other)
		have(t, c, other, []string{"1", "2", "3"})
		// One that holds a lease is told without being asked for.
		c.Net.Delay(lead, other, 0, raftlog.StreamRaft)
		resume()
		c.Eventually(time.Second, "the follower has a lease", func() bool {
			_, ok := c.Nodes[other].Lease()
			return ok
		})
		mustPropose(t, c.Nodes[lead], "4")
		start = time.Now()
		have(t, c, other, []string{"1", "2", "3", "4"})
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("with a lease it took %v", d)
		}
	})
}
