package raftlog_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// holds waits until a node holds a lease.
func holds(t *testing.T, c *rafttest.Cluster, names ...string) {
	t.Helper()
	for _, name := range names {
		c.Eventually(5*time.Second, name+" holds a lease", func() bool {
			_, ok := c.Nodes[name].Lease()
			return ok
		})
	}
}

// leased starts a cluster in which both data nodes hold leases, under a referee.
func leased(t *testing.T, c *rafttest.Cluster) (lead, other string, r *rafttest.Referee) {
	t.Helper()
	c.Start()
	lead = c.Leader()
	other = c.Other(lead)
	holds(t, c, lead, other)
	return lead, other, rafttest.NewReferee(c, time.Millisecond)
}

// Both data nodes hold leases, with and without work, for as long as all is well;
// the witness holds none, also if clocks run at rates as different as can be.
func TestLease_BothHold(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Clocks["a"].SetRate(1.04)
		c.Clocks["b"].SetRate(0.96)
		lead, other, r := leased(t, c)
		for i := range 200 {
			mustPropose(t, c.Nodes[lead], number(i, i)[0])
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if s := c.Nodes[lead].Status(); s.Lease.InSync != other || s.State.InSync != other || s.Lease.Held != s.State.Term {
			t.Errorf("%+v", s.Lease)
		}
		for name, share := range r.Stop() {
			if share < 1 {
				t.Errorf("%s held a lease in %.3f of all looks", name, share)
			}
		}
	})
}

// An entry that is committed without the follower that holds a lease is not
// applied before that one has it, or its lease is over (rule R7).
func TestVisible_WaitsForHolder(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
		start := time.Now()
		mustPropose(t, c.Nodes[lead], "x") // by the witness
		if time.Since(start) > 50*time.Millisecond {
			t.Errorf("committed after %v", time.Since(start))
		}
		if _, ok := c.Nodes[other].Lease(); !ok || len(c.Machines[lead].Data()) != 0 {
			t.Fatalf("%s holds a lease: %v; %s applied %q", other, ok, lead, c.Machines[lead].Data())
		}
		have(t, c, lead, []string{"x"})
		if _, ok := c.Nodes[other].Lease(); ok {
			t.Errorf("applied while %s holds a lease", other)
		}
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("the follower's loss cost %v", d)
		}
		// Alone it goes on at once.
		start = time.Now()
		mustPropose(t, c.Nodes[lead], "y")
		have(t, c, lead, []string{"x", "y"})
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("took %v without a holder", d)
		}
		c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
		holds(t, c, other)
	})
}

// Answers that are held do the same as messages that are.
func TestVisible_AnswersHeld(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		c.Net.HoldAnswers(other, lead, rafttest.AppendEntries)
		mustPropose(t, c.Nodes[lead], "x")
		time.Sleep(20 * time.Millisecond)
		if got := c.Machines[lead].Data(); len(got) != 0 {
			t.Errorf("applied %q", got)
		}
		c.Net.ReleaseAnswers(other, lead, rafttest.AppendEntries)
		start := time.Now()
		have(t, c, lead, []string{"x"})
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("acknowledged, and applied %v later", d)
		}
	})
}

// A new leader is ready, and grants leases, only when it has applied its barrier: what
// earlier leaders showed counts as visible only then (rule R5).
func TestLease_BarrierApplied(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		unblock := c.Machines[other].Block()
		mustPropose(t, c.Nodes[lead], "x")
		c.Crash(lead)
		r.Update()
		time.Sleep(600 * time.Millisecond)
		s, _ := c.Nodes[other].Watch()
		if _, ok := c.Nodes[other].Lease(); ok || !s.IsLeader || s.Ready {
			t.Errorf("a lease: %v; %+v", ok, s)
		}
		unblock()
		holds(t, c, other)
		r.Stop()
	})
}

// A leader that is cut off serves nothing by its lease when another one leads,
// and its follower neither.
func TestLease_CutOff(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		for round := range 6 {
			lead, other, r := leased(t, c)
			cut := c.Net.Cut
			if round%2 == 1 {
				cut = c.Net.Hold
			}
			start := time.Now()
			c.Net.Between(cut, lead, other, "w")
			next := c.Leader(lead)
			if d := time.Since(start); next != other || d > 600*time.Millisecond {
				t.Errorf("%s leads after %v", next, d)
			}
			if err := propose(c.Nodes[next], "x"); err != nil {
				t.Error(err)
			}
			holds(t, c, next)
			time.Sleep(time.Second)
			c.Net.Between(c.Net.Heal, lead, other, "w")
			c.Net.Between(c.Net.Release, lead, other, "w")
			holds(t, c, lead)
			r.Stop()
		}
	})
}

// A voter that answered a leader gives its vote to nobody for a promise, also if
// the leader is dead and raft would vote at once (rule R1).
func TestPromise_HoldsBackVotes(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		hasty := 50 * time.Millisecond
		c.Configure = func(cfg *raftlog.Config) {
			cfg.Timing.HeartbeatTimeout, cfg.Timing.CampaignGrace = hasty, time.Hour
		}
		for range 5 {
			lead, other, r := leased(t, c)
			c.Crash(lead)
			r.Update()
			start := time.Now()
			if next := c.Leader(); next != other {
				t.Fatalf("%s leads", next)
			}
			// Its last message arrived up to a renewal before.
			if d := time.Since(start); d < raftlog.DefaultPromise-60*time.Millisecond || d > 500*time.Millisecond {
				t.Errorf("led after %v", d)
			}
			c.Start()
			r.Stop()
		}
	})
}

// A process that starts votes for nobody and holds no lease for a promise (R2).
func TestPromise_AfterStart(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		// The leader hears nothing of it, and goes on with what was promised
		// before the restart.
		c.Net.Between(c.Net.Cut, "w", lead)
		c.Crash("w")
		c.Net.Between(c.Net.Hold, lead, other)
		start := time.Now()
		c.Start("w")
		r.Update()
		c.Leader(lead)
		if d := time.Since(start); d < raftlog.DefaultPromise {
			t.Errorf("led %v after the voter's start", d)
		}
		c.Net.Between(c.Net.Heal, "w", lead)
		c.Net.Between(c.Net.Release, lead, other)
		r.Stop()
		// A node that just started refuses the lead, and the leader keeps its lease.
		lead = c.Leader()
		c.Crash(c.Other(lead))
		c.Start()
		c.Eventually(time.Second, "a refusal", func() bool {
			err := c.Nodes[lead].TransferLeadership(t.Context(), c.Other(lead))
			if err == nil {
				t.Fatal("handed over")
			}
			_, ok := c.Nodes[lead].Lease()
			return ok
		})
	})
}

// A planned hand-over: no lease of the old leader is left, the pause is short.
func TestTransfer_Pause(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		for range 6 {
			holds(t, c, lead, other)
			mustPropose(t, c.Nodes[lead], "x")
			start := time.Now()
			if err := c.Nodes[lead].TransferLeadership(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			if term, ok := c.Nodes[lead].Lease(); ok {
				t.Errorf("the old leader holds a lease of term %d", term)
			}
			c.Leader(lead)
			mustPropose(t, c.Nodes[other], "y")
			if d := time.Since(start); d > 20*time.Millisecond {
				t.Errorf("a pause of %v", d)
			}
			lead, other = other, lead
		}
	})
}

// The witness is told of a transfer too: its vote does for the target if the old
// leader's does not come.
func TestTransfer_WitnessVotes(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		c.Net.HoldMessages(other, lead, rafttest.RequestVote)
		start := time.Now()
		go c.Nodes[lead].TransferLeadership(t.Context(), other)
		c.Leader(lead)
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("a pause of %v", d)
		}
		c.Net.ReleaseMessages(other, lead, rafttest.RequestVote)
	})
}

// With three data nodes: a lease that was granted to another one than the target
// is over before the lead moves, and nothing is proposed meanwhile (rule R6).
func TestTransfer_OtherHolds(t *testing.T) {
	members := []raftlog.Member{{Name: "a", Role: raftlog.RoleData}, {Name: "b", Role: raftlog.RoleData}, {Name: "c", Role: raftlog.RoleData}}
	bubble(t, members, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		var holder, target string
		c.Eventually(5*time.Second, "a lease of another one", func() bool {
			holder = c.Nodes[lead].Status().Lease.InSync
			if holder == "" {
				return false
			}
			_, ok := c.Nodes[holder].Lease()
			return ok
		})
		for _, m := range members {
			if m.Name != lead && m.Name != holder {
				target = m.Name
			}
		}
		r := rafttest.NewReferee(c, time.Millisecond)
		defer r.Stop()
		// The holder hears of nothing.
		c.Net.Between(c.Net.Hold, holder, lead, target)
		done := make(chan error, 1)
		go func() { done <- c.Nodes[lead].TransferLeadership(t.Context(), target) }()
		time.Sleep(50 * time.Millisecond)
		if _, ok := c.Nodes[holder].Lease(); !ok {
			t.Error("the test is too late")
		}
		if s, _ := c.Nodes[target].Watch(); s.IsLeader {
			t.Error("the target leads while another node holds a lease")
		}
		if err := propose(c.Nodes[lead], "x"); !errors.Is(err, raftlog.ErrNotLeader) {
			t.Errorf("proposed while the lead is handed over: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Net.Between(c.Net.Release, holder, lead, target)
	})
}

// A lease is counted from when messages leave, not from when their answers come.
func TestLease_SlowAnswers(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, first := leased(t, c)
		first.Stop()
		for _, name := range []string{other, "w"} {
			c.Net.Delay(name, lead, 300*time.Millisecond, raftlog.StreamRaft)
		}
		time.Sleep(time.Second)
		r := rafttest.NewReferee(c, time.Millisecond)
		time.Sleep(3 * time.Second)
		if s, _ := c.Nodes[lead].Watch(); !s.IsLeader {
			t.Error("the lead was lost")
		}
		if share := r.Stop()[lead]; share > 0.5 {
			t.Errorf("a lease in %.2f of all looks", share)
		}
	})
}

// A follower that has just started holds no lease (rule R2).
func TestLease_NotAtStart(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		c.Crash(other)
		mustPropose(t, c.Nodes[lead], "x")
		start := time.Now()
		c.Start()
		r.Update()
		holds(t, c, other)
		if d := time.Since(start); d < raftlog.DefaultPromise {
			t.Errorf("a lease %v after the start", d)
		}
		r.Stop()
	})
}

// TimeoutNow that is held past the transfer's time-out: the leader goes on, with
// no lease in its term; the message is worth nothing in a later one (rule R6).
func TestTransfer_Late(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		term := c.Nodes[lead].Term()
		c.Net.HoldMessages(lead, other, rafttest.TimeoutNow)
		if err := c.Nodes[lead].TransferLeadership(t.Context(), other); err == nil {
			t.Fatal("handed over")
		}
		c.Eventually(10*time.Millisecond, "proposals are taken again", func() bool {
			return propose(c.Nodes[lead], "still here") == nil
		})
		for range 100 {
			if _, ok := c.Nodes[lead].Lease(); ok {
				t.Fatal("the lease came back")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := c.Nodes[lead].ReadIndex(t.Context()); err != nil {
			t.Error(err)
		}
		have(t, c, lead, []string{"still here"})
		// Another term, led by the same node, in which leases are held.
		for range 2 {
			from := c.Leader()
			c.Net.HoldMessages(lead, other, rafttest.TimeoutNow)
			c.Net.Between(c.Net.Cut, from, c.Other(from), "w")
			c.Leader(from)
			c.Net.Between(c.Net.Heal, from, c.Other(from), "w")
		}
		holds(t, c, "a", "b") // and so no node takes itself for an earlier term's leader
		now := c.Leader()
		later := c.Nodes[now].Term()
		c.Net.ReleaseMessages(lead, other, rafttest.TimeoutNow)
		time.Sleep(time.Second)
		if s, _ := c.Nodes[now].Watch(); s.Term != later || later <= term || !s.Ready {
			t.Errorf("term %d, then %d, is %+v", term, later, s)
		}
	})
}

// Two transfers to a node that takes no entries, of which the second ends with the
// term, keep this node from nothing when it leads again.
func TestTransfer_TargetHangs(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
		mustPropose(t, c.Nodes[lead], "by the witness")
		if err := c.Nodes[lead].TransferLeadership(t.Context(), other); err == nil {
			t.Fatal("handed over")
		}
		handed := make(chan error, 1)
		go func() { handed <- c.Nodes[lead].TransferLeadership(t.Context(), other) }()
		time.Sleep(10 * time.Millisecond)
		c.Net.Between(c.Net.Hold, lead, other, "w") // nothing that is on its way fails
		c.Eventually(5*time.Second, "the lead is lost", func() bool { s, _ := c.Nodes[lead].Watch(); return !s.IsLeader })
		<-handed
		c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
		c.Net.Between(c.Net.Release, lead, other, "w")
		if now := c.Leader(); now != lead {
			c.Eventually(10*time.Second, "the lead comes back", func() bool {
				return c.Nodes[now].TransferLeadership(t.Context(), lead) == nil
			})
		}
		c.Eventually(10*time.Second, "a proposal is taken", func() bool { return propose(c.Nodes[lead], "once more") == nil })
	})
}

// A TimeoutNow that arrives in its own term, but after the transfer has failed,
// may still work: the permission for its target is not taken back, and so no
// lease of the term may come back.
func TestTransfer_LateInTerm(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		c.Net.HoldMessages(lead, other, rafttest.TimeoutNow)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := c.Nodes[lead].TransferLeadership(ctx, other); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
		c.Eventually(5*time.Second, "proposals are taken again", func() bool {
			return propose(c.Nodes[lead], "by the witness") == nil
		})
		c.Net.ReleaseMessages(lead, other, rafttest.TimeoutNow, rafttest.AppendEntries)
		time.Sleep(2 * time.Second)
		now := c.Leader()
		mustPropose(t, c.Nodes[now], "after")
		for _, m := range []string{"a", "b"} {
			c.Eventually(time.Second, m+" has it", func() bool { return slices.Contains(c.Machines[m].Data(), "after") })
		}
	})
}

// A lease that is given up is gone at once, and the leader need not wait for it.
func TestLease_GivenUp(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		resume := c.Nodes[other].GiveUpLease()
		if _, ok := c.Nodes[other].Lease(); ok {
			t.Fatal("still held")
		}
		time.Sleep(10 * time.Millisecond)
		if s := c.Nodes[lead].Status(); s.Lease.InSync != "" {
			t.Errorf("the leader counts on %q", s.Lease.InSync)
		}
		c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
		mustPropose(t, c.Nodes[lead], "x")
		start := time.Now()
		have(t, c, lead, []string{"x"})
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("waited for %v", d)
		}
		c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
		time.Sleep(time.Second)
		if _, ok := c.Nodes[other].Lease(); ok {
			t.Error("held while given up")
		}
		resume()
		holds(t, c, other)
	})
}

// A follower that is stopped gives its lease back first: what the leader commits is
// visible without a pause.
//
// Seen red: with a Close that returns nothing the leader waits for the lease to end.
func TestLease_ReturnedByClose(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		for range 5 {
			lead, other, r := leased(t, c)
			stopped := make(chan error, 1)
			node := c.Nodes[other]
			go func() { stopped <- node.Close() }()
			begin, worst := time.Now(), time.Duration(0)
			for i := 0; time.Since(begin) < 500*time.Millisecond; i++ {
				at := time.Now()
				mustPropose(t, c.Nodes[lead], number(i, i)[0])
				want := c.Nodes[lead].Status().Commit
				c.Eventually(time.Second, "visible", func() bool { return c.Machines[lead].Applied() >= want })
				worst = max(worst, time.Since(at))
				time.Sleep(time.Millisecond)
			}
			if worst >= 50*time.Millisecond {
				t.Errorf("a change took %s while %s was stopped", worst, other)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			if _, ok := node.Lease(); ok {
				t.Errorf("%s holds a lease and is closed", other)
			}
			r.Stop()
			c.Stop(other)
			c.Start(other)
		}
	})
}

// Promises of different lengths do not work together, and it is said.
func TestPromise_OtherLength(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = func(cfg *raftlog.Config) {
			if cfg.Name == "b" {
				cfg.Timing.Promise = 200 * time.Millisecond
			}
		}
		c.Start("a", "w")
		lead := c.Leader()
		holds(t, c, lead)
		c.Start("b")
		time.Sleep(3 * time.Second)
		if _, ok := c.Nodes["b"].Lease(); ok {
			t.Error("b holds a lease")
		}
		if s := c.Nodes["b"].Status(); s.State.IsLeader || s.Commit != 0 {
			t.Errorf("b took part: %+v", s.State)
		}
		c.Crash("w")
		time.Sleep(2 * time.Second)
		if _, ok := c.Nodes["a"].Lease(); ok {
			t.Error("b's answers count")
		}
	})
}

// A machine that is suspended counts that time.
func TestLease_Suspended(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		for _, name := range []string{lead, other} {
			c.Clocks[name].Advance(10 * time.Second)
			if _, ok := c.Nodes[name].Lease(); ok {
				t.Errorf("%s holds a lease after ten seconds", name)
			}
			holds(t, c, lead, other)
		}
	})
}

func BenchmarkLease(b *testing.B) {
	c := rafttest.NewCluster(b, rafttest.Trio)
	defer c.Close()
	c.Configure = func(cfg *raftlog.Config) { cfg.Clock = nil }
	c.Start()
	n := c.Nodes[c.Leader()]
	c.Eventually(5*time.Second, "a lease", func() bool {
		_, ok := n.Lease()
		return ok
	})
	for b.Loop() {
		n.Lease()
	}
}
