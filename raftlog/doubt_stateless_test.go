package raftlog_test

import (
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// lostMachine is a state machine whose state was damaged: it has nothing and takes
// nothing.
type lostMachine struct{ *rafttest.Machine }

func (lostMachine) Unfit() bool            { return true }
func (lostMachine) Stateless() bool        { return true }
func (lostMachine) Commit([]raftlog.Entry) {}

// openLost starts a member that is down with a lostMachine.
func openLost(t *testing.T, c *rafttest.Cluster, name string) (n *raftlog.Node, stop func()) {
	t.Helper()
	cfg := c.Config(name)
	cfg.Net = c.Net.Endpoint(name)
	n, err := raftlog.Open(cfg, lostMachine{rafttest.NewMachine()})
	if err != nil {
		t.Fatal(err)
	}
	return n, func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		c.Net.Detach(name)
	}
}

// Log and state of one node are damaged. What is sound of the log ends before the
// marker, from which the log goes on: there must be no gap between the two, or the
// next entry ends the process, and every one after it.
func TestDamagedLog_WithoutAState(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		other := c.Other(lead)
		want := number(1, 5)
		for _, s := range want {
			mustPropose(t, c.Nodes[lead], s)
		}
		have(t, c, other, want)
		c.Stop(other) // the next start begins another segment
		c.Start(other)
		for _, s := range number(6, 20) {
			mustPropose(t, c.Nodes[lead], s)
			want = append(want, s)
		}
		have(t, c, other, want)
		if err := c.Nodes[other].WriteMarker(); err != nil {
			t.Fatal(err)
		}
		c.Stop(other)
		harm(t, c, other)

		n, stop := openLost(t, c, other)
		defer stop()
		if n.Status().Damaged == "" {
			t.Fatal("the damage was not found")
		}
		mustPropose(t, c.Nodes[lead], "more")
		deadline := time.Now().Add(time.Minute)
		for n.Status().Last < c.Nodes[lead].Status().Last {
			select {
			case err := <-n.Fatal():
				t.Fatal(err)
			case <-time.After(100 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("its log ends at %d, the leader's at %d", n.Status().Last, c.Nodes[lead].Status().Last)
			}
		}
	})
}
