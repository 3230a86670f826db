package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// A node whose directory was wiped has lost its votes: under its old name and
// config the others refuse it, and go on without it (rule M6).
func TestServe_WipedNodeIsRefused(t *testing.T) {
	c := newTestCluster(t)
	running := map[string]*program{}
	for _, m := range devMembers {
		c.init(t, m.Name)
		running[m.Name] = c.serve(t, m.Name)
	}
	c.ready(t, "a")
	c.ready(t, "b")
	mkdir(t, c.cfgs["a"].NFS.Listen, "before")

	if code := running["a"].stop(t, syscall.SIGTERM); code != exitOK {
		t.Errorf("a stops with exit code %d", code)
	}
	if err := os.RemoveAll(c.cfgs["a"].Dir); err != nil {
		t.Fatal(err)
	}
	c.init(t, "a")
	wiped := c.serve(t, "a")
	if code := wiped.exit(t); code != exitError {
		t.Errorf("the wiped node ends with exit code %d, want %d", code, exitError)
	}
	if !strings.Contains(wiped.stderr.String(), "it was formatted after the cluster was formed and cannot join under this name") {
		t.Error("the wiped node does not say why it ends")
	}
	c.ready(t, "b")
	checkDir(t, c.cfgs["b"].NFS.Listen, "before")
	mkdir(t, c.cfgs["b"].NFS.Listen, "after")
	for _, name := range []string{"b", "w"} {
		if code := running[name].stop(t, syscall.SIGTERM); code != exitOK {
			t.Errorf("%s stops with exit code %d", name, code)
		}
	}
}
