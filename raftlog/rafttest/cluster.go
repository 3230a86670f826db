package rafttest

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"twofold/raftlog"
)

// Cluster is a set of members in one process, on a Network.
type Cluster struct {
	t        testing.TB
	Net      *Network
	Members  []raftlog.Member
	Nodes    map[string]*raftlog.Node // those that run
	Machines map[string]*Machine      // of the data nodes, also while they are down
	Clocks   map[string]*Clock
	// Configure may change a member's config before it is opened.
	Configure func(*raftlog.Config)

	machines sync.Mutex // held to change Machines, and to look another one up
	root     string
	dirs     map[string]string
	joiners  map[string]raftlog.Role // members that are not founders
	lives    int                     // counts directories
}

// Trio is two data nodes and a witness.
var Trio = []raftlog.Member{
	{Name: "a", Role: raftlog.RoleData},
	{Name: "b", Role: raftlog.RoleData},
	{Name: "w", Role: raftlog.RoleWitness},
}

// NewCluster prepares members that are not started yet. Whatever runs at the
// end of the test is closed then.
func NewCluster(t testing.TB, members []raftlog.Member) *Cluster {
	c := &Cluster{
		t: t, Net: NewNetwork(), Members: members,
		Nodes: map[string]*raftlog.Node{}, Machines: map[string]*Machine{}, Clocks: map[string]*Clock{}, dirs: map[string]string{},
		root: t.TempDir(), joiners: map[string]raftlog.Role{},
	}
	for i, m := range members {
		// Each machine was started at another time.
		c.Clocks[m.Name] = NewClock(time.Duration(i+1) * time.Hour)
		c.dirs[m.Name] = filepath.Join(c.root, m.Name)
		if m.Role == raftlog.RoleData {
			c.Machines[m.Name] = NewMachine()
			c.Machines[m.Name].peer = c.machine
		}
	}
	return c
}

func (c *Cluster) machine(name string) *Machine {
	c.machines.Lock()
	defer c.machines.Unlock()
	return c.Machines[name]
}

// Config returns the configuration that a member starts with.
func (c *Cluster) Config(name string) raftlog.Config {
	cfg := raftlog.Config{
		Name: name, Dir: c.dirs[name], Members: c.Members, Bootstrap: true,
		LogSegmentBytes: 1 << 20, Clock: c.Clocks[name], Logger: slog.New(slog.DiscardHandler),
	}
	if os.Getenv("RAFTTEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, m := range c.Members {
		if m.Name == name {
			cfg.Role = m.Role
		}
	}
	if role, ok := c.joiners[name]; ok {
		cfg.Role, cfg.Bootstrap, cfg.Join = role, false, true
	}
	if c.Configure != nil {
		c.Configure(&cfg)
	}
	return cfg
}

// Join prepares a new node with an empty directory, under a name of its own or
// under that of a member that is gone. Open starts it.
func (c *Cluster) Join(m raftlog.Member) {
	c.lives++
	c.dirs[m.Name] = filepath.Join(c.root, fmt.Sprintf("%s-joins-%d", m.Name, c.lives))
	c.joiners[m.Name] = m.Role
	c.Clocks[m.Name] = NewClock(time.Duration(c.lives) * time.Minute)
	c.machines.Lock()
	defer c.machines.Unlock()
	delete(c.Machines, m.Name)
	if m.Role == raftlog.RoleData {
		c.Machines[m.Name] = NewMachine()
		c.Machines[m.Name].peer = c.machine
	}
}

// Open starts a member and returns its error.
func (c *Cluster) Open(name string) error {
	cfg := c.Config(name)
	cfg.Net = c.Net.Endpoint(name)
	var sm raftlog.StateMachine
	if cfg.Role == raftlog.RoleData {
		sm = c.Machines[name]
	}
	n, err := raftlog.Open(cfg, sm)
	if err != nil {
		c.Net.Detach(name)
		return err
	}
	c.Nodes[name] = n
	return nil
}

// Start starts members, all that do not run if none is named.
func (c *Cluster) Start(names ...string) {
	c.t.Helper()
	for _, m := range c.Members {
		if c.Nodes[m.Name] != nil || len(names) > 0 && !contains(names, m.Name) {
			continue
		}
		if err := c.Open(m.Name); err != nil {
			c.t.Fatalf("starting %s: %v", m.Name, err)
		}
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// Stop closes a member properly. Its state keeps what was durable.
func (c *Cluster) Stop(name string) {
	c.t.Helper()
	n := c.Nodes[name]
	delete(c.Nodes, name)
	if err := n.Close(); err != nil {
		c.t.Errorf("closing %s: %v", name, err)
	}
	c.Net.Detach(name)
	c.restartMachine(name)
}

func (c *Cluster) restartMachine(name string) {
	if m := c.Machines[name]; m != nil {
		if err := m.Err(); err != nil {
			c.t.Errorf("machine of %s: %v", name, err)
		}
		c.machines.Lock()
		defer c.machines.Unlock()
		c.Machines[name] = m.Restart()
	}
}

// Frozen is what a member had on disk at one moment.
type Frozen struct {
	dir     string
	machine *Machine
}

// Freeze keeps what a member has on disk now. It may be called from a failpoint.
func (c *Cluster) Freeze(name string) (*Frozen, error) {
	m := c.machine(name)
	f := &Frozen{dir: filepath.Join(c.t.TempDir(), name)}
	if m != nil {
		f.machine = m.Restart()
	}
	return f, os.CopyFS(f.dir, os.DirFS(c.dirs[name]))
}

// Thaw stops a member and starts it again with what it had when it was frozen.
func (c *Cluster) Thaw(name string, f *Frozen) {
	c.t.Helper()
	c.Stop(name)
	c.dirs[name] = f.dir
	if f.machine != nil {
		c.machines.Lock()
		c.Machines[name] = f.machine
		c.machines.Unlock()
	}
	c.Start(name)
}

// Crash takes a member away as kill -9 would: its files stay as they are at
// this moment. The old node is closed later, on files that nobody looks at.
func (c *Cluster) Crash(name string) {
	c.t.Helper()
	c.Net.Detach(name)
	time.Sleep(time.Millisecond) // in a bubble: until its last write is done
	c.lives++
	old, dir := c.dirs[name], filepath.Join(c.root, fmt.Sprintf("%s-crashed-%d", name, c.lives))
	if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
		c.t.Fatal(err)
	}
	n := c.Nodes[name]
	delete(c.Nodes, name)
	m := c.Machines[name]
	c.restartMachine(name)
	if err := n.Close(); err != nil {
		c.t.Errorf("closing %s: %v", name, err)
	}
	if m != nil && m.Err() != nil {
		c.t.Errorf("machine of %s: %v", name, m.Err())
	}
	c.dirs[name] = dir
	if err := os.RemoveAll(old); err != nil {
		c.t.Error(err)
	}
}

// Close closes what runs, and reports every breach of contract.
func (c *Cluster) Close() {
	c.t.Helper()
	for name := range c.Nodes {
		c.Stop(name)
	}
}

// Eventually waits until a condition holds. In a synctest bubble that costs no
// time.
func (c *Cluster) Eventually(within time.Duration, what string, cond func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Leader waits for a leader that is ready, and returns its name. Nodes in but
// are not considered.
func (c *Cluster) Leader(but ...string) string {
	c.t.Helper()
	var name string
	c.Eventually(10*time.Second, "a leader that is ready", func() bool {
		for n, node := range c.Nodes {
			if s, _ := node.Watch(); s.Ready && !contains(but, n) {
				name = n
				return true
			}
		}
		return false
	})
	return name
}

// Other returns the other data node of a Trio.
func (c *Cluster) Other(name string) string {
	if name == "a" {
		return "b"
	}
	return "a"
}
