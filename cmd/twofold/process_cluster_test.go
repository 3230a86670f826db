//go:build process

package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests of this build tag run three processes each, as a user would, and
// do to them what happens to machines. They use the test binary as the program
// (see TestMain), built without the race detector.

// dataNames are the data nodes; clients know a node by its index here.
var dataNames = [2]string{"a", "b"}

// procCluster is a cluster of three processes.
type procCluster struct {
	*testCluster
	t       *testing.T
	threads *tiedThread
	running map[string]*program
	seam    *seam // what nodes that are started from now on are given; nil for nothing
}

// newProcCluster formats three nodes and starts them.
func newProcCluster(t *testing.T) *procCluster {
	t.Helper()
	c := formatted(t)
	c.startAll()
	return c
}

// formatted is a cluster that was never started.
func formatted(t *testing.T) *procCluster {
	t.Helper()
	c := &procCluster{testCluster: newTestCluster(t), t: t, threads: newTiedThread(t), running: map[string]*program{}}
	for _, m := range devMembers {
		c.init(t, m.Name)
	}
	return c
}

// tiedThread starts processes from one operating-system thread that lives as
// long as the test: the kernel kills them with it, so that a test binary that
// dies at its time limit leaves none behind.
type tiedThread struct{ starts chan func() }

func newTiedThread(t *testing.T) *tiedThread {
	th := &tiedThread{starts: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range th.starts {
			f()
		}
	}()
	t.Cleanup(func() { close(th.starts) })
	return th
}

// logTail is how much of a process's log is shown when a test failed.
const logTail = 6 << 10

// start is like the function start, with the child's life tied to the test's.
func (th *tiedThread) start(t *testing.T, args ...string) *program {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), actAsProgram+"=1")
	return th.startCommand(t, cmd, 0)
}

// startCommand starts any command in namespaces of its own, as unshare says
// (CLONE_NEW...).
func (th *tiedThread) startCommand(t *testing.T, cmd *exec.Cmd, unshare uintptr) *program {
	t.Helper()
	p := &program{cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Unshareflags: unshare}
	result := make(chan error, 1)
	th.starts <- func() { result <- p.cmd.Start() }
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be gone, which is the aim
		<-p.done
		if log := p.stderr.String(); t.Failed() {
			t.Logf("%s, pid %d, end of its log:\n%s", strings.Join(p.cmd.Args, " "), p.cmd.Process.Pid, log[max(0, len(log)-logTail):])
		}
	})
	return p
}

// start starts one node.
func (c *procCluster) start(name string) {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], "serve", "--config", c.paths[name])
	cmd.Env = append(os.Environ(), actAsProgram+"=1", seamVariable+"="+c.seam.text(c.t))
	c.running[name] = c.threads.startCommand(c.t, cmd, 0)
}

// startAll starts every node and waits until clients are served.
func (c *procCluster) startAll() {
	c.t.Helper()
	for _, m := range devMembers {
		c.start(m.Name)
	}
	for _, name := range dataNames {
		c.ready(c.t, name)
	}
}

// stopAll stops every node as a supervisor does.
func (c *procCluster) stopAll() {
	c.t.Helper()
	for _, m := range devMembers {
		if err := c.running[m.Name].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, m := range devMembers {
		if code := c.running[m.Name].exit(c.t); code != exitOK {
			c.t.Errorf("%s stops with exit code %d", m.Name, code)
		}
	}
}

// signal sends a signal to nodes and returns the time just before.
func (c *procCluster) signal(s syscall.Signal, names ...string) time.Time {
	c.t.Helper()
	before := time.Now()
	for _, name := range names {
		if err := c.running[name].cmd.Process.Signal(s); err != nil {
			c.t.Fatalf("%s to %s: %v", s, name, err)
		}
	}
	return before
}

// kill ends nodes by SIGKILL, all before it waits for any, and returns the time
// just before.
func (c *procCluster) kill(names ...string) time.Time {
	c.t.Helper()
	before := c.signal(syscall.SIGKILL, names...)
	for _, name := range names {
		<-c.running[name].done
	}
	return before
}

// status asks one node; nil if it does not answer.
func (c *procCluster) status(name string) *clusterStatus {
	s, err := askStatus(context.Background(), c.cfgs[name].HTTP.Listen)
	if err != nil {
		return nil
	}
	return s
}

// awaitHealthy waits until both data nodes find nothing wrong, and returns the
// leader.
func (c *procCluster) awaitHealthy() string {
	c.t.Helper()
	leader := ""
	eventually(c.t, "the cluster is healthy", func() bool {
		leader = ""
		for _, name := range dataNames {
			s := c.status(name)
			if s == nil || s.Health != healthy || dataIndex(s.Leader) < 0 || leader != "" && s.Leader != leader {
				return false
			}
			leader = s.Leader
		}
		return true
	})
	return leader
}

// other returns the other data node.
func other(name string) string { return dataNames[1-dataIndex(name)] }

// dataIndex is a data node's place in dataNames, -1 for the witness.
func dataIndex(name string) int {
	for i, n := range dataNames {
		if n == name {
			return i
		}
	}
	return -1
}

// nfsAddrs returns the addresses for clients, in the order of dataNames.
func (c *procCluster) nfsAddrs() [2]string {
	return [2]string{c.cfgs["a"].NFS.Listen, c.cfgs["b"].NFS.Listen}
}

// checkDigests compares the data nodes' digests at one applied index.
func (c *procCluster) checkDigests() {
	c.t.Helper()
	eventually(c.t, "digests at the same index", func() bool {
		var d [2]digestReply
		for i, name := range dataNames {
			if err := adminCall(context.Background(), c.cfgs[name].Dir, http.MethodGet, "digest", &d[i]); err != nil {
				c.t.Fatalf("digest of %s: %v", name, err)
			}
		}
		if d[0].Index != d[1].Index {
			return false
		}
		if d[0].Digest != d[1].Digest {
			c.t.Fatalf("the nodes differ at index %d: digests %s and %s", d[0].Index, d[0].Digest, d[1].Digest)
		}
		return true
	})
}
