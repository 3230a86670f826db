package raftlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"twofold/raftlog"
	"twofold/raftlog/logstore"
	"twofold/raftlog/rafttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test of a cluster in virtual time and closes the cluster at
// its end; what still ran then would fail the test.
func bubble(t *testing.T, members []raftlog.Member, f func(t *testing.T, c *rafttest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := rafttest.NewCluster(t, members)
		defer c.Close()
		f(t, c)
	})
}

// propose proposes at a node and returns the outcome.
func propose(n *raftlog.Node, data string) error {
	p := n.Propose([]byte(data))
	<-p.Done()
	return p.Err()
}

func mustPropose(t *testing.T, n *raftlog.Node, data string) {
	t.Helper()
	if err := propose(n, data); err != nil {
		t.Fatalf("proposing %q: %v", data, err)
	}
}

// have waits until a machine has these application entries, and no others.
func have(t *testing.T, c *rafttest.Cluster, name string, want []string) {
	t.Helper()
	c.Eventually(10*time.Second, fmt.Sprintf("%s has %d entries", name, len(want)), func() bool {
		return len(c.Machines[name].Data()) >= len(want)
	})
	if got := c.Machines[name].Data(); !slices.Equal(got, want) {
		t.Fatalf("%s has %.200q, want %.200q", name, got, want)
	}
}

func number(from, to int) []string {
	var s []string
	for i := from; i <= to; i++ {
		s = append(s, fmt.Sprintf("entry %d", i))
	}
	return s
}

func TestNode_ElectProposeCommit(t *testing.T) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Configure = func(cfg *raftlog.Config) { cfg.LogKind = kind }
				c.Start()
				lead := c.Leader()
				want := number(1, 50)
				for _, s := range want {
					mustPropose(t, c.Nodes[lead], s)
				}
				have(t, c, lead, want)
				have(t, c, c.Other(lead), want)
				c.Eventually(time.Second, "the witness has the log", func() bool {
					return c.Nodes["w"].Status().Commit == c.Nodes[lead].Status().Commit
				})
				if err := propose(c.Nodes[c.Other(lead)], "x"); !errors.Is(err, raftlog.ErrNotLeader) {
					t.Errorf("proposed at a follower: %v", err)
				}
				if err := propose(c.Nodes["w"], "x"); !errors.Is(err, raftlog.ErrNotLeader) {
					t.Errorf("proposed at the witness: %v", err)
				}
			})
		})
	}
}

func TestNode_AloneServes(t *testing.T) {
	bubble(t, rafttest.Trio[:1], func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		n := c.Nodes[c.Leader()]
		mustPropose(t, n, "x")
		i, err := n.ReadIndex(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Eventually(time.Second, "the read index is applied", func() bool { return c.Machines["a"].Applied() == i })
	})
}

// The lead is lost with its machine, again and again: the other data node leads
// well within a second and has everything that was acknowledged. The witness
// does not get in between, neither then nor at the first election.
func TestNode_LeaderDies(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		if got := c.Nodes[lead].Term(); got != 2 {
			t.Errorf("the first election ended in term %d", got)
		}
		var want []string
		for round := range 6 {
			for i := range 5 {
				want = append(want, fmt.Sprintf("round %d entry %d", round, i))
				mustPropose(t, c.Nodes[lead], want[len(want)-1])
			}
			have(t, c, c.Other(lead), want)
			time.Sleep(300 * time.Millisecond)
			term := c.Nodes[lead].Term()
			c.Crash(lead)
			start := time.Now()
			next := c.Leader()
			if d := time.Since(start); next != c.Other(lead) || d > 700*time.Millisecond {
				t.Errorf("%s leads after %v", next, d)
			}
			if got := c.Nodes[next].Term(); got != term+1 {
				t.Errorf("the election took from term %d to %d", term, got)
			}
			c.Start()
			have(t, c, lead, want)
			lead = next
		}
	})
}

// A leader that is cut off answers no read, leaves proposals undecided, and
// learns of the new leader when it is back.
func TestNode_LeaderCutOff(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		old := c.Nodes[lead]
		mustPropose(t, old, "before")
		c.Net.Between(c.Net.Cut, lead, other, "w")
		p := old.Propose([]byte("lost?"))
		_, err := old.ReadIndex(t.Context())
		if !errors.Is(err, raftlog.ErrNotLeader) {
			t.Errorf("ReadIndex of a leader without a quorum: %v", err)
		}
		<-p.Done()
		if !errors.Is(p.Err(), raftlog.ErrUnknownOutcome) {
			t.Errorf("proposal without a quorum: %v", p.Err())
		}
		if err := propose(old, "too late"); !errors.Is(err, raftlog.ErrNotLeader) {
			t.Errorf("proposal after the lead was lost: %v", err)
		}
		next := c.Leader(lead)
		mustPropose(t, c.Nodes[next], "after")
		c.Net.Between(c.Net.Heal, lead, other, "w")
		have(t, c, lead, []string{"before", "after"})
		s, _ := old.Watch()
		if s.IsLeader || s.Leader != next {
			t.Errorf("the old leader sees %+v", s)
		}
	})
}

// A node that was away for long is caught up soon after it is back: raft's own
// back-off would have grown to seconds by then.
func TestNode_CaughtUpAfterLongOutage(t *testing.T) {
	for _, fault := range []string{"cut", "hold", "crash"} {
		t.Run(fault, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Start()
				lead := c.Leader()
				other := c.Other(lead)
				mustPropose(t, c.Nodes[lead], "first")
				have(t, c, other, []string{"first"})
				away := map[string][2]func(){
					"cut":   {func() { c.Net.Between(c.Net.Cut, other, lead, "w") }, func() { c.Net.Between(c.Net.Heal, other, lead, "w") }},
					"hold":  {func() { c.Net.Between(c.Net.Hold, other, lead, "w") }, func() { c.Net.Between(c.Net.Release, other, lead, "w") }},
					"crash": {func() { c.Crash(other) }, func() { c.Start(other) }},
				}[fault]
				away[0]()
				want := append([]string{"first"}, number(1, 300)...)
				for _, s := range want[1:] {
					mustPropose(t, c.Nodes[lead], s)
				}
				time.Sleep(30 * time.Second)
				away[1]()
				start := time.Now()
				have(t, c, other, want)
				if d := time.Since(start); d > time.Second {
					t.Errorf("caught up after %v", d)
				}
			})
		})
	}
}

// Entries that exist only at the witness and at a dead leader are brought to
// the other data node, by a witness that leads just for that.
func TestNode_WitnessHandsOver(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		want := number(1, 5)
		mustPropose(t, c.Nodes[lead], want[0])
		have(t, c, other, want[:1])
		c.Net.Between(c.Net.Cut, lead, other)
		for _, s := range want[1:] { // acknowledged by leader and witness
			mustPropose(t, c.Nodes[lead], s)
		}
		var witnessLed raftlog.Term
		w := c.Nodes["w"]
		stop := make(chan struct{})
		done := make(chan struct{})
		halt := sync.OnceFunc(func() { close(stop) })
		defer halt()
		go func() {
			defer close(done)
			for {
				s, changed := w.Watch()
				if s.IsLeader {
					witnessLed = s.Term
				}
				if s.Ready {
					t.Error("the witness is ready")
				}
				select {
				case <-changed:
				case <-stop:
					return
				}
			}
		}()
		c.Crash(lead)
		start := time.Now()
		next := c.Leader()
		t.Logf("%s leads after %v", next, time.Since(start))
		if time.Since(start) > 2500*time.Millisecond {
			t.Errorf("%s leads after %v", next, time.Since(start))
		}
		halt()
		<-done
		if witnessLed == 0 || next != other {
			t.Fatalf("%s leads; the witness led term %d", next, witnessLed)
		}
		if err := propose(w, "x"); !errors.Is(err, raftlog.ErrNotLeader) {
			t.Errorf("proposed at the witness: %v", err)
		}
		have(t, c, other, want)
	})
}

// A transfer moves the lead at once and loses nothing.
func TestNode_TransferLeadership(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		for range 3 {
			other := c.Other(lead)
			start := time.Now()
			if err := c.Nodes[lead].TransferLeadership(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			if got := c.Leader(lead); got != other || time.Since(start) > 100*time.Millisecond {
				t.Fatalf("%s leads after %v", got, time.Since(start))
			}
			mustPropose(t, c.Nodes[other], "x")
			lead = other
		}
		for _, to := range []string{"w", lead, "nobody"} {
			if err := c.Nodes[lead].TransferLeadership(t.Context(), to); err == nil {
				t.Errorf("transferred to %q", to)
			}
		}
		c.Crash(c.Other(lead))
		if err := c.Nodes[lead].TransferLeadership(t.Context(), c.Other(lead)); err == nil {
			t.Error("transferred to a dead node")
		}
		mustPropose(t, c.Nodes[lead], "still here")
	})
}

func TestNode_ProposalTooBig(t *testing.T) {
	bubble(t, rafttest.Trio[:1], func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		n := c.Nodes[c.Leader()]
		p := n.Propose(make([]byte, raftlog.MaxEntryBytes+1))
		<-p.Done()
		if !errors.Is(p.Err(), raftlog.ErrTooBig) {
			t.Fatal(p.Err())
		}
		p = n.Propose(make([]byte, raftlog.MaxEntryBytes))
		<-p.Done()
		if p.Err() != nil {
			t.Fatal(p.Err())
		}
	})
}

func TestNode_ClosedRefuses(t *testing.T) {
	bubble(t, rafttest.Trio[:1], func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		n := c.Nodes[c.Leader()]
		_, changed := n.Watch()
		c.Stop("a")
		<-changed
		if err := propose(n, "x"); !errors.Is(err, raftlog.ErrClosed) {
			t.Errorf("Propose: %v", err)
		}
		if _, err := n.ReadIndex(context.Background()); !errors.Is(err, raftlog.ErrClosed) {
			t.Errorf("ReadIndex: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}
