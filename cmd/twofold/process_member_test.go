//go:build process

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/raftlog"
)

// newcomer writes the config of a new node and formats it to join. It takes the
// ports of the node whose place it takes, and its name if name is empty.
func (c *procCluster) newcomer(old, name string) string {
	c.t.Helper()
	if name == "" {
		name = old
	}
	cfg := *c.cfgs[old]
	cfg.Node, cfg.Dir = name, filepath.Join(c.t.TempDir(), name)
	cfg.Members = slices.Clone(cfg.Members)
	for i := range cfg.Members {
		if cfg.Members[i].Name == old {
			cfg.Members[i].Name = name
		}
	}
	c.cfgs[name] = &cfg
	c.paths[name] = filepath.Join(filepath.Dir(cfg.Dir), "twofold.yaml")
	c.write(c.t, name)
	p := c.threads.start(c.t, "init", "--join", "--config", c.paths[name])
	if code := p.exit(c.t); code != exitOK || !strings.Contains(p.stdout.String(), "--identity") {
		c.t.Fatalf("init --join %s: exit code %d: %s", name, code, p.stderr.String())
	}
	return name
}

// startUp starts a node and waits until it answers people.
func (c *procCluster) startUp(name string) {
	c.t.Helper()
	c.start(name)
	eventually(c.t, name+" answers", func() bool { return c.status(name) != nil })
}

// twofold runs a command and returns what it printed.
func (c *procCluster) twofold(want int, args ...string) string {
	c.t.Helper()
	p := c.threads.start(c.t, args...)
	code := p.exit(c.t)
	out := p.stdout.String() + p.stderr.String()
	if code != want {
		c.t.Fatalf("twofold %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return out
}

// members is twofold member list at a node.
func (c *procCluster) members(node string) (r membersReply) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.twofold(exitOK, "member", "list", "--json", "--config", c.paths[node])), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// leaderAmong waits for a leader and returns it.
func (c *procCluster) leaderAmong(names ...string) string {
	c.t.Helper()
	leader := ""
	eventually(c.t, "a leader", func() bool {
		for _, name := range names {
			if s := c.status(name); s != nil && s.Ready && slices.Contains(names, s.Leader) {
				leader = s.Leader
				return true
			}
		}
		return false
	})
	return leader
}

// A data node is lost with its disk, and a new one takes its place under its name,
// while clients work at both addresses. What was acknowledged is at the new node.
// The old directory, should it turn up, is refused for ever.
func TestProcess_MemberReplaceDeadDataNode(t *testing.T) {
	c := newProcCluster(t)
	l := newLoad(t, c)
	for _, role := range []string{"follower", "leader"} {
		leader := c.awaitHealthy()
		dead := map[string]string{"leader": leader, "follower": other(leader)}[role]
		left := other(dead)
		oldPath := c.paths[dead]
		l.start()
		l.progress(warmUp, 0, 1)
		began := c.kill(dead)
		l.progress(afterwards, dataIndex(left))
		c.newcomer(dead, "")
		c.startUp(dead)
		eventually(t, left+" leads", func() bool { s := c.status(left); return s != nil && s.Leader == left && s.Ready })
		out := c.twofold(exitOK, "member", "replace", dead, "--addr", c.cfgs[dead].Listen, "--config", c.paths[left])
		t.Logf("%s replaced (%s), after %s:\n%s", dead, role, time.Since(began).Round(time.Millisecond), out)
		c.awaitHealthy()
		l.progress(afterwards, 0, 1)
		l.end()
		longest, _ := l.pause(dataIndex(left))
		t.Logf("the slowest change at %s took %s", left, longest.Round(time.Millisecond))
		l.verify(t)
		c.checkDigests()

		p := c.threads.start(t, "serve", "--config", c.elsewhere(oldPath, dead))
		if code := p.exit(t); code != exitError || !strings.Contains(p.stderr.String(), "replaced") && !strings.Contains(p.stderr.String(), "removed") {
			t.Errorf("the old node ends with exit code %d", code)
		}
	}
	c.stopAll()
}

// elsewhere is a copy of a config file with other ports, so that an old node does
// not fail for the ports of the new one.
func (c *procCluster) elsewhere(path, name string) string {
	c.t.Helper()
	cfg, err := loadConfig(path)
	if err != nil {
		c.t.Fatal(err)
	}
	addrs, err := freeAddrs(3)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.Listen, cfg.HTTP.Listen = addrs[0], addrs[1]
	if cfg.isData() {
		cfg.NFS.Listen = addrs[2]
	}
	text, err := cfg.effective()
	if err != nil {
		c.t.Fatal(err)
	}
	out := filepath.Join(c.t.TempDir(), name+"-elsewhere.yaml")
	if err := os.WriteFile(out, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// The witness is lost, and one of another name takes its place while clients work.
// Then it is one of two on which everything depends.
func TestProcess_MemberReplaceDeadWitness(t *testing.T) {
	c := newProcCluster(t)
	l := newLoad(t, c)
	c.awaitHealthy()
	l.start()
	l.progress(warmUp, 0, 1)
	c.kill("w")
	c.newcomer("w", "v")
	c.startUp("v")
	leader := c.leaderAmong("a", "b")
	t.Log(c.twofold(exitOK, "member", "replace", "w", "--new", "v", "--addr", c.cfgs["v"].Listen, "--config", c.paths[leader]))
	leader = c.awaitHealthy()
	l.progress(afterwards, 0, 1)
	l.end()
	l.verify(t)
	c.checkDigests()
	c.kill(leader)
	rest := other(leader)
	eventually(t, rest+" goes on with the new witness", func() bool { s := c.status(rest); return s != nil && s.Ready })
	mkdir(t, c.cfgs[rest].NFS.Listen, "with-the-new-witness")
	for _, name := range []string{rest, "v"} {
		if code := c.running[name].stop(t, syscall.SIGTERM); code != exitOK {
			t.Errorf("%s stops with exit code %d", name, code)
		}
	}
}

// A living data node is replaced by one of another name: that one votes first, then
// the old one is removed and ends by itself, for good. The commands refuse what
// would leave the cluster without a quorum or a copy.
func TestProcess_MemberReplaceLivingDataNode(t *testing.T) {
	c := newProcCluster(t)
	leader := c.awaitHealthy()
	old := other(leader)
	mkdir(t, c.nfsAddrs()[0], "before")
	config := []string{"--config", c.paths[leader]}
	refused := func(want string, args ...string) {
		t.Helper()
		if out := c.twofold(exitError, append(args, config...)...); !strings.Contains(out, want) {
			t.Errorf("%v: %s", args, out)
		}
	}
	refused("leads", "member", "remove", leader)
	refused("no room", "member", "add", "c", "--role", "data", "--addr", "127.0.0.1:9")
	refused("is a member", "member", "add", old, "--role", "data", "--addr", "127.0.0.1:9")
	refused("stop it first", "member", "replace", old, "--addr", "127.0.0.1:9")
	refused("refused", "member", "replace", old, "--new", "c", "--addr", "127.0.0.1:9")
	if out := c.twofold(exitError, "member", "remove", leader, "--config", c.paths[old]); !strings.Contains(out, "give the command there") {
		t.Errorf("a change at the follower: %s", out)
	}

	addrs, err := freeAddrs(3)
	if err != nil {
		t.Fatal(err)
	}
	c.newcomer(old, "c")
	cfg := c.cfgs["c"]
	cfg.Listen, cfg.HTTP.Listen, cfg.NFS.Listen = addrs[0], addrs[1], addrs[2]
	for i := range cfg.Members {
		if cfg.Members[i].Name == "c" {
			cfg.Members[i].Addr = addrs[0]
		}
	}
	c.write(t, "c")
	c.startUp("c")
	refused("is this the right machine?", "member", "replace", old, "--new", "c", "--addr", addrs[0], "--identity", "00")
	t.Log(c.twofold(exitOK, append([]string{"member", "replace", old, "--new", "c", "--addr", addrs[0]}, config...)...))
	if code := c.running[old].exit(t); code != exitError || !strings.Contains(c.running[old].stderr.String(), "removed") {
		t.Errorf("the removed node ends with exit code %d", code)
	}
	if out := c.twofold(exitError, "serve", "--config", c.paths[old]); !strings.Contains(out, "out of its cluster for ever") {
		t.Errorf("the removed node starts again: %s", out)
	}
	c.ready(t, "c")
	checkDir(t, cfg.NFS.Listen, "before")
	mkdir(t, cfg.NFS.Listen, "after")
	r := c.members("c")
	if len(r.Members) != 3 || !slices.ContainsFunc(r.Members, func(m memberStatus) bool {
		return m.Name == "c" && m.Voter && m.Role == raftlog.RoleData && m.Addr == addrs[0]
	}) {
		t.Errorf("members: %+v", r.Members)
	}
	for _, name := range []string{leader, "c", "w"} {
		if code := c.running[name].stop(t, syscall.SIGTERM); code != exitOK {
			t.Errorf("%s stops with exit code %d", name, code)
		}
	}
}
