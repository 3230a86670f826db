package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twofold/nfs/client"
)

// With server_groups a user has the groups that the node knows, not only those of
// its call; without, it has not.
func TestNode_ServerGroups(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho 100 77\n"
	if err := os.WriteFile(filepath.Join(bin, "id"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	c := newTestCluster(t)
	c.cfgs["a"].NFS.ServerGroups = true
	for _, cfg := range c.cfgs {
		n := openTestNode(t, cfg)
		defer n.end(t)
	}
	c.ready(t, "a")
	c.ready(t, "b")
	conn, root := session(t, c.cfgs["a"].NFS.Listen)
	made, err := conn.Mkdir(t.Context(), root, "team", client.SetAttr{Mode: client.Ptr(uint32(0o770)), GID: client.Ptr(uint32(77))})
	if err != nil || made.Status != client.OK {
		t.Fatalf("MKDIR: %v, %v", made.Status, err)
	}
	for node, want := range map[string]client.Status{"a": client.OK, "b": client.ErrAcces} {
		conn, _ := session(t, c.cfgs[node].NFS.Listen)
		res, err := conn.As(client.Sys(4242, 4242)).Mkdir(t.Context(), made.FH, "by user at "+node, client.SetAttr{})
		if err != nil || res.Status != want {
			t.Errorf("MKDIR at %s by a user in the group: %v, %v, want %v", node, res.Status, err, want)
		}
	}
}

// A node that cannot look groups up does not start.
func TestNode_ServerGroupsWithoutProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	n := &node{cfg: newTestCluster(t).cfgs["a"]}
	n.cfg.NFS.ServerGroups = true
	if _, err := n.openGroups(); err == nil || !strings.Contains(err.Error(), "nfs.server_groups: look up groups: ") {
		t.Errorf("got %v", err)
	}
}
