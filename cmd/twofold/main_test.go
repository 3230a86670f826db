package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/rpcbind"
	"twofold/raftlog"
)

// actAsProgram tells the test binary to be the program, so that tests run real
// processes with the race detector of the test, and without a build.
const actAsProgram = "TWOFOLD_TEST_ACT_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(actAsProgram) != "" {
		os.Exit(actAs(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program is one run of the program.
type program struct {
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{} // closed when the process is gone
}

// start runs the program with args. The test's end kills what is left of it.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(os.Args[0], args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), actAsProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// A test binary that dies at its time limit runs no clean-up.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be gone, which is the aim
		<-p.done
		if t.Failed() {
			t.Logf("twofold %s\nstdout:\n%sstderr:\n%s", strings.Join(args, " "), p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// exit waits for the process's end and returns its exit code.
func (p *program) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatal("the process did not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends the process with a signal and returns its exit code.
func (p *program) stop(t *testing.T, s syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return p.exit(t)
}

// output is what a process wrote so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// testCluster is three config files with free ports, in directories of their
// own below dir.
type testCluster struct {
	dir   string
	paths map[string]string
	cfgs  map[string]*config
}

// testExports lets every test in.
const testExports = "/ 127.0.0.0/8(rw,no_root_squash,insecure)\n"

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newTestCluster writes the config files. Nothing is formatted.
func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	c := &testCluster{dir: t.TempDir(), paths: map[string]string{}, cfgs: map[string]*config{}}
	addrs, err := freeAddrs(8)
	if err != nil {
		t.Fatal(err)
	}
	members := append([]memberConfig(nil), devMembers...)
	for i := range members {
		members[i].Addr = addrs[i]
	}
	for i, m := range members {
		cfg := defaultConfig()
		cfg.Cluster, cfg.Node, cfg.Role, cfg.Members, cfg.Listen = "test", m.Name, m.Role, members, m.Addr
		cfg.Dir = filepath.Join(c.dir, m.Name)
		cfg.HTTP.Listen = addrs[3+i]
		if m.Role == raftlog.RoleData {
			cfg.NFS.Listen = addrs[6+i]
			cfg.NFS.RPCBind = rpcbind.ModeOff // the host's own belongs to nobody here
			cfg.ExportsFile = filepath.Join(c.dir, m.Name+".exports")
			writeFile(t, cfg.ExportsFile, testExports)
		}
		c.cfgs[m.Name] = cfg
		c.paths[m.Name] = filepath.Join(c.dir, m.Name+".yaml")
		c.write(t, m.Name)
	}
	return c
}

// write writes the config file of one node again.
func (c *testCluster) write(t *testing.T, name string) {
	t.Helper()
	text, err := c.cfgs[name].effective()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.paths[name], text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// init formats one node by the command.
func (c *testCluster) init(t *testing.T, name string) {
	t.Helper()
	p := start(t, "init", "--config", c.paths[name])
	if code := p.exit(t); code != exitOK {
		t.Fatalf("init %s: exit code %d", name, code)
	}
	if out := p.stdout.String(); !strings.Contains(out, "node "+name) || !strings.Contains(out, "identity ") {
		t.Errorf("init %s says %q", name, out)
	}
}

// serve starts one node.
func (c *testCluster) serve(t *testing.T, name string) *program {
	t.Helper()
	return start(t, "serve", "--config", c.paths[name])
}

// ready waits until a node would serve a client.
func (c *testCluster) ready(t *testing.T, name string) {
	t.Helper()
	addr := c.cfgs[name].HTTP.Listen
	reason := ""
	defer func() {
		if t.Failed() {
			t.Logf("%s is not ready: %s", name, reason)
		}
	}()
	eventually(t, name+" is ready", func() bool {
		reason = askReady(context.Background(), addr)
		return reason == ""
	})
}

// tree is every file below dir with its mode and content, for tests that
// nothing was changed.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files[path] = fmt.Sprintf("%s %s", info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files[path] += string(content)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// occupy listens at an address so that nobody else can.
func occupy(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}
