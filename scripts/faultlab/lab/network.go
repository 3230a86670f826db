package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Ports of a node in its namespace.
const (
	peerPort = 7400
	httpPort = 7480
	nfsPort  = 2049
)

// hubHost is the last number of the address that clients have.
const hubHost = 100

// network is a bridge in the namespace of the program with a leg to each node.
type network struct{ index int }

func (n network) bridge() string       { return fmt.Sprintf("lab%d", n.index) }
func (n network) leg(node Node) string { return fmt.Sprintf("lab%d%s", n.index, node) }

// addr is a node's address, or with hubHost that of the clients.
func (n network) addr(host int) string { return fmt.Sprintf("10.79.%d.%d", n.index, host) }

func (n network) nodeAddr(node Node) string { return n.addr(int(node) + 1) }

// open makes the bridge.
func (n network) open() error {
	return errors.Join(
		run("ip", "link", "set", "lo", "up"),
		run("ip", "link", "add", n.bridge(), "type", "bridge"),
		run("ip", "addr", "add", n.addr(hubHost)+"/24", "dev", n.bridge()),
		run("ip", "link", "set", n.bridge(), "up"))
}

// close removes the bridge. The legs go with the nodes' namespaces.
func (n network) close() error { return run("ip", "link", "del", n.bridge()) }

// join makes the leg to the namespace of a thread and sets up its end there.
func (n network) join(node Node, th *thread) error {
	netns := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), th.tid)
	err := errors.Join(
		run("ip", "link", "add", n.leg(node), "type", "veth", "peer", "name", "eth0", "netns", netns),
		run("ip", "link", "set", n.leg(node), "master", n.bridge(), "up"))
	if err != nil {
		return err
	}
	return th.do(func() error {
		return errors.Join(
			run("ip", "link", "set", "lo", "up"),
			run("ip", "addr", "add", n.nodeAddr(node)+"/24", "dev", "eth0"),
			run("ip", "link", "set", "eth0", "up"))
	})
}

// ruleset is what a node's namespace drops: everything that comes from the given nodes.
func (n network) ruleset(from []Node) string {
	var b strings.Builder
	b.WriteString("add table inet lab\ndelete table inet lab\ntable inet lab {\n chain input {\n  type filter hook input priority 0;\n")
	for _, f := range from {
		fmt.Fprintf(&b, "  ip saddr %s drop\n", n.nodeAddr(f))
	}
	b.WriteString(" }\n}\n")
	return b.String()
}

// thread is an operating-system thread in a network namespace of its own. What it starts is in that namespace and dies with it.
type thread struct {
	tid   int
	calls chan func()
	ended chan struct{}
}

func newThread() (*thread, error) {
	th := &thread{calls: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and with it the namespace
		defer close(th.ended)
		th.tid = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- err
		for f := range th.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(th.calls)
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return th, nil
}

// do runs f on the thread.
func (th *thread) do(f func() error) error {
	result := make(chan error, 1)
	th.calls <- func() { result <- f() }
	return <-result
}

func (th *thread) close() {
	close(th.calls)
	<-th.ended
}
