package raftlog_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// deaths is smaller by default than it is in make test, for the race detector's sake.
var deaths = flag.Int("deaths", 20, "how many leaders die with an entry that only the witness has beside them")

// slack is how much sooner than a promise after the last message was cut off its
// holder may act: the message before it is up to two rounds old.
const slack = 90 * time.Millisecond

// hastyPair starts a cluster that a leads, under leases. The timers of b and of the
// witness are far below a promise, so that raft itself forgets the leader long
// before its lease is over, and a does not step down: nothing but the rule that is
// looked at keeps leases apart.
func hastyPair(t *testing.T, c *rafttest.Cluster) *rafttest.Referee {
	t.Helper()
	c.Configure = func(cfg *raftlog.Config) {
		tm := &cfg.Timing
		tm.HeartbeatTimeout, tm.CampaignGrace = 50*time.Millisecond, time.Hour
		if cfg.Name == "a" {
			tm.HeartbeatTimeout, tm.LeaderLeaseTimeout = time.Second, time.Second
		}
	}
	c.Start()
	if c.Leader() != "a" {
		c.Eventually(5*time.Second, "the lead is handed over", func() bool {
			return c.Nodes["b"].TransferLeadership(t.Context(), "a") == nil
		})
	}
	c.Leader("b", "w")
	holds(t, c, "a", "b")
	return rafttest.NewReferee(c, time.Millisecond)
}

// wantPatience waits until b leads, and wants that it did not even raise its term
// before a promise was over that was made, or forgotten, at start.
func wantPatience(t *testing.T, c *rafttest.Cluster, start time.Time, promise time.Duration) {
	t.Helper()
	term := c.Nodes["b"].Term()
	c.Eventually(5*time.Second, "b asks for votes", func() bool { return c.Nodes["b"].Term() > term })
	if d := time.Since(start); d < promise {
		t.Errorf("b asked for votes after %v, and was heard", d)
	}
	c.Leader("a")
	if d := time.Since(start); d > promise+slack+300*time.Millisecond {
		t.Errorf("b leads after %v", d)
	}
}

// Rule R1 at a voter. The leader's lease rests on the witness's promise; b made none
// lately, and raft at the witness has forgotten the leader. Neither a pre-vote nor a
// vote is given before the promise is over.
func TestRules_VoterKeepsItsPromise(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		r := hastyPair(t, c)
		defer r.Stop()
		c.Net.Between(c.Net.Hold, "a", "b")
		time.Sleep(raftlog.DefaultPromise + slack)
		c.Net.Between(c.Net.Hold, "a", "w")
		wantPatience(t, c, time.Now(), raftlog.DefaultPromise-slack)
		c.Net.Between(c.Net.Release, "a", "b", "w")
	})
}

// Rule R1 at a follower. The leader's lease rests on b's own promise; the witness
// would vote at once.
func TestRules_FollowerKeepsItsPromise(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		r := hastyPair(t, c)
		defer r.Stop()
		c.Net.Between(c.Net.Hold, "a", "w")
		time.Sleep(raftlog.DefaultPromise + slack)
		c.Net.Between(c.Net.Hold, "a", "b")
		wantPatience(t, c, time.Now(), raftlog.DefaultPromise-slack)
		c.Net.Between(c.Net.Release, "a", "b", "w")
	})
}

// Rule R2 at a voter: the witness, which the lease rests on, forgets its promise by a
// restart.
func TestRules_StartedVoter(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		r := hastyPair(t, c)
		defer r.Stop()
		c.Net.Between(c.Net.Hold, "a", "b")
		time.Sleep(raftlog.DefaultPromise + slack)
		c.Net.Between(c.Net.Hold, "a", "w")
		c.Crash("w")
		start := time.Now()
		c.Start("w")
		r.Update()
		wantPatience(t, c, start, raftlog.DefaultPromise)
		c.Net.Between(c.Net.Release, "a", "b", "w")
	})
}

// Rule R2 at a candidate: b, whose promise the lease rests on, forgets it by a
// restart.
func TestRules_StartedCandidate(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		r := hastyPair(t, c)
		defer r.Stop()
		c.Net.Between(c.Net.Hold, "a", "w")
		time.Sleep(raftlog.DefaultPromise + slack)
		c.Net.Between(c.Net.Hold, "a", "b")
		c.Crash("b")
		start := time.Now()
		c.Start("b")
		r.Update()
		wantPatience(t, c, start, raftlog.DefaultPromise)
		c.Net.Between(c.Net.Release, "a", "b", "w")
	})
}

// Rule R2 at the target of a transfer, which starts anew while the leader waits for
// the end of another node's lease: it refuses the lead, and does not raise its term.
func TestRules_StartedTarget(t *testing.T) {
	members := []raftlog.Member{{Name: "a", Role: raftlog.RoleData}, {Name: "b", Role: raftlog.RoleData}, {Name: "c", Role: raftlog.RoleData}}
	bubble(t, members, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		var holder string
		c.Eventually(5*time.Second, "a lease of another one", func() bool {
			holder = c.Nodes[lead].Status().Lease.InSync
			return holder != ""
		})
		target := strings.Trim("abc", lead+holder) // who is left
		time.Sleep(time.Second)
		term := c.Nodes[lead].Term()
		c.Net.Between(c.Net.Hold, holder, lead, target)
		done := make(chan error, 1)
		go func() { done <- c.Nodes[lead].TransferLeadership(t.Context(), target) }()
		time.Sleep(20 * time.Millisecond)
		c.Crash(target)
		c.Start(target)
		select {
		case err := <-done:
			t.Fatalf("the transfer did not wait for the lease of %s: %v", holder, err)
		default:
		}
		if err := <-done; err == nil {
			t.Error("handed over")
		}
		if s, _ := c.Nodes[lead].Watch(); !s.IsLeader || s.Term != term || c.Nodes[target].Term() > term {
			t.Errorf("was term %d, is %+v; the target is in term %d", term, s, c.Nodes[target].Term())
		}
		c.Net.Between(c.Net.Release, holder, lead, target)
	})
}

// Lemma 9 of docs/consistency.md. A leader commits with the witness what the other
// node lacks, and is forced to step down: what it has granted still holds back what
// it applies. Then the other one is cut off, and the first is elected with the witness.
func TestVisible_StepDownWithAGrant(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = func(cfg *raftlog.Config) { cfg.Timing.LeaderLeaseTimeout = 100 * time.Millisecond }
		lead, other, r := leased(t, c)
		defer r.Stop()
		c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
		mustPropose(t, c.Nodes[lead], "x")
		c.Net.Between(c.Net.Hold, lead, "w")
		c.Eventually(200*time.Millisecond, lead+" steps down", func() bool {
			s, _ := c.Nodes[lead].Watch()
			return !s.IsLeader
		})
		time.Sleep(10 * time.Millisecond)
		if _, ok := c.Nodes[other].Lease(); !ok || len(c.Machines[lead].Data()) != 0 {
			t.Fatalf("%s holds a lease: %v; %s applied %q", other, ok, lead, c.Machines[lead].Data())
		}
		have(t, c, lead, []string{"x"})
		if _, ok := c.Nodes[other].Lease(); ok {
			t.Errorf("applied while %s holds a lease", other)
		}
		c.Net.Between(c.Net.Hold, other, lead, "w")
		c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
		c.Net.Between(c.Net.Release, lead, "w")
		c.Leader(other, "w")
		mustPropose(t, c.Nodes[lead], "y")
		have(t, c, lead, []string{"x", "y"})
		c.Net.Between(c.Net.Release, other, lead, "w")
		have(t, c, other, []string{"x", "y"})
		holds(t, c, other)
	})
}

// What a leader has committed with the witness alone it applies after a restart only
// when the other node, whose lease it has forgotten, has it or holds none.
func TestVisible_RestartAndRetransmit(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		for _, released := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
			lead, other, r := leased(t, c)
			before := c.Machines[lead].Data()
			c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
			mustPropose(t, c.Nodes[lead], "x")
			c.Crash(lead)
			c.Start(lead)
			r.Update()
			if _, ok := c.Nodes[other].Lease(); !ok {
				t.Errorf("%s has no lease any more: this shows nothing", other)
			}
			time.Sleep(released)
			c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
			for _, name := range []string{lead, other} {
				have(t, c, name, append(before, "x"))
			}
			holds(t, c, lead, other)
			r.Stop()
		}
	})
}

// An entry that only the leader and the witness have is kept, and nobody waits long
// for it, however often the leader dies with it.
func TestLeaderDies_WithAnEntryOnItAndTheWitness(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		lead, other, r := leased(t, c)
		defer r.Stop()
		var want []string
		var longest time.Duration
		for i := range *deaths {
			want = append(want, number(i, i)[0])
			c.Net.HoldMessages(lead, other, rafttest.AppendEntries)
			mustPropose(t, c.Nodes[lead], want[i])
			start := time.Now()
			c.Crash(lead)
			r.Update()
			c.Net.ReleaseMessages(lead, other, rafttest.AppendEntries)
			if next := c.Leader(); next != other {
				t.Fatalf("%s leads", next)
			}
			longest = max(longest, time.Since(start))
			have(t, c, other, want)
			c.Start(lead)
			r.Update()
			have(t, c, lead, want)
			lead, other = other, lead
			holds(t, c, lead, other)
		}
		if longest > time.Second {
			t.Errorf("a pause of %v", longest)
		}
		t.Logf("the longest pause: %v", longest)
	})
}
