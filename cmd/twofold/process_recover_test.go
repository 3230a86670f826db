//go:build process

package main

import (
	"strings"
	"syscall"
	"testing"
)

// Two of three are lost for good. The survivor goes on alone after an operator's
// word, and nothing less; it has what it had. The lost ones, when they come back, are
// refused by it for ever and end by themselves, also if they found each other first
// and were a quorum of the old cluster until they met it. New members join it.
func TestProcess_RecoverAlone(t *testing.T) {
	c := newProcCluster(t)
	c.awaitHealthy()
	mkdir(t, c.nfsAddrs()[0], "before")
	c.checkDigests()
	if out := c.twofold(exitError, "recover", "--config", c.paths["a"]); !strings.Contains(out, "in use") {
		t.Errorf("recover beside the running node: %s", out)
	}
	c.stopAll()

	for _, refused := range []struct {
		args []string
		want string
	}{
		{[]string{"--config", c.paths["w"]}, "is the witness"},
		{[]string{"--config", c.paths["a"]}, "nothing was changed"},
		{[]string{"--config", c.paths["a"], "--i-lost", "b", "--cluster", "test"}, "nothing was changed"},
		{[]string{"--config", c.paths["a"], "--i-lost", "b w", "--cluster", "tset"}, "nothing was changed"},
	} {
		if out := c.twofold(exitError, append([]string{"recover"}, refused.args...)...); !strings.Contains(out, refused.want) {
			t.Errorf("%v: %s", refused.args, out)
		}
	}
	c.startAll() // nothing was changed indeed
	c.awaitHealthy()
	c.stopAll()

	t.Log(c.twofold(exitOK, "recover", "--config", c.paths["a"], "--i-lost", "w b", "--cluster", "test"))
	// Without having met the survivor the lost ones are still a quorum of the old
	// cluster: that is what the operator has to keep from happening.
	c.start("b")
	c.start("w")
	c.ready(t, "b")
	c.start("a")
	c.ready(t, "a")
	for _, name := range []string{"b", "w"} {
		if code := c.running[name].exit(t); code != exitError || !strings.Contains(c.running[name].stderr.String(), "was recovered without") {
			t.Errorf("%s ends with exit code %d", name, code)
		}
		if out := c.twofold(exitError, "serve", "--config", c.paths[name]); !strings.Contains(out, "out of its cluster for ever") {
			t.Errorf("%s starts again: %s", name, out)
		}
	}
	checkDir(t, c.cfgs["a"].NFS.Listen, "before")
	mkdir(t, c.cfgs["a"].NFS.Listen, "alone")

	for _, m := range []struct{ old, name, role string }{{"w", "v", "witness"}, {"b", "c", "data"}} {
		c.newcomer(m.old, m.name)
		c.startUp(m.name)
		t.Log(c.twofold(exitOK, "member", "add", m.name, "--role", m.role, "--addr", c.cfgs[m.name].Listen, "--config", c.paths["a"]))
	}
	c.ready(t, "c")
	checkDir(t, c.cfgs["c"].NFS.Listen, "before")
	checkDir(t, c.cfgs["c"].NFS.Listen, "alone")
	s := c.status("c")
	if s == nil || s.Health != healthy {
		t.Errorf("status: %+v", s)
	}
	c.kill("a")
	c.ready(t, "c")
	mkdir(t, c.cfgs["c"].NFS.Listen, "after")
	for _, name := range []string{"c", "v"} {
		if code := c.running[name].stop(t, syscall.SIGTERM); code != exitOK {
			t.Errorf("%s stops with exit code %d", name, code)
		}
	}
}
