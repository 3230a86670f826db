//go:build process

package main

import (
	"context"
	"net"
	"net/http"
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

const (
	// frozenPause is the longest that a call may take at the other node after the
	// leader's disk hung. Measured are 1.2 to 1.5 s on two processors; the goal is
	// 2 s, and other tests may run beside.
	frozenPause = 4 * time.Second
	// frozenFollower is the longest that a change may take while a follower's disk
	// hangs.
	frozenFollower = time.Second
	frozenRounds   = 3
)

func freezable(c *config) {
	c.Reserve = minReserve
	c.Memory.Memtable = minMemtable
}

// writer changes one file at a node, one call after the other.
type frozenWriter struct {
	caller
	t    *testing.T
	file client.FH
}

func newFrozenWriter(t *testing.T, c *procCluster, node int) *frozenWriter {
	t.Helper()
	conn, root := session(t, c.nfsAddrs()[node])
	made, err := conn.Create(t.Context(), root, "frozen", client.CreateHow{})
	if err != nil || made.Status != client.OK {
		t.Fatal(made.Status, err)
	}
	return &frozenWriter{caller: newCaller(c.nfsAddrs(), node, waits), t: t, file: made.FH}
}

// write makes one change and one read, and returns how long the slower took.
func (w *frozenWriter) write(i int) time.Duration {
	w.t.Helper()
	begin := time.Now()
	st, _, err := w.do(func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Write(ctx, w.file, 0, content("frozen", i, 4096), client.FileSync)
		return res.Status, err
	})
	if err != nil || st != client.OK {
		w.t.Fatalf("WRITE at %s: %v, %v", dataNames[w.node], st, err)
	}
	between := time.Now()
	st, _, err = w.do(func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Getattr(ctx, w.file)
		return res.Status, err
	})
	if err != nil || st != client.OK {
		w.t.Fatalf("GETATTR at %s: %v, %v", dataNames[w.node], st, err)
	}
	return max(between.Sub(begin), time.Since(between))
}

// longest works for some time and returns the longest call.
func (w *frozenWriter) longest(d time.Duration) (worst time.Duration) {
	w.t.Helper()
	for i, begin := 0, time.Now(); time.Since(begin) < d; i++ {
		worst = max(worst, w.write(i))
	}
	return worst
}

// The leader's disk hangs: the other node serves within 2 s. The one whose disk
// hangs answers nobody, says why, and comes back by itself when the disk does.
//
// Seen red: without the deadline (DiskTimeout of an hour) the call at the other
// node is not answered until the disk goes on.
func TestProcess_FrozenLeader(t *testing.T) {
	c, disks := newDiskCluster(t, 512<<20, freezable)
	for round := range frozenRounds {
		old := c.awaitHealthy()
		w := newFrozenWriter(t, c, dataIndex(other(old)))
		w.longest(200 * time.Millisecond)
		disks[old].freeze()
		pause := w.longest(3 * time.Second)
		t.Logf("round %d: the disk of the leader %s hangs: a pause of %s", round, old, pause.Round(time.Millisecond))
		if pause > frozenPause {
			t.Errorf("a pause of %s, want at most %s", pause, frozenPause)
		}
		c.checkStalled(old)
		disks[old].thaw()
		if now := c.awaitHealthy(); now == old {
			t.Errorf("%s leads again", old)
		}
		w.close()
		c.checkDigests()
	}
	c.stopAll()
}

// The leader's disk hangs while nobody changes anything: the other node leads all the
// same, within 2 s, so that the first change finds it there. The one whose disk hangs
// comes back when it is thawed.
//
// Seen red: with a ProbeInterval of an hour nobody notices.
func TestProcess_FrozenIdle(t *testing.T) {
	c, disks := newDiskCluster(t, 512<<20, freezable)
	for round := range frozenRounds {
		old := c.awaitHealthy()
		now := other(old)
		time.Sleep(time.Second) // the log is quiet: probes are all that there is
		disks[old].freeze()
		begin := time.Now()
		eventually(t, now+" leads", func() bool {
			s := c.status(now)
			return s != nil && s.Leader == now
		})
		pause := time.Since(begin)
		t.Logf("round %d: %s leads %s after the disk of %s hung", round, now, pause.Round(time.Millisecond), old)
		if pause > frozenPause {
			t.Errorf("%s leads after %s, want at most %s", now, pause, frozenPause)
		}
		c.awaitStalled(old)
		disks[old].thaw()
		if now := c.awaitHealthy(); now == old {
			t.Errorf("%s leads again", old)
		}
	}
	c.checkDigests()
	c.stopAll()
}

// checkStalled holds a node to say that its disk hangs, in every way that it has.
func (c *procCluster) checkStalled(name string) {
	c.t.Helper()
	const why = "the disk does not answer"
	base := "http://" + c.cfgs[name].HTTP.Listen
	for path, want := range map[string]string{
		"/readyz": why, "/metrics": "twofold_raft_disk_stalled 1\n", "/status": why,
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, body, err := httpGet(ctx, base+path)
		cancel()
		if err != nil || !strings.Contains(string(body), want) {
			c.t.Errorf("%s of %s does not say %q: %v, %s", path, name, want, err, body)
		}
	}
	eventually(c.t, "the other node knows", func() bool {
		s := c.status(other(name))
		return s != nil && strings.Contains(strings.Join(s.Problems, "\n"), "the disk of "+name+" does not answer")
	})
	if log := c.running[name].stderr.String(); strings.Count(log, "level=ERROR") == 0 || !strings.Contains(log, why) {
		c.t.Errorf("the log of %s does not say why", name)
	}
}

// A follower's disk hangs: the leader does not wait for it.
func TestProcess_FrozenFollower(t *testing.T) {
	c, disks := newDiskCluster(t, 512<<20, freezable)
	leader := c.awaitHealthy()
	hung := other(leader)
	w := newFrozenWriter(t, c, dataIndex(leader))
	disks[hung].freeze()
	worst := w.longest(4 * time.Second)
	t.Logf("the disk of the follower %s hangs: the longest call at the leader took %s", hung, worst.Round(time.Millisecond))
	if worst > frozenFollower {
		t.Errorf("a call took %s, want at most %s", worst, frozenFollower)
	}
	c.checkStalled(hung)
	disks[hung].thaw()
	if now := c.awaitHealthy(); now != leader {
		t.Errorf("%s leads, %s did", now, leader)
	}
	w.close()
	c.checkDigests()
	c.stopAll()
}

// SIGTERM to a node whose disk hangs, and its log file is on that disk: its
// clients' connections are closed and the process ends. The kernel keeps the
// remains of a process with a thread that waits for the disk until the disk
// answers, but the network is free of it.
func TestProcess_FrozenNodeStops(t *testing.T) {
	c, disks := newDiskCluster(t, 512<<20, freezable)
	leader := c.awaitHealthy()
	log := filepath.Join(disks[leader].mount, "log")
	c.signal(syscall.SIGTERM, leader)
	c.running[leader].exit(t)
	cmd := exec.Command("sh", "-c", `exec "$0" "$@" 2>"$LOG"`, os.Args[0], "serve", "--config", c.paths[leader])
	cmd.Env = append(os.Environ(), actAsProgram+"=1", "LOG="+log)
	c.running[leader] = c.threads.startCommand(t, cmd, 0)
	c.ready(t, leader)
	c.awaitHealthy()

	conn, err := net.Dial("tcp", c.cfgs[leader].NFS.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	disks[leader].freeze()
	w := newFrozenWriter(t, c, dataIndex(other(leader)))
	w.longest(2 * time.Second)
	c.awaitStalled(leader)
	begin := c.signal(syscall.SIGTERM, leader)
	if err := conn.SetReadDeadline(begin.Add(stalledTimeout + 2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the client's connection is not closed: %v", err)
	}
	t.Logf("the connections are closed after %s", time.Since(begin).Round(time.Millisecond))
	w.longest(time.Second)
	eventually(t, "the process has ended but for what waits for the disk", func() bool {
		return endedButForDisk(c.running[leader].cmd.Process.Pid)
	})
	t.Logf("the process has ended after %s", time.Since(begin).Round(time.Millisecond))
	disks[leader].thaw()
	if code := c.running[leader].exit(t); code != exitError {
		t.Errorf("exit code %d", code)
	}
	c.start(leader)
	c.awaitHealthy()
	w.close()
	c.checkDigests()
	c.stopAll()
}

// awaitStalled waits until a node says that it stands aside.
func (c *procCluster) awaitStalled(name string) {
	c.t.Helper()
	eventually(c.t, name+" is stalled", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		code, body, err := httpGet(ctx, "http://"+c.cfgs[name].HTTP.Listen+"/readyz")
		return err == nil && code == http.StatusServiceUnavailable && strings.Contains(string(body), "the disk does not answer")
	})
}

// endedButForDisk tells whether the kernel keeps nothing of a process but threads
// that wait for a disk. Which threads these are is up to the runtime, so that the
// first one, whose state is shown as the process's, may be one of them.
func endedButForDisk(pid int) bool {
	stats, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat")) // the pattern is a good one
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if !strings.ContainsAny(rest[:min(1, len(rest))], "ZXD") {
			return false
		}
	}
	return true
}
