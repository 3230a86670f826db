package raftlog_test

import (
	"testing"
	"time"

	"twofold/raftlog/rafttest"
)

// Lemma 11 of docs/consistency.md: nobody is told that a node has an entry before its
// state machine knows what the entry touches. The two data nodes are the only quorum.
func TestAppended_BeforeAnybodyIsTold(t *testing.T) {
	for _, at := range []string{"leader", "follower"} {
		t.Run(at, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Start()
				lead := c.Leader()
				name, follower := lead, c.Other(lead)
				if at == "follower" {
					name = follower
				}
				mustPropose(t, c.Nodes[lead], "1")
				have(t, c, follower, []string{"1"})
				c.Net.Between(c.Net.Hold, "w", lead, follower)
				before := c.Machines[follower].Last()
				release := c.Machines[name].HoldAppended()
				p := c.Nodes[lead].Propose([]byte("2"))
				time.Sleep(100 * time.Millisecond)
				select {
				case <-p.Done():
					t.Errorf("it is committed: %v", p.Err())
				default:
				}
				if last := c.Machines[follower].Last(); last != before {
					t.Errorf("the follower has entry %d", last)
				}
				release()
				<-p.Done()
				if err := p.Err(); err != nil {
					t.Error(err)
				}
				c.Net.Between(c.Net.Release, "w", lead, follower)
				have(t, c, follower, []string{"1", "2"})
			})
		})
	}
}
