package raftlog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/logstore"
	"twofold/raftlog/rafttest"
)

// All members stop and start again, properly or not, with states that are
// durable to different points: each machine is given what it lacks, once.
func TestRestart_ReplaysFromDurable(t *testing.T) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/crash=%v", kind, crash), func(t *testing.T) {
				bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
					c.Configure = func(cfg *raftlog.Config) { cfg.LogKind = kind }
					var want []string
					for round := range 4 {
						c.Start()
						lead := c.Leader()
						for i := range 20 {
							s := fmt.Sprintf("round %d entry %d", round, i)
							mustPropose(t, c.Nodes[lead], s)
							want = append(want, s)
							if i == 10 && round%2 == 1 {
								if err := c.Nodes["b"].WriteMarker(); err != nil {
									t.Fatal(err)
								}
							}
							if i == 15 {
								if err := c.Machines["a"].Flush(); err != nil { // without a marker
									t.Fatal(err)
								}
							}
						}
						have(t, c, "a", want)
						have(t, c, "b", want)
						for _, m := range c.Members {
							if crash {
								c.Crash(m.Name)
							} else {
								c.Stop(m.Name)
							}
						}
					}
					c.Start()
					have(t, c, "a", want)
					have(t, c, "b", want)
				})
			})
		}
	}
}

// pump proposes until the log has been given that many bytes.
func pump(t *testing.T, n *raftlog.Node, bytes int) (sent []string) {
	t.Helper()
	for bytes > 0 {
		s := strings.Repeat(fmt.Sprintf("%d,", bytes), 2000)
		mustPropose(t, n, s)
		sent = append(sent, s)
		bytes -= len(s)
	}
	return sent
}

// The log is cut when both data nodes hold its beginning durably, and not
// before: a node that is away finds all of it, at the other data node and at
// the witness.
func TestCompaction_Clamped(t *testing.T) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				const keep = 400 << 10
				c.Configure = func(cfg *raftlog.Config) {
					cfg.LogKind = kind
					cfg.KeepLogBytes = keep
					cfg.LogSegmentBytes = 64 << 10
				}
				c.Start()
				lead := c.Leader()
				other := c.Other(lead)
				want := pump(t, c.Nodes[lead], 2*keep)
				for _, m := range c.Members {
					c.Eventually(time.Minute, "the log of "+m.Name+" is cut", func() bool {
						s := c.Nodes[m.Name].Status()
						return s.First > 1 && s.LogBytes < keep+keep/4
					})
					if s := c.Nodes[m.Name].Status(); s.LogBytes < keep {
						t.Errorf("%s keeps %d bytes", m.Name, s.LogBytes)
					}
				}
				durable, _ := c.Machines[other].Durable()
				c.Crash(other)
				want = append(want, pump(t, c.Nodes[lead], 4*keep)...)
				time.Sleep(2 * time.Minute)
				for _, name := range []string{lead, "w"} {
					if s := c.Nodes[name].Status(); s.First > durable+1 || s.LogBytes < 4*keep {
						t.Errorf("%s cut the log to [%d, %d], %d bytes; %s is durable up to %d", name, s.First, s.Last, s.LogBytes, other, durable)
					}
				}
				// It comes back, also from the witness alone and through restarts.
				c.Crash(lead)
				c.Crash("w")
				c.Start(lead, "w")
				c.Leader()
				c.Start()
				have(t, c, other, want)
				for _, m := range c.Members {
					c.Eventually(time.Minute, "the log of "+m.Name+" is cut again", func() bool {
						return c.Nodes[m.Name].Status().LogBytes < keep+keep/4
					})
				}
			})
		})
	}
}

// An idle cluster writes nothing into its log.
func TestCompaction_IdleIsQuiet(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		mustPropose(t, c.Nodes[lead], "x")
		for range 20 {
			time.Sleep(10 * time.Second)
			for _, name := range []string{"a", "b"} {
				if err := c.Machines[name].Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s := c.Nodes[lead].Status(); s.Last > 8 || s.Watermark == 0 {
			t.Errorf("log [%d, %d], watermark %d after an idle time", s.First, s.Last, s.Watermark)
		}
	})
}

// A state and a log that do not belong together are refused, with a reason.
func TestOpen_LostState(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		const keep = 100 << 10
		c.Configure = func(cfg *raftlog.Config) { cfg.KeepLogBytes, cfg.LogSegmentBytes = keep, 64<<10 }
		c.Start()
		lead := c.Leader()
		want := pump(t, c.Nodes[lead], 4*keep)
		c.Eventually(time.Minute, "the log is cut", func() bool { return c.Nodes["a"].Status().First > 1 })
		have(t, c, "a", want)
		whole := c.Machines["a"]
		if err := whole.Flush(); err != nil {
			t.Fatal(err)
		}
		c.Stop("a")

		c.Machines["a"] = rafttest.NewMachine()
		if err := c.Open("a"); !errors.Is(err, raftlog.ErrCorrupt) || !strings.Contains(err.Error(), "state was lost") {
			t.Errorf("an empty state: %v", err)
		}
		c.Machines["a"] = whole.Restart()
		dir := c.Config("a").Dir
		if err := os.Rename(filepath.Join(dir, "wal"), filepath.Join(dir, "away")); err != nil {
			t.Fatal(err)
		}
		if err := c.Open("a"); !errors.Is(err, raftlog.ErrCorrupt) || !strings.Contains(err.Error(), "log was lost") {
			t.Errorf("no log: %v", err)
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "wal")), os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "wal"))); err != nil {
			t.Fatal(err)
		}
		mark := filepath.Join(dir, "marker")
		good, err := os.ReadFile(mark)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(mark, append(slices.Clone(good), 'x'), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Open("a"); !errors.Is(err, raftlog.ErrCorrupt) {
			t.Errorf("a damaged marker: %v", err)
		}
		if err := os.WriteFile(mark, good, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Start("a")
		have(t, c, "a", want)
	})
}

// A state that fell behind its marker, but not behind the log, is brought up
// from the log.
func TestOpen_StateBehindMarker(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		lead := c.Leader()
		want := number(1, 30)
		var early *rafttest.Machine
		for i, s := range want {
			mustPropose(t, c.Nodes[lead], s)
			if i == 10 {
				have(t, c, "a", want[:11])
				if err := c.Machines["a"].Flush(); err != nil {
					t.Fatal(err)
				}
				early = c.Machines["a"].Restart()
			}
		}
		have(t, c, "a", want)
		if err := c.Nodes["a"].WriteMarker(); err != nil {
			t.Fatal(err)
		}
		c.Crash("a")
		for _, m := range []*rafttest.Machine{early, rafttest.NewMachine()} {
			c.Machines["a"] = m
			c.Start("a")
			have(t, c, "a", want)
			c.Stop("a")
		}
	})
}

// A directory without a log is refused unless the cluster is being formed, and
// also then if the node has voted before.
func TestOpen_FreshDirectory(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = func(cfg *raftlog.Config) { cfg.Bootstrap = false }
		if err := c.Open("a"); err == nil || !strings.Contains(err.Error(), "holds no log") {
			t.Fatalf("without Bootstrap: %v", err)
		}
		c.Configure = nil
		c.Start()
		c.Leader()
		c.Stop("a")
		if err := os.RemoveAll(filepath.Join(c.Config("a").Dir, "wal")); err != nil {
			t.Fatal(err)
		}
		if err := c.Open("a"); err == nil || !strings.Contains(err.Error(), "holds no log") {
			t.Fatalf("with a vote and no log: %v", err)
		}
	})
}

func TestOpen_OtherMembers(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		c.Leader()
		c.Stop("a")
		c.Configure = func(cfg *raftlog.Config) {
			cfg.Members = []raftlog.Member{rafttest.Trio[0], rafttest.Trio[1], {Name: "v", Role: raftlog.RoleWitness}}
		}
		if err := c.Open("a"); err == nil || !strings.Contains(err.Error(), `the role of member "w" in the log`) {
			t.Fatal(err)
		}
	})
}

// A node whose log cannot be written says so, takes no further part, and the
// others go on.
func TestFatal_LogWriteFails(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Configure = func(cfg *raftlog.Config) { cfg.LogSegmentBytes = 64 << 10 }
		c.Start()
		lead := c.Leader()
		n := c.Nodes[lead]
		// The next segment cannot be created any more.
		dir := filepath.Join(c.Config(lead).Dir, "wal")
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		// The others do not get these entries: raft forgets who waits for one that they
		// commit while it is being shut down (see Node.close).
		c.Net.Between(c.Net.Hold, lead, c.Other(lead), "w")
		var all []*raftlog.Proposal
		for range 20 {
			all = append(all, n.Propose([]byte(strings.Repeat("x", 10000))))
		}
		for _, p := range all {
			if <-p.Done(); p.Err() == nil {
				t.Error("an entry is committed that nobody else has")
			}
		}
		c.Net.Between(c.Net.Release, lead, c.Other(lead), "w")
		select {
		case err := <-n.Fatal():
			t.Log(err)
		case <-time.After(5 * time.Second):
			t.Fatal("not reported")
		}
		next := c.Leader(lead)
		mustPropose(t, c.Nodes[next], "goes on")
		if s, _ := n.Watch(); s.IsLeader {
			t.Errorf("the failed node says %+v", s)
		}
	})
}

func TestConfig_Validate(t *testing.T) {
	good := func() raftlog.Config {
		return raftlog.Config{Name: "a", Dir: "x", Role: raftlog.RoleData, Members: rafttest.Trio, Net: rafttest.NewNetwork().Endpoint("a")}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*raftlog.Config){
		"no directory":       func(c *raftlog.Config) { c.Dir = "" },
		"no net":             func(c *raftlog.Config) { c.Net = nil },
		"not a member":       func(c *raftlog.Config) { c.Name = "c" },
		"other role":         func(c *raftlog.Config) { c.Role = raftlog.RoleWitness },
		"no members":         func(c *raftlog.Config) { c.Members = nil },
		"listed twice":       func(c *raftlog.Config) { c.Members = append(slices.Clone(c.Members), c.Members[0]) },
		"unknown role":       func(c *raftlog.Config) { c.Members = []raftlog.Member{{Name: "a", Role: "spare"}} },
		"no data node":       func(c *raftlog.Config) { c.Members = []raftlog.Member{{Name: "a", Role: raftlog.RoleWitness}} },
		"short heartbeat":    func(c *raftlog.Config) { c.Timing.HeartbeatTimeout = time.Millisecond },
		"long lease":         func(c *raftlog.Config) { c.Timing.LeaderLeaseTimeout = time.Minute },
		"impatient election": func(c *raftlog.Config) { c.Timing.ElectionTimeout = 100 * time.Millisecond },
	} {
		c := good()
		spoil(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
