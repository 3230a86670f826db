package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/client"
)

// devRun is a running dev command with its addresses.
type devRun struct {
	*program
	dir  string
	nfs  []string
	http []string
}

// startDev starts dev on free ports and waits for its ready line.
func startDev(t *testing.T, dir string) *devRun {
	t.Helper()
	addrs, err := freeAddrs(5)
	if err != nil {
		t.Fatal(err)
	}
	d := &devRun{dir: dir, nfs: addrs[:2], http: addrs[2:]}
	t.Cleanup(func() { d.showLogs(t) })
	d.restart(t)
	return d
}

// restart starts dev again on the same addresses.
func (d *devRun) restart(t *testing.T) {
	t.Helper()
	d.program = start(t, "dev", "--dir", d.dir, "--nfs", strings.Join(d.nfs, ","), "--http", strings.Join(d.http, ","))
	eventually(t, "ready line", func() bool {
		select {
		case <-d.done:
			t.Fatalf("dev ended before it was ready: exit code %d", d.cmd.ProcessState.ExitCode())
		default:
		}
		return strings.Contains(d.stdout.String(), "\n")
	})
}

// showLogs shows the end of the nodes' logs if the test failed. A report of the
// race detector is there, and nowhere else.
func (d *devRun) showLogs(t *testing.T) {
	t.Helper()
	for _, m := range devMembers {
		text, err := os.ReadFile(filepath.Join(d.dir, m.Name, devLogFile))
		if err == nil && t.Failed() {
			const end = 16 << 10
			t.Logf("end of the log of %s:\n%s", m.Name, text[max(0, len(text)-end):])
		}
	}
}

// pid reads the pid file of a node.
func (d *devRun) pid(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name, devPidFile))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// status runs the status command and returns its exit code.
func (d *devRun) status(t *testing.T, http string) int {
	t.Helper()
	p := start(t, "status", "--http", http)
	return p.exit(t)
}

// The life of a dev cluster: it starts, serves at both nodes, refuses a second
// instance, stops, finds its data again, and tells when nodes die.
func TestDev_Life(t *testing.T) {
	d := startDev(t, filepath.Join(t.TempDir(), "dev"))
	checkReadyLine(t, d)
	for i, addr := range d.http[:2] {
		if reason := askReady(context.Background(), addr); reason != "" {
			t.Errorf("node %d is not ready after the ready line: %s", i, reason)
		}
	}
	second := start(t, "dev", "--dir", d.dir)
	if code := second.exit(t); code != exitError {
		t.Errorf("second instance: exit code %d", code)
	}
	checkOneLine(t, second.stderr.String(), "is in use by another twofold dev")

	mkdir(t, d.nfs[0], "made at a")
	checkDir(t, d.nfs[1], "made at a")
	if code := d.stop(t, syscall.SIGTERM); code != exitOK {
		t.Errorf("stop: exit code %d", code)
	}
	for _, m := range devMembers {
		if _, err := os.Stat(filepath.Join(d.dir, m.Name, devPidFile)); !os.IsNotExist(err) {
			t.Errorf("pid file of %s after the stop: %v", m.Name, err)
		}
	}

	d.restart(t)
	checkDir(t, d.nfs[1], "made at a")
	eventually(t, "healthy", func() bool { return d.status(t, d.http[0]) == 0 })
	checkDeaths(t, d)
	if code := d.stop(t, syscall.SIGINT); code != exitOK {
		t.Errorf("stop after deaths: exit code %d", code)
	}
}

func checkReadyLine(t *testing.T, d *devRun) {
	t.Helper()
	out := d.stdout.String()
	if strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "ready") {
		t.Errorf("stdout is not one line that begins with ready: %q", out)
	}
	for i, name := range []string{"a", "b"} {
		_, port, _ := strings.Cut(d.nfs[i], ":")
		want := fmt.Sprintf("mount -t nfs -o vers=3,proto=tcp,port=%s,mountport=%s,nolock 127.0.0.1:/ /mnt/%s", port, port, name)
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}

// checkDeaths kills the witness and then b, and looks at what is told.
func checkDeaths(t *testing.T, d *devRun) {
	t.Helper()
	for _, step := range []struct {
		name string
		code int
	}{{"w", 1}, {"b", 2}} {
		if err := syscall.Kill(d.pid(t, step.name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "death of "+step.name+" is told", func() bool {
			return strings.Contains(d.stderr.String(), "node "+step.name+" (pid ")
		})
		if !strings.Contains(d.stderr.String(), "signal: killed") {
			t.Errorf("it is not told that %s was killed", step.name)
		}
		eventually(t, fmt.Sprintf("status exits with %d", step.code), func() bool {
			return d.status(t, d.http[0]) == step.code
		})
		if step.name == "w" {
			mkdir(t, d.nfs[0], "without the witness")
			checkDir(t, d.nfs[1], "without the witness")
		}
	}
}

// session mounts the root over MOUNT and returns a client and the root's handle.
func session(t *testing.T, addr string) (*client.Client, client.FH) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	c, err := client.Dial(ctx, addr, client.WithCred(client.Sys(0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	root, err := c.Root(ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	return c, root
}

// mkdir makes a directory in the root.
func mkdir(t *testing.T, addr, name string) {
	t.Helper()
	c, root := session(t, addr)
	res, err := c.Mkdir(context.Background(), root, name, client.SetAttr{Mode: client.Ptr(uint32(0o755))})
	if err != nil || res.Status != 0 {
		t.Fatalf("MKDIR %q at %s: %v, %v", name, addr, res, err)
	}
}

// checkDir looks for a directory in the root.
func checkDir(t *testing.T, addr, name string) {
	t.Helper()
	c, root := session(t, addr)
	res, err := c.Lookup(context.Background(), root, name)
	if err != nil || res.Status != 0 {
		t.Errorf("LOOKUP %q at %s: %v, %v", name, addr, res, err)
	}
}

// An address that is taken ends dev before anything is formatted, also when it
// is another cluster that has it: that one's answers must not pass for ours.
func TestDev_PortInUse(t *testing.T) {
	running := startDev(t, filepath.Join(t.TempDir(), "dev"))
	free, err := freeAddrs(5)
	if err != nil {
		t.Fatal(err)
	}
	for name, addrs := range map[string][]string{
		"nfs of b":     {free[0], running.nfs[1], free[2], free[3], free[4]},
		"http of w":    {free[0], free[1], free[2], free[3], running.http[2]},
		"all of these": append(append([]string{}, running.nfs...), running.http...),
	} {
		dir := filepath.Join(t.TempDir(), "dev")
		p := start(t, "dev", "--dir", dir, "--nfs", strings.Join(addrs[:2], ","), "--http", strings.Join(addrs[2:], ","))
		if code := p.exit(t); code != exitError {
			t.Errorf("%s: exit code %d, want %d", name, code, exitError)
		}
		if p.stdout.String() != "" || !strings.Contains(p.stderr.String(), "address already in use: stop what uses it") {
			t.Errorf("%s: stdout %q, stderr %q", name, p.stdout.String(), p.stderr.String())
		}
		if _, err := os.Stat(filepath.Join(dir, "a", "state")); err == nil {
			t.Errorf("%s: node a was formatted", name)
		}
	}
}

// A child that does not heed SIGTERM is killed at the limit.
func TestChildGroup_KillsAtTheLimit(t *testing.T) {
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, devLogFile))
	if err != nil {
		t.Fatal(err)
	}
	// An ignored signal stays ignored over exec.
	n := &devNode{name: "x", dir: dir, log: log, cmd: exec.Command("sh", "-c", `trap "" TERM; echo up; exec sleep 600`)}
	up, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(up, make([]byte, len("up\n"))); err != nil {
		t.Fatal(err)
	}
	g := newChildGroup()
	g.watch(n)
	if err := g.stop(100 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "node x: signal: killed") {
		t.Errorf("got %v", err)
	}
	g.close()
}

// If dev is killed its children must not stay behind.
func TestDev_ChildrenDieWithTheParent(t *testing.T) {
	d := startDev(t, filepath.Join(t.TempDir(), "dev"))
	var pids []int
	for _, m := range devMembers {
		pids = append(pids, d.pid(t, m.Name))
	}
	d.stop(t, syscall.SIGKILL)
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("process %d ends", pid), func() bool { return gone(pid) })
	}
}

// gone reports that a process is no more, or only waits to be reaped.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
