package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Node is a member by its place.
type Node int

// The members. Clients are served by A and B.
const (
	A Node = iota
	B
	W
	// Nodes is how many there are.
	Nodes = 3
)

// DataNodes are the members that serve clients.
var DataNodes = [2]Node{A, B}

// String is the member's name in the cluster.
func (n Node) String() string { return [...]string{"a", "b", "w"}[n] }

// Other is the other data node.
func (n Node) Other() Node { return B - n }

// Bounds of what a process may take.
const (
	initLimit = 20 * time.Second
	stopLimit = 60 * time.Second
)

// member is one node: its place on the network, its disk and its process.
type member struct {
	name   Node
	thread *thread
	disk   *disk
	config string
	log    string

	mu struct {
		sync.Mutex
		process *process // nil while it is down
		ended   []string // processes that ended without being told to
	}
}

// process is one run of a node.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	told bool // to end; guarded by member.mu
}

// format makes the node's directory.
func (m *member) format(binary string) error {
	return m.thread.do(func() error {
		cmd := exec.Command(binary, "init", "--config", m.config)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("init of %s: %w: %s", m.name, err, out)
		}
		return nil
	})
}

// start runs the node's process. It does not wait until it serves.
func (m *member) start(binary string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.process != nil {
		return fmt.Errorf("%s runs already", m.name)
	}
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	p := &process{cmd: exec.Command(binary, "serve", "--config", m.config), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := m.thread.do(p.cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.mu.process = p
	go m.await(p)
	return nil
}

// await notes the end of a process.
func (m *member) await(p *process) {
	err := p.cmd.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.process = nil
	if !p.told {
		m.mu.ended = append(m.mu.ended, fmt.Sprintf("%s ended by itself: %v, see %s", m.name, err, filepath.Base(m.log)))
	}
	close(p.done)
}

// signal sends a signal; one that ends the process is noted as such. It returns nil if the process is down.
func (m *member) signal(s syscall.Signal) (*process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.process
	if p == nil {
		return nil, nil
	}
	p.told = p.told || s == syscall.SIGKILL || s == syscall.SIGTERM
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return p, err
}

// end sends a signal and waits for the end of the process.
func (m *member) end(s syscall.Signal) error {
	p, err := m.signal(s)
	if p == nil || err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopLimit):
		return fmt.Errorf("%s, pid %d, has not ended within %s of %s", m.name, p.cmd.Process.Pid, stopLimit, s)
	}
}

// running reports that there is a process.
func (m *member) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.process != nil
}

// takeEnded returns what ended by itself since the last call.
func (m *member) takeEnded() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ended := m.mu.ended
	m.mu.ended = nil
	return ended
}

// close ends the process and gives its place on the network and its disk back.
func (m *member) close() error {
	var errs []error
	if m.disk != nil {
		errs = append(errs, m.disk.thaw())
	}
	if m.thread != nil {
		errs = append(errs, m.end(syscall.SIGKILL))
		m.thread.close()
	}
	if m.disk != nil {
		errs = append(errs, m.disk.close())
	}
	return errors.Join(errs...)
}
