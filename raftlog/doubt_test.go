package raftlog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/logstore"
	"twofold/raftlog/rafttest"
)

// harm changes a byte of a stopped member's log: of the first entry in the last segment
// of a WAL, or of a bolt file as a whole.
func harm(t *testing.T, c *rafttest.Cluster, name string) {
	t.Helper()
	dir := c.Config(name).Dir
	path, at := filepath.Join(dir, "log.db"), int64(40)
	if files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.wal")); len(files) > 0 {
		path, at = files[len(files)-1], 60
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimRight(b, "\x00")) <= int(at) {
		t.Fatalf("%s holds nothing", path)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sound waits until a member's log is filled again.
func sound(t *testing.T, c *rafttest.Cluster, name string) {
	t.Helper()
	c.Eventually(time.Minute, name+" votes again", func() bool { return c.Nodes[name].Status().Damaged == "" })
	for _, left := range []string{"damaged", "wal.damaged", "log.db.damaged"} {
		if _, err := os.Stat(filepath.Join(c.Config(name).Dir, left)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", left, err)
		}
	}
}

// An entry is acknowledged by the two data nodes while the witness is away. One of
// them dies, the other one's log is damaged there: its vote would make a log without the
// entry the leader's. It has none until the first is back, and nothing is lost.
func TestDamagedLog_GivesNoVote(t *testing.T) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Configure = func(cfg *raftlog.Config) { cfg.LogKind = kind }
				c.Start()
				want := number(1, 5)
				lead := c.Leader()
				for _, s := range want {
					mustPropose(t, c.Nodes[lead], s)
				}
				other := c.Other(lead)
				have(t, c, other, want)
				time.Sleep(time.Second)
				c.Crash("w")
				c.Crash(other)
				c.Start(other)
				lead = c.Leader()
				other = c.Other(lead)
				for _, s := range number(6, 9) {
					mustPropose(t, c.Nodes[lead], s)
					want = append(want, s)
				}
				c.Crash(lead)
				c.Crash(other)
				harm(t, c, other)
				c.Start(other, "w")
				for range 200 {
					time.Sleep(100 * time.Millisecond)
					for name, n := range c.Nodes {
						if s, _ := n.Watch(); s.IsLeader {
							t.Fatalf("%s leads; the log of %s was damaged", name, other)
						}
					}
				}
				if s := c.Nodes[other].Status(); !strings.Contains(s.Damaged, "damaged") {
					t.Errorf("the status says %q", s.Damaged)
				}
				c.Start(lead)
				c.Leader()
				have(t, c, lead, want)
				have(t, c, other, want)
				sound(t, c, other)
			})
		})
	}
}

// Whoever's log was damaged is filled again by the leader, in a term of its own or in
// the one that the damage was found in, votes again, and nothing is lost.
func TestDamagedLog_IsFilled(t *testing.T) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		for _, who := range []string{"leader", "follower", "witness"} {
			t.Run(string(kind)+"/"+who, func(t *testing.T) {
				bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
					c.Configure = func(cfg *raftlog.Config) { cfg.LogKind = kind }
					c.Start()
					lead := c.Leader()
					want := number(1, 20)
					for i, s := range want {
						mustPropose(t, c.Nodes[lead], s)
						if i == 10 {
							if err := c.Nodes[lead].WriteMarker(); err != nil {
								t.Fatal(err)
							}
						}
					}
					name := map[string]string{"leader": lead, "follower": c.Other(lead), "witness": "w"}[who]
					time.Sleep(time.Second)
					c.Stop(name)
					harm(t, c, name)
					c.Start(name)
					if c.Nodes[name].Status().Damaged == "" {
						t.Fatal("the damage was not found")
					}
					sound(t, c, name)
					c.Stop(name)
					c.Start(name)
					if why := c.Nodes[name].Status().Damaged; why != "" {
						t.Fatalf("after a restart: %s", why)
					}
					// Its vote is needed now.
					gone := lead
					if who == "leader" {
						gone = c.Other(lead)
					}
					c.Crash(gone)
					lead = c.Leader()
					mustPropose(t, c.Nodes[lead], "more")
					want = append(want, "more")
					have(t, c, lead, want)
					c.Start(gone)
					have(t, c, "a", want)
					have(t, c, "b", want)
				})
			})
		}
	}
}

// What a leader has cut from its log reaches a damaged one in another way, and ends
// the doubt as well.
func TestDamagedLog_LeaderHasCut(t *testing.T) {
	for _, witness := range []bool{false, true} {
		bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
			c.Configure = func(cfg *raftlog.Config) {
				cfg.KeepLogBytes, cfg.MaxLogBytes, cfg.LogSegmentBytes = 100<<10, 200<<10, 64<<10
			}
			c.Start()
			lead := c.Leader()
			name := "w"
			if !witness {
				name = c.Other(lead)
			}
			want := pump(t, c.Nodes[lead], 30<<10)
			time.Sleep(time.Second)
			c.Crash(name)
			harm(t, c, name)
			want = append(want, pump(t, c.Nodes[lead], 1<<20)...)
			c.Eventually(2*time.Minute, "the leader has cut its log", func() bool { return c.Nodes[lead].Status().First > 30 })
			c.Start(name)
			sound(t, c, name)
			have(t, c, lead, want)
			if !witness {
				have(t, c, name, want)
			}
		})
	}
}

// Nobody can fill the log of a node that is alone: it says what to do.
func TestDamagedLog_Alone(t *testing.T) {
	bubble(t, rafttest.Trio[:1], func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		mustPropose(t, c.Nodes[c.Leader()], "one")
		c.Stop("a")
		c.Start("a") // the configuration is in a sealed segment now
		mustPropose(t, c.Nodes[c.Leader()], "two")
		c.Stop("a")
		harm(t, c, "a")
		err := c.Open("a")
		if err == nil || !strings.Contains(err.Error(), "twofold recover") {
			t.Fatal(err)
		}
		cfg := c.Config("a")
		if s, err := raftlog.Recover(cfg, true); err != nil || s.Damaged == "" {
			t.Fatalf("%+v, %v", s, err)
		}
		c.Start("a")
		mustPropose(t, c.Nodes[c.Leader()], "three")
	})
}
