package raftlog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// The log is kept for whoever is away, a witness too: without a snapshot it
// comes back by the log or not at all.
func TestCompaction_WaitsForWhoIsAway(t *testing.T) {
	for _, away := range []string{"w", "b"} {
		t.Run(away, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Configure = func(cfg *raftlog.Config) {
					cfg.KeepLogBytes, cfg.LogSegmentBytes = 64<<10, 128<<10
					cfg.Timing.PingInterval, cfg.Timing.WatermarkInterval = 50*time.Millisecond, 50*time.Millisecond
				}
				c.Start()
				c.Leader()
				c.Stop(away)
				lead := c.Leader()
				filler := strings.Repeat("x", 8<<10)
				for i := range 100 {
					mustPropose(t, c.Nodes[lead], fmt.Sprint(i, filler))
				}
				for range 20 { // time for watermarks and markers
					mustPropose(t, c.Nodes[lead], filler)
					if err := c.Nodes[lead].WriteMarker(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				c.Start(away)
				last := c.Nodes[lead].Status().Commit
				c.Eventually(10*time.Second, "the member that was away has the log", func() bool {
					return c.Nodes[away].Status().Last >= last
				})
				if away == "w" { // and it counts: the quorum is the leader and the witness
					c.Stop(c.Other(lead))
					mustPropose(t, c.Nodes[c.Leader()], "with the witness")
				}
			})
		})
	}
}
