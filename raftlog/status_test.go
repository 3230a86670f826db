package raftlog_test

import (
	"context"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// Who has just died or hangs is not reachable, however fresh its last word is.
func TestFreshStatus_TellsWhoAnswersNow(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		ask := func() map[string]raftlog.PeerStatus {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			peers := map[string]raftlog.PeerStatus{}
			for _, p := range c.Nodes[lead].FreshStatus(ctx).Peers {
				peers[p.Name] = p
			}
			return peers
		}
		mustPropose(t, c.Nodes[lead], "x")
		b := c.Other(lead)
		c.Eventually(5*time.Second, "both answer with what they hold", func() bool {
			p := ask()
			return p[b].Reachable && p["w"].Reachable && p[b].Last == c.Nodes[lead].Status().Last
		})
		c.Net.Between(c.Net.Hold, lead, "w") // hangs
		c.Stop(b)                            // gone
		begin := time.Now()
		if p := ask(); p[b].Reachable || p["w"].Reachable {
			t.Errorf("said to answer: %+v", p)
		}
		if d := time.Since(begin); d > 600*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		c.Net.Between(c.Net.Release, lead, "w")
	})
}
