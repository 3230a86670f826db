//go:build process

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"twofold/nfs/client"
	"twofold/nfs/rpcbind"
)

// ranProgram is what one run of a command gave.
type ranProgram struct {
	code        int
	out, errors string
}

// command runs the program with args and stdin to its end.
func (c *procCluster) command(stdin string, args ...string) ranProgram {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), actAsProgram+"=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		c.t.Fatal(err)
	}
	return ranProgram{code: cmd.ProcessState.ExitCode(), out: out.String(), errors: errs.String()}
}

// export gives an export command at a node, which must succeed, and returns what
// it prints.
func (c *procCluster) export(node string, args ...string) string {
	c.t.Helper()
	return c.exportStdin("", node, args...)
}

func (c *procCluster) exportStdin(stdin, node string, args ...string) string {
	c.t.Helper()
	ran := c.command(stdin, append([]string{"export", "--config", c.paths[node]}, args...)...)
	if ran.code != exitOK || ran.errors != "" {
		c.t.Fatalf("export %q at %s: exit code %d: %s", args, node, ran.code, ran.errors)
	}
	return ran.out
}

// exportRefused gives one that must be refused in one line.
func (c *procCluster) exportRefused(node, want string, args ...string) {
	c.t.Helper()
	ran := c.command("", append([]string{"export", "--config", c.paths[node]}, args...)...)
	if ran.code != exitError || ran.out != "" {
		c.t.Errorf("export %q at %s: exit code %d, prints %q", args, node, ran.code, ran.out)
	}
	checkOneLine(c.t, ran.errors, want)
}

// awaitExports waits until a node enforces a version of the table.
func (c *procCluster) awaitExports(version uint64) {
	c.t.Helper()
	for _, name := range dataNames {
		eventually(c.t, fmt.Sprintf("version %d is in force at %s", version, name), func() bool {
			s := c.status(name)
			return s != nil && s.Exports != nil && s.Exports.Version == version && s.Exports.Problem == ""
		})
	}
}

// says waits until a node's log has a text.
func (c *procCluster) says(node, text string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%s logs %q", node, text), func() bool {
		return strings.Contains(c.running[node].stderr.String(), text)
	})
}

// The operator's commands, at either node: each is one entry that is in force at
// both, and survives a restart.
func TestProcess_ExportCommands(t *testing.T) {
	c := newProcCluster(t)
	for _, node := range dataNames {
		if list := c.export(node, "list"); !strings.Contains(list, "# twofold exports, version 1\n") || !strings.Contains(list, "\n/ 127.0.0.0/8(rw,") {
			t.Errorf("list at %s prints\n%s", node, list)
		}
	}
	c.exportRefused("a", "/projects: no such directory in the volume", "set", "/projects", "127.0.0.0/8(rw)")
	mkdir(t, c.nfsAddrs()[0], "projects")
	if out := c.export("b", "set", "/projects", "127.0.0.0/8(rw,insecure,no_root_squash)", "--dry-run"); !strings.Contains(out, "version 1 would change") {
		t.Errorf("a dry run prints %q", out)
	}
	if out := c.export("b", "set", "/projects", "127.0.0.0/8(rw,insecure,no_root_squash)"); !strings.Contains(out, "+ /projects ") || !strings.Contains(out, "version 2") {
		t.Errorf("set prints %q", out)
	}
	c.awaitExports(2)
	c.checkSubdirectory()
	c.exportRefused("a", "has version 2, set by b from export set /projects, and not version 1", "remove", "/", "--base", "1")
	c.exportRefused("a", "bad:2: ", "apply", c.file("bad", "/ *(ro)\n/projects *(fast)\n"))
	c.exportRefused("w", "node w is the witness and has no volume: give the command at a data node, a or b", "list")
	if out := c.export("a", "apply", c.file("same", c.export("b", "list"))); !strings.Contains(out, "version 2 says this already") {
		t.Errorf("apply of list prints %q", out)
	}
	if out := c.export("a", "list", "--json"); !strings.Contains(out, `"version": 2`) || !strings.Contains(out, `"by": "b"`) || !strings.Contains(out, `"path": "/projects"`) {
		t.Errorf("list --json prints %s", out)
	}
	if out := c.command("", "status", "--config", c.paths["a"]).out; !strings.Contains(out, "exports: version 2, 2 exported, set ") {
		t.Errorf("status prints\n%s", out)
	}
	c.exportStdin("/projects 127.0.0.0/8(ro,insecure)\n", "a", "apply", "-")
	c.checkRemoved()
	c.stopAll()
	c.startAll()
	for _, node := range dataNames {
		if list := c.export(node, "list"); !strings.Contains(list, "# twofold exports, version 5\n") || !strings.Contains(list, "by node b from export remove /\n/projects 127.0.0.0/8(ro,") {
			t.Errorf("after a restart list at %s prints\n%s", node, list)
		}
		c.says(node, "this node's exports file is not what is in force")
	}
	c.checkDigests()
	c.stopAll()
	if ran := c.command("", "export", "--config", c.paths["a"], "list"); ran.code != exitError || !strings.Contains(ran.errors, "no node runs on this directory") {
		t.Errorf("list without a node: exit code %d, %s", ran.code, ran.errors)
	}
}

// file writes a file for the cluster's operator.
func (c *procCluster) file(name, text string) string {
	path := filepath.Join(c.dir, name)
	writeFile(c.t, path, text)
	return path
}

// checkSubdirectory mounts a subdirectory at both nodes: one handle, and no way
// up out of it.
func (c *procCluster) checkSubdirectory() {
	c.t.Helper()
	var handles [2]client.FH
	for i, addr := range c.nfsAddrs() {
		conn, root := session(c.t, addr)
		sub, err := conn.Root(c.t.Context(), "/projects")
		if err != nil {
			c.t.Fatal(err)
		}
		handles[i] = sub
		up, err := conn.Lookup(c.t.Context(), sub, "..")
		if err != nil || up.Status != client.OK || !bytes.Equal(up.FH, sub) {
			c.t.Errorf("LOOKUP .. at the export's root at %s: %v, %v, %x; its root is %x, the volume's %x", dataNames[i], up.Status, err, up.FH, sub, root)
		}
		list, err := conn.Export(c.t.Context())
		if err != nil || len(list) != 2 || list[1].Dir != "/projects" {
			c.t.Errorf("EXPORT at %s: %v, %v", dataNames[i], list, err)
		}
	}
	if !bytes.Equal(handles[0], handles[1]) {
		c.t.Errorf("MNT gives %x at a and %x at b", handles[0], handles[1])
	}
}

// checkRemoved looks at a client of an export that goes: its calls stop at both
// nodes, and it may not mount again. /projects, which stays, is read-only now.
func (c *procCluster) checkRemoved() {
	c.t.Helper()
	c.awaitExports(3)
	c.exportStdin("/ 127.0.0.0/8(rw,insecure)\n/projects 127.0.0.0/8(ro,insecure)\n", "b", "apply", "-")
	c.awaitExports(4)
	var conns [2]*client.Client
	var root, sub client.FH
	for i, addr := range c.nfsAddrs() {
		conns[i], root = session(c.t, addr)
		var err error
		if sub, err = conns[i].Root(c.t.Context(), "/projects"); err != nil {
			c.t.Fatal(err)
		}
	}
	c.export("b", "remove", "/")
	c.awaitExports(5)
	for i, conn := range conns {
		if attr, err := conn.Getattr(c.t.Context(), root); err != nil || attr.Status != client.ErrStale {
			c.t.Errorf("GETATTR below a removed export at %s: %v, %v, want STALE", dataNames[i], attr.Status, err)
		}
		if attr, err := conn.Getattr(c.t.Context(), sub); err != nil || attr.Status != client.OK {
			c.t.Errorf("GETATTR below one that stays at %s: %v, %v", dataNames[i], attr.Status, err)
		}
		if made, err := conn.Mkdir(c.t.Context(), sub, "no", client.SetAttr{}); err != nil || made.Status != client.ErrROFS {
			c.t.Errorf("MKDIR in a read-only export at %s: %v, %v, want ROFS", dataNames[i], made.Status, err)
		}
		if res, err := conn.Mnt(c.t.Context(), "/"); err != nil || res.Status != client.MountErrAcces {
			c.t.Errorf("MNT / at %s: %v, %v, want ACCES", dataNames[i], res.Status, err)
		}
	}
}

// SIGHUP proposes a node's file; of two at once the log decides, and a bad file
// changes nothing.
func TestProcess_ExportsHangup(t *testing.T) {
	c := newProcCluster(t)
	for _, name := range []string{"x", "y"} {
		mkdir(t, c.nfsAddrs()[0], name)
	}
	const root, x, y = testExports, "/x 127.0.0.0/8(ro)\n", "/y 127.0.0.0/8(ro)\n"
	c.hangup("a", root+x)
	c.says("a", "SIGHUP: the exports file is in force now, for the whole cluster")
	c.awaitExports(2)
	c.hangup("b", root+x)
	c.says("b", "SIGHUP: the exports file says what is in force")
	c.hangup("b", root+y)
	c.says("b", "SIGHUP: the exports file is in force now, for the whole cluster")
	c.awaitExports(3)
	c.hangup("a", root+"/z *(fast)\n")
	c.says("a", "SIGHUP: the exports file is bad: the export table stays as it is")
	c.says("a", "a.exports:2: ")
	c.signal(syscall.SIGHUP, "w")
	c.says("w", "a witness has no exports file")
	if list := c.export("a", "list"); !strings.Contains(list, "version 3") || !strings.Contains(list, "\n/y ") {
		t.Errorf("after a bad file list prints\n%s", list)
	}
	c.bothAtOnce(root+x, root+y+x)
	c.checkDigests()
	c.stopAll()
}

// hangup changes a node's exports file and tells the node.
func (c *procCluster) hangup(node, text string) {
	c.t.Helper()
	writeFile(c.t, c.cfgs[node].ExportsFile, text)
	c.signal(syscall.SIGHUP, node)
}

// bothAtOnce changes both nodes' files at the same time. Whichever the log has
// last is in force, and each node tells what became of its own.
func (c *procCluster) bothAtOnce(a, b string) {
	c.t.Helper()
	const won, lost = "SIGHUP: the exports file is in force now", "came first and holds"
	count := func(node, text string) int { return strings.Count(c.running[node].stderr.String(), text) }
	before := map[string]int{"a": count("a", won), "b": count("b", won)}
	writeFile(c.t, c.cfgs["a"].ExportsFile, a)
	writeFile(c.t, c.cfgs["b"].ExportsFile, b)
	c.signal(syscall.SIGHUP, "a", "b")
	winners := 0
	for _, node := range dataNames {
		eventually(c.t, node+" tells who won", func() bool { return count(node, won) > before[node] || count(node, lost) > 0 })
		if count(node, won) > before[node] {
			winners++
		}
	}
	if winners == 0 {
		c.t.Error("neither file is in force")
	}
	c.awaitExports(uint64(3 + winners))
	list := c.export("a", "list")
	want := a
	if strings.Contains(list, "by node b ") {
		want = b
	}
	now, err1 := exportFromText(list)
	file, err2 := exportFromText(want)
	if err1 != nil || err2 != nil || !sameExports(now, file) {
		c.t.Errorf("the table is\n%s\nthe file is\n%s (%v, %v)", list, want, err1, err2)
	}
}

// A new cluster is seeded once. If the nodes' files differ, the entry that is
// first in the log wins, and the other node says so.
func TestProcess_ExportsSeed(t *testing.T) {
	c := formatted(t)
	writeFile(t, c.cfgs["b"].ExportsFile, "/ 127.0.0.0/8(ro)\n")
	c.startAll()
	c.awaitExports(1)
	list := c.export("a", "list")
	loser := "a"
	if strings.Contains(list, "by node a from exports_file ") {
		loser = "b"
	}
	c.says(loser, "this node's exports file is not what is in force: the export table holds")
	if log := c.running[other(loser)].stderr.String(); strings.Contains(log, "is not what is in force") {
		t.Errorf("%s has seeded the cluster and logs\n%s", other(loser), log)
	}
	if err := os.Remove(c.cfgs["b"].ExportsFile); err != nil {
		t.Fatal(err)
	}
	c.running["b"].stop(t, syscall.SIGTERM)
	c.refused(c.paths["b"], "exports_file: open "+c.cfgs["b"].ExportsFile+": no such file or directory")
	writeFile(t, c.cfgs["b"].ExportsFile, "\n/ 127.0.0.1(wr)\n")
	c.refused(c.paths["b"], c.cfgs["b"].ExportsFile+":2: ")
}

// A seed that names a directory that is not there yet lets nobody in, and neither
// does none at all; the commands do then.
func TestProcess_ExportsNoSeed(t *testing.T) {
	c := formatted(t)
	writeFile(t, c.cfgs["a"].ExportsFile, "/projects 127.0.0.0/8(rw)\n")
	c.cfgs["b"].ExportsFile = ""
	c.write(t, "b")
	c.startAll()
	c.says("a", "the exports file cannot seed the cluster: nobody may mount")
	c.says("b", "nobody may mount: the cluster has no export table")
	for i, addr := range c.nfsAddrs() {
		conn, err := client.Dial(t.Context(), addr, client.WithCred(client.Sys(0, 0)))
		if err != nil {
			t.Fatal(err)
		}
		if res, err := conn.Mnt(t.Context(), "/"); err != nil || res.Status != client.MountErrAcces {
			t.Errorf("MNT at %s: %v, %v, want ACCES", dataNames[i], res.Status, err)
		}
		_ = conn.Close() // it was only asked
	}
	if ran := c.command("", "status", "--config", c.paths["b"]); ran.code != exitOK || !strings.Contains(ran.out, "exports: none, nobody may mount") {
		t.Errorf("status exits with %d and prints\n%s%s", ran.code, ran.out, ran.errors)
	}
	if mode := c.status("a").RPCBind; mode == nil || mode.Mode != string(rpcbind.ModeOff) || mode.Doing != string(rpcbind.Nothing) {
		t.Errorf("status tells of rpcbind: %+v", mode)
	}
	c.export("b", "set", "/", "127.0.0.0/8(rw,insecure,no_root_squash)")
	c.awaitExports(1)
	mkdir(t, c.nfsAddrs()[0], "projects")
	c.signal(syscall.SIGHUP, "a", "b")
	c.says("a", "SIGHUP: the exports file is in force now")
	c.says("b", "SIGHUP: the config names no exports_file")
	c.awaitExports(2)
	c.stopAll()
}
