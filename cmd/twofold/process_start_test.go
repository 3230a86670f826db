//go:build process

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"twofold/nfs/client"
)

// lastLine is what a process said last.
func lastLine(p *program) string {
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	return lines[len(lines)-1]
}

// refused starts a node that must not run, and checks that it ends, that its
// last line says why, and that it says so once.
func (c *procCluster) refused(config, want string) {
	c.t.Helper()
	p := c.threads.start(c.t, "serve", "--config", config)
	if code := p.exit(c.t); code != exitError {
		c.t.Errorf("exit code %d, want %d", code, exitError)
	}
	if line := lastLine(p); !strings.HasPrefix(line, "twofold: ") || !strings.Contains(line, want) {
		c.t.Errorf("the last line is\n%s\nwant %q in it", line, want)
	}
	if n := strings.Count(p.stderr.String(), "\ntwofold: "); n > 1 {
		c.t.Errorf("%d lines begin with twofold:\n%s", n, p.stderr.String())
	}
}

// Two processes on one directory would both write its log. The second one says
// so and ends; the first does not notice.
func TestProcess_SameDirectoryTwice(t *testing.T) {
	c := newProcCluster(t)
	mkdir(t, c.nfsAddrs()[0], "before")
	first := c.running["b"]
	second := *c.testCluster.cfgs["b"]
	ports := quietPorts(t, 3)
	second.Listen, second.HTTP.Listen, second.NFS.Listen = ports[0], ports[1], ports[2]
	text, err := second.effective()
	if err != nil {
		t.Fatal(err)
	}
	path := writeConfig(t, string(text))
	c.refused(path, "is in use")
	checkDir(t, c.nfsAddrs()[1], "before")
	if leader := c.awaitHealthy(); leader == "" {
		t.Error("no leader")
	}
	if first.stop(t, syscall.SIGTERM) != exitOK {
		t.Error("the first process did not end well")
	}
}

// A directory of another cluster gets nowhere even if the two clusters, their
// nodes and their configs have the same names, so that only the recorded
// identities tell them apart. The others go on, and nothing of one volume gets
// into the other.
func TestProcess_DirectoryOfAnotherCluster(t *testing.T) {
	c, stranger := newProcCluster(t), newProcCluster(t)
	mkdir(t, c.nfsAddrs()[0], "ours")
	mkdir(t, stranger.nfsAddrs()[0], "theirs")
	stranger.stopAll()
	c.running["b"].stop(t, syscall.SIGTERM)
	own := c.cfgs["b"].Dir
	c.cfgs["b"].Dir = stranger.cfgs["b"].Dir
	c.write(t, "b")
	c.start("b")
	for _, peer := range []string{"a", "w"} {
		eventually(t, "b says why "+peer+" refuses it", func() bool {
			return strings.Contains(c.running["b"].stderr.String(), "node "+peer+" refuses: node b ")
		})
	}
	if s := c.status("b"); s == nil || s.Health != noQuorum || s.Ready {
		t.Errorf("status of the stranger: %+v", s)
	}
	c.ready(t, "a")
	checkDir(t, c.nfsAddrs()[0], "ours")
	mkdir(t, c.nfsAddrs()[0], "ours, too")
	c.kill("b")

	c.cfgs["b"].Dir = own
	c.write(t, "b")
	c.start("b")
	c.awaitHealthy()
	checkDir(t, c.nfsAddrs()[1], "ours, too")
	c.checkDigests()
	c.stopAll()
	stranger.startAll()
	checkDir(t, stranger.nfsAddrs()[1], "theirs")
	conn, root := session(t, stranger.nfsAddrs()[1])
	if res, err := conn.Lookup(t.Context(), root, "ours"); err != nil || res.Status != client.ErrNoEnt {
		t.Errorf("LOOKUP of the other cluster's name: %v, %v", res.Status, err)
	}
	stranger.checkDigests()
}

// A witness that was wiped has forgotten its vote, too (a wiped data node is in
// TestServe_WipedNodeIsRefused). The data nodes refuse it and go on, under load.
func TestProcess_WipedWitness(t *testing.T) {
	c := newProcCluster(t)
	l := newLoad(t, c)
	l.start()
	l.progress(afterwards, 0, 1)
	c.kill("w")
	if err := os.RemoveAll(c.cfgs["w"].Dir); err != nil {
		t.Fatal(err)
	}
	c.init(t, "w")
	c.refused(c.paths["w"], "cannot join under this name")
	l.progress(afterwards, 0, 1)
	l.end()
	l.verify(t)
	c.checkDigests()
}
