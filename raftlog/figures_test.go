//go:build figures

package raftlog_test

import (
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
)

// trials is how often each pause is measured.
const trials = 20

// pauses prints the median and the extremes of what was measured.
func pauses(t *testing.T, what string, all []time.Duration) {
	t.Helper()
	slices.Sort(all)
	t.Logf("%-48s n=%d min %v median %v max %v", what, len(all), all[0].Round(time.Millisecond/10),
		all[len(all)/2].Round(time.Millisecond/10), all[len(all)-1].Round(time.Millisecond/10))
}

// How long nobody could write when the leader is killed, and when it hands over.
func TestFigures_Pause(t *testing.T) {
	c := newTCPTrio(t, nil)
	var ready, written []time.Duration
	for range trials {
		lead, other := c.leader()
		c.leases()
		writeOne(t, c.nodes[lead])
		begin := time.Now()
		c.kill(lead)
		c.until("the other leads", func() bool { s, _ := c.nodes[other].Watch(); return s.Ready })
		ready = append(ready, time.Since(begin))
		writeOne(t, c.nodes[other])
		written = append(written, time.Since(begin))
		c.restart(lead)
	}
	pauses(t, "leader killed, until the other is ready", ready)
	pauses(t, "leader killed, until the other has written", written)
	var moved []time.Duration
	for range trials {
		lead, other := c.leader()
		c.leases()
		writeOne(t, c.nodes[lead])
		begin := time.Now()
		if err := c.nodes[lead].TransferLeadership(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		c.until("the other leads", func() bool { s, _ := c.nodes[other].Watch(); return s.Ready })
		writeOne(t, c.nodes[other])
		moved = append(moved, time.Since(begin))
	}
	pauses(t, "handed over, until the other has written", moved)
	var follower []time.Duration
	for range trials {
		lead, other := c.leader()
		c.leases()
		c.kill(other)
		begin := time.Now()
		writeApplied(c, lead)
		follower = append(follower, time.Since(begin))
		c.restart(other)
	}
	pauses(t, "follower killed, until a write is visible", follower)
}

func writeOne(t *testing.T, n *raftlog.Node) {
	t.Helper()
	p := n.Propose([]byte("x"))
	if <-p.Done(); p.Err() != nil {
		t.Fatal(p.Err())
	}
}

// What the witness's disk and all processors do with and without entries for it
// being held back.
func TestFigures_LazyWitness(t *testing.T) {
	for _, hold := range []time.Duration{1, 0} { // 0 is the default
		var synced appends
		c := newTCPTrio(t, func(cfg *raftlog.Config) {
			cfg.Timing.WitnessHold = hold
			if cfg.Name == "w" {
				cfg.Metrics = &synced
			}
		})
		lead, _ := c.leader()
		c.leases()
		for _, callers := range []int{1, 8} {
			before, cpu := synced.n.Load(), cpuTime()
			var wrote atomic.Int64
			var wg sync.WaitGroup
			end := time.Now().Add(3 * time.Second)
			for range callers {
				wg.Go(func() {
					for time.Now().Before(end) {
						writeApplied(c, lead)
						wrote.Add(1)
					}
				})
			}
			wg.Wait()
			n := wrote.Load()
			t.Logf("hold %v, %d callers: %d writes/s, %d syncs of the witness for 1000, %d µs of CPU each", hold, callers,
				n/3, (synced.n.Load()-before)*1000/n, (cpuTime()-cpu).Microseconds()/n)
		}
	}
}

// No election takes place while the processors are busy, be it with other processes
// or with other goroutines of this one.
func TestFigures_NoFalseElections(t *testing.T) {
	for what, start := range map[string]func() (stop func()){"processes": busyProcesses, "goroutines": busyGoroutines} {
		c := newTCPTrio(t, nil)
		lead, other := c.leader()
		c.leases()
		before := c.nodes["w"].Term()
		stop := start()
		without := map[string]int{}
		looks := 0
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); looks++ {
			p := c.nodes[lead].Propose([]byte("x"))
			if <-p.Done(); p.Err() != nil {
				lead, other = c.leader()
			}
			for role, name := range map[string]string{"leader": lead, "follower": other} {
				if _, ok := c.nodes[name].Lease(); !ok {
					without[role]++
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
		stop()
		t.Logf("%d busy %s for 20 s: %d elections; of %d looks the leader had no lease in %d, the follower in %d",
			4*runtime.NumCPU(), what, c.nodes["w"].Term()-before, looks, without["leader"], without["follower"])
	}
}

func busyGoroutines() (stop func()) {
	var stopped atomic.Bool
	var wg sync.WaitGroup
	for range 4 * runtime.NumCPU() {
		wg.Go(func() {
			for x := 1; ; x = x*7 + 1 {
				if x%1024 == 1 && stopped.Load() {
					return
				}
			}
		})
	}
	return func() {
		stopped.Store(true)
		wg.Wait()
	}
}

func busyProcesses() (stop func()) {
	var all []*exec.Cmd
	for range 4 * runtime.NumCPU() {
		c := exec.Command("sh", "-c", "while :; do :; done")
		if c.Start() == nil {
			all = append(all, c)
		}
	}
	return func() {
		for _, c := range all {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
}
