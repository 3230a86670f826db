//go:build process

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

const (
	// shortPause is the least max_pause that a config may have.
	shortPause = minMaxPause
	// stoppedFor is well over it.
	stoppedFor = shortPause + 500*time.Millisecond
	// closeLimit is within what a node that goes on must have closed its
	// connections.
	closeLimit = 10 * time.Second
)

// A node that stood still for longer than max_pause closes its clients'
// connections when it goes on, and executes none of the calls that lay in
// them (rule R11): the client has sent them to the other node meanwhile, and the
// answer there may be forgotten. That holds for a connection that it served
// before, and for one that waited to be accepted.
//
// The node is the follower, since nothing else would keep it from handing the
// calls to the leader.
//
// Seen red: with a max_pause of a minute.
func TestProcess_PausedNodeExecutesNoOldCall(t *testing.T) {
	c := formatted(t)
	for _, name := range dataNames {
		c.cfgs[name].NFS.MaxPause = duration(shortPause)
		c.write(t, name)
	}
	c.startAll()
	node := other(c.awaitHealthy())
	addr := c.nfsAddrs()[dataIndex(node)]
	conn, root := session(t, c.nfsAddrs()[1-dataIndex(node)])
	calls := map[string]*carried{}
	for _, name := range []string{"served", "waiting"} {
		calls[name] = carry(t, func(ctx context.Context, c *client.Client) answer {
			res, err := c.Create(ctx, root, name, client.CreateHow{Mode: vfs.CreateGuarded})
			return answer{res.Status, res.Dir.After, err}
		})
	}
	served := dialServed(t, addr)

	c.signal(syscall.SIGSTOP, node)
	c.awaitStopped(node)
	if _, err := served.Write(calls["served"].bytes); err != nil {
		t.Fatal(err)
	}
	waiting := calls["waiting"].send(addr)[0]
	time.Sleep(stoppedFor) // the passing of time is what is tested
	mkdir(t, c.nfsAddrs()[1-dataIndex(node)], "meanwhile")
	c.signal(syscall.SIGCONT, node)

	for name, nc := range map[string]net.Conn{"served": served, "waiting": waiting} {
		awaitClosed(t, name, nc)
	}
	c.ready(t, node)
	for name, call := range calls {
		found, err := conn.Lookup(t.Context(), root, name)
		if err != nil || found.Status != client.ErrNoEnt {
			t.Errorf("%s: the call that lay in the socket was executed: LOOKUP %v, %v", name, found.Status, err)
		}
		if got := call.deliver(call.ask(addr)); got.err != nil || got.status != client.OK {
			t.Errorf("%s: sent again it is answered %v, %v", name, got.status, got.err)
		}
	}
	c.checkDigests()
	c.stopAll()
}

// awaitStopped waits until every thread of a node has come to its stop: one that
// still runs might take a call.
func (c *procCluster) awaitStopped(name string) {
	c.t.Helper()
	tasks := fmt.Sprintf("/proc/%d/task", c.running[name].cmd.Process.Pid)
	eventuallySoon(c.t, name+" is stopped", func() bool {
		threads, err := os.ReadDir(tasks)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, th := range threads {
			// proc(5): pid, the command in parentheses, the state.
			stat, err := os.ReadFile(filepath.Join(tasks, th.Name(), "stat"))
			if err != nil || !bytes.Contains(stat, []byte(") T ")) {
				return false
			}
		}
		return true
	})
}

// dialServed returns a connection on which a call was answered.
func dialServed(t *testing.T, addr string) net.Conn {
	t.Helper()
	null := carry(t, func(ctx context.Context, c *client.Client) answer { return answer{err: c.Null(ctx)} })
	nc := null.send(addr)[0]
	if got := null.deliver(readRecord(t, nc)); got.err != nil {
		t.Fatal(got.err)
	}
	return nc
}

// awaitClosed waits until the server has closed a connection, and wants no
// reply before that.
func awaitClosed(t *testing.T, name string, nc net.Conn) {
	t.Helper()
	if err := nc.SetReadDeadline(time.Now().Add(closeLimit)); err != nil {
		t.Fatal(err)
	}
	n, err := nc.Read(make([]byte, 1))
	if n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: %d bytes, %v, want a closed connection", name, n, err)
	}
	_ = nc.Close() // it is closed
}
