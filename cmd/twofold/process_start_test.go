//go:build process

package main

import (
	"maps"
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

// refused starts a node that must not run, and checks that it ends and says why
// in the only line that it writes.
func (c *procCluster) refused(config, want string) {
	c.t.Helper()
	p := c.threads.start(c.t, "serve", "--config", config)
	if code := p.exit(c.t); code != exitError {
		c.t.Errorf("exit code %d, want %d", code, exitError)
	}
	checkOneLine(c.t, p.stderr.String(), want)
}

// Two processes on one directory would both write its log. The second one says
// so and ends; the first does not notice.
func TestProcess_SameDirectoryTwice(t *testing.T) {
	c := newProcCluster(t)
	mkdir(t, c.nfsAddrs()[0], "before")
	first := c.running["b"]
	second := *c.testCluster.cfgs["b"]
	ports, err := freeAddrs(3)
	if err != nil {
		t.Fatal(err)
	}
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

// twoClusters are two whose nodes and configs have the same names, so that only
// the recorded identities tell them apart. Each volume has a directory of its
// own; b of the first is stopped, and so is the whole second.
func twoClusters(t *testing.T) (c, stranger *procCluster) {
	t.Helper()
	c, stranger = newProcCluster(t), newProcCluster(t)
	mkdir(t, c.nfsAddrs()[0], "ours")
	mkdir(t, stranger.nfsAddrs()[0], "theirs")
	stranger.stopAll()
	c.running["b"].stop(t, syscall.SIGTERM)
	return c, stranger
}

// useDir lets b start on a directory.
func (c *procCluster) useDir(dir string) {
	c.t.Helper()
	c.cfgs["b"].Dir = dir
	c.write(c.t, "b")
}

// checkApart starts both clusters as they belong and looks for what got from one
// volume into the other.
func checkApart(t *testing.T, c, stranger *procCluster) {
	t.Helper()
	c.awaitHealthy()
	checkDir(t, c.nfsAddrs()[1], "ours")
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

// A node with a directory of another cluster ends with one line before it has
// changed anything, and the others go on.
func TestProcess_DirectoryOfAnotherCluster(t *testing.T) {
	c, stranger := twoClusters(t)
	own, other := c.cfgs["b"].Dir, stranger.cfgs["b"].Dir
	before := tree(t, other)
	c.useDir(other)
	c.refused(c.paths["b"], "directory "+other+": transport: not a member of this cluster: nodes a and w are of cluster")
	if !maps.Equal(before, tree(t, other)) {
		t.Error("the directory was changed")
	}
	c.ready(t, "a")
	mkdir(t, c.nfsAddrs()[0], "ours, too")
	c.useDir(own)
	c.start("b")
	c.awaitHealthy()
	checkDir(t, c.nfsAddrs()[1], "ours, too")
	checkApart(t, c, stranger)
}

// If that node is there before the others, it finds out when they come: not by
// the first of them, which could be the one in the wrong place, but by the second.
func TestProcess_DirectoryOfAnotherClusterFirst(t *testing.T) {
	c, stranger := twoClusters(t)
	for _, name := range []string{"a", "w"} {
		c.running[name].stop(t, syscall.SIGTERM)
	}
	own := c.cfgs["b"].Dir
	c.useDir(stranger.cfgs["b"].Dir)
	c.start("b")
	b := c.running["b"]
	eventually(t, "b serves status", func() bool { return c.status("b") != nil })
	c.start("a")
	eventually(t, "b says why a refuses it", func() bool { return strings.Contains(b.stderr.String(), "code=cluster-id") })
	if s := c.status("b"); s == nil || s.Health != noQuorum || s.Ready {
		t.Errorf("status of the stranger: %+v", s)
	}
	c.start("w")
	if code := b.exit(t); code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	if line := lastLine(b); !strings.HasPrefix(line, "twofold: directory ") || !strings.Contains(line, "not a member of this cluster") {
		t.Errorf("the last line is\n%s", line)
	}
	c.ready(t, "a")
	mkdir(t, c.nfsAddrs()[0], "ours, too")
	for _, name := range []string{"a", "w"} {
		log := c.running[name].stderr.String()
		if n := strings.Count(log, "code=cluster-id"); n > 2 { // one a minute
			t.Errorf("%s tells %d times why it refuses b:\n%s", name, n, log)
		}
	}
	c.useDir(own)
	c.start("b")
	checkApart(t, c, stranger)
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
	before := tree(t, c.cfgs["w"].Dir)
	c.refused(c.paths["w"], "cannot join under this name")
	if !maps.Equal(before, tree(t, c.cfgs["w"].Dir)) {
		t.Error("the directory was changed")
	}
	l.progress(afterwards, 0, 1)
	l.end()
	l.verify(t)
	c.checkDigests()
}
