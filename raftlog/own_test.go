package raftlog_test

import (
	"slices"
	"testing"
	"time"

	"twofold/raftlog/logstore/logstoretest"
	"twofold/raftlog/rafttest"
)

// While an entry is not on the leader's disk, though the other node has it, nobody
// is told that it is committed: neither who proposed it, nor a state machine
// (Lemma 18 of docs/consistency.md).
//
// Seen red: with an fsm that does not wait for the disk (the proposer and the
// leader's machine), and with the commit index sent as raft has it (the other's).
func TestOwn_NotCommittedBeforeDisk(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		lead := c.Leader()
		other := c.Other(lead)
		mustPropose(t, c.Nodes[lead], "before")
		have(t, c, other, []string{"before"})
		before := c.Machines[other].Last()
		disks[lead].Hold()
		p := c.Nodes[lead].Propose([]byte("waits"))
		c.Eventually(100*time.Millisecond, other+" has the entry in its log", func() bool {
			return c.Machines[other].Last() > before
		})
		c.Nodes[lead].Nudge(other)
		time.Sleep(100 * time.Millisecond) // less than a disk may take, more than raft's CommitTimeout
		select {
		case <-p.Done():
			t.Errorf("the proposal ended while the leader's disk hung: %v", p.Err())
		default:
		}
		for _, name := range []string{lead, other} {
			if slices.Contains(c.Machines[name].Data(), "waits") {
				t.Errorf("%s shows an entry that is on one disk", name)
			}
		}
		disks[lead].Resume()
		if <-p.Done(); p.Err() != nil {
			t.Fatal(p.Err())
		}
		have(t, c, lead, []string{"before", "waits"})
		have(t, c, other, []string{"before", "waits"})
	})
}

// A leader whose disk hangs has sent its last entries to the other node, which then
// leads. It does not enter the new term, and so says nothing in it, before they are
// on its own disk.
//
// Seen red: with a stable store that does not wait for the log.
func TestOwn_TermWaitsForDisk(t *testing.T) {
	hanging(t, func(t *testing.T, c *rafttest.Cluster, disks map[string]*logstoretest.FS) {
		lead := c.Leader()
		other := c.Other(lead)
		term := c.Nodes[lead].Term()
		disks[lead].Hold()
		p := c.Nodes[lead].Propose([]byte("waits"))
		c.Eventually(2*time.Second, other+" leads", func() bool {
			s, _ := c.Nodes[other].Watch()
			return s.Ready
		})
		time.Sleep(5 * time.Second)
		if now := c.Nodes[lead].Term(); now != term {
			t.Errorf("%s went from term %d to %d with entries that are not on its disk", lead, term, now)
		}
		mustPropose(t, c.Nodes[other], "after")
		have(t, c, other, []string{"waits", "after"}) // it had the entry, and so has the new term
		disks[lead].Resume()
		<-p.Done()
		have(t, c, lead, []string{"waits", "after"})
	})
}
