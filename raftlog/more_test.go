package raftlog_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"twofold/raftlog/rafttest"
)

// A node that was cut off comes back without an election: it raised no term
// meanwhile.
func TestNode_RejoinDoesNotDisrupt(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		term := c.Nodes[lead].Term()
		for _, away := range []string{c.Other(lead), "w"} {
			var others []string
			for _, m := range c.Members {
				if m.Name != away {
					others = append(others, m.Name)
				}
			}
			c.Net.Between(c.Net.Cut, away, others...)
			time.Sleep(20 * time.Second)
			c.Net.Between(c.Net.Heal, away, others...)
			time.Sleep(5 * time.Second)
			mustPropose(t, c.Nodes[lead], away)
		}
		if s, _ := c.Nodes[lead].Watch(); s.Term != term || !s.Ready {
			t.Errorf("was term %d, is %+v", term, s)
		}
	})
}

// A state machine that pushes back, at either data node, costs no lead while it
// gets on within its deadline, and holds up no proposal: those only wait for room in
// the queue before it.
func TestNode_BackPressure(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		term := c.Nodes[lead].Term()
		for _, slow := range []string{c.Other(lead), lead} {
			unblock := c.Machines[slow].Block()
			time.AfterFunc(900*time.Millisecond, unblock)
			start := time.Now()
			for i := range 40 {
				mustPropose(t, c.Nodes[lead], number(i, i)[0])
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("%s slow, %s leads: 40 entries took %v", slow, lead, d)
			}
			time.Sleep(6 * time.Second)
			if got := c.Machines[slow].Data(); len(got)%40 != 0 || len(got) == 0 {
				t.Errorf("%s has %d entries", slow, len(got))
			}
		}
		if s, _ := c.Nodes[lead].Watch(); s.Term != term || !s.Ready {
			t.Errorf("was term %d, is %+v", term, s)
		}
	})
}

// Every node knows how the others do.
func TestNode_StatusOfPeers(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		mustPropose(t, c.Nodes[lead], "x")
		have(t, c, "a", []string{"x"})
		if err := c.Machines["a"].Flush(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		durable, _ := c.Machines["a"].Durable()
		for _, from := range []string{"b", "w"} {
			p := c.Nodes[from].Status().Peers[0]
			if p.Name != "a" || !p.Reachable || p.Durable != durable || p.Applied != durable || p.IsLeader != (lead == "a") || p.Term != c.Nodes["a"].Term() {
				t.Errorf("%s sees %+v", from, p)
			}
		}
		c.Crash("a")
		time.Sleep(5 * time.Second)
		if p := c.Nodes["w"].Status().Peers[0]; p.Reachable || p.Age < 3*time.Second || p.Durable != durable {
			t.Errorf("of a dead node: %+v", p)
		}
	})
}

// Nobody takes a snapshot, and the stream is still good afterwards; a witness
// does not campaign on request.
func TestNode_RefusedMessages(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		term := c.Nodes[lead].Term()
		nt, detach := speak(c, "stranger")
		defer detach()
		head := raft.RPCHeader{ProtocolVersion: 3, ID: []byte("stranger"), Addr: []byte("stranger")}
		for _, m := range c.Members {
			err := nt.InstallSnapshot(raft.ServerID(m.Name), raft.ServerAddress(m.Name), &raft.InstallSnapshotRequest{
				RPCHeader: head, SnapshotVersion: 1, Term: 99, LastLogIndex: 1000, LastLogTerm: 99, Size: 3,
			}, &raft.InstallSnapshotResponse{}, bytes.NewReader([]byte("abc")))
			if err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("snapshot to %s: %v", m.Name, err)
			}
		}
		err := nt.TimeoutNow("w", "w", &raft.TimeoutNowRequest{RPCHeader: head}, &raft.TimeoutNowResponse{})
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("TimeoutNow to the witness: %v", err)
		}
		time.Sleep(3 * time.Second)
		if s, _ := c.Nodes[lead].Watch(); s.Term != term || !s.Ready {
			t.Errorf("was term %d, is %+v", term, s)
		}
	})
}
