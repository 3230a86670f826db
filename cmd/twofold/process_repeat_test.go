//go:build process

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
)

// carried is one call of a client whose network is the test: its bytes go to
// the servers when and as often as the test likes, and it gets the one reply
// that the test chooses.
type carried struct {
	t      *testing.T
	bytes  []byte   // the call's record, with its mark
	end    net.Conn // the client's other end
	answer chan answer
}

// answer is what the client makes of a reply: the status, and the attributes
// after the call of the object whose change the reply shows.
type answer struct {
	status client.Status
	after  *client.Attr
	err    error
}

// carry lets a client make a call and takes its bytes.
func carry(t *testing.T, call func(context.Context, *client.Client) answer) *carried {
	t.Helper()
	near, far := net.Pipe()
	p := &carried{t: t, end: far, answer: make(chan answer, 1)}
	c := client.New(near)
	t.Cleanup(func() { _ = c.Close() }) // done with
	go func() { p.answer <- call(context.Background(), c) }()
	rec := readRecord(t, far)
	p.bytes = append(binary.BigEndian.AppendUint32(nil, uint32(len(rec))|1<<31), rec...)
	return p
}

// readRecord reads one record; nil if the connection ends.
func readRecord(t *testing.T, nc net.Conn) []byte {
	t.Helper()
	rr := rpc.NewRecordReader(bufio.NewReader(nc), rpc.DefaultRecordLimits)
	rec, err := rr.Next(func(b []byte, n int, _ bool) ([]byte, error) { return slices.Grow(b, n)[:len(b)+n], nil })
	if err != nil {
		return nil
	}
	return rec
}

// send opens connections to all of addrs, and then sends a copy to each.
func (p *carried) send(addrs ...string) []net.Conn {
	p.t.Helper()
	var conns []net.Conn
	for _, addr := range addrs {
		nc, err := net.DialTimeout("tcp", addr, dialLimit)
		if err != nil {
			p.t.Fatal(err)
		}
		conns = append(conns, nc)
	}
	for _, nc := range conns {
		if _, err := nc.Write(p.bytes); err != nil {
			p.t.Fatal(err)
		}
	}
	return conns
}

// ask sends a copy over a new connection until there is a reply.
func (p *carried) ask(addr string) (reply []byte) {
	p.t.Helper()
	for end := time.Now().Add(callLimit); time.Now().Before(end); time.Sleep(retryPause) {
		nc, err := net.DialTimeout("tcp", addr, dialLimit)
		if err != nil {
			continue
		}
		if _, err := nc.Write(p.bytes); err == nil {
			reply = readRecord(p.t, nc)
		}
		_ = nc.Close() // each copy has a connection of its own
		if reply != nil {
			return reply
		}
	}
	p.t.Fatal(errNoAnswer)
	return nil
}

// deliver gives the client its reply and returns what it makes of it.
func (p *carried) deliver(reply []byte) answer {
	p.t.Helper()
	if _, err := p.end.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))|1<<31), reply...)); err != nil {
		p.t.Fatal(err)
	}
	return <-p.answer
}

// repetition is one way in which a copy of a call comes after the first one,
// whose reply was cut off.
type repetition struct {
	name   string
	both   bool                            // the first copy goes to both nodes at once
	before func(c *procCluster)            // what happens before the copy comes
	second func(c *procCluster, n int) int // the node that the copy comes to; the first was n
	after  func(c *procCluster)            // what happens before the copy after that comes to the other node
}

func sameNode(_ *procCluster, n int) int { return n }

func repetitions() []repetition {
	var lost string
	return []repetition{
		{name: "same node", second: sameNode},
		{name: "other node", second: func(_ *procCluster, n int) int { return 1 - n }},
		{name: "both nodes at once", both: true, second: sameNode},
		{
			name:   "leader killed",
			before: func(c *procCluster) { lost = c.awaitHealthy(); c.kill(lost) },
			second: func(*procCluster, int) int { return dataIndex(other(lost)) },
			after:  func(c *procCluster) { c.start(lost); c.awaitHealthy() },
		},
		{
			name: "both data nodes killed", // they read their logs again
			before: func(c *procCluster) {
				c.kill(dataNames[:]...)
				c.startData()
			},
			second: sameNode,
		},
		{
			name: "both data nodes stopped", // they find their state as they left it
			before: func(c *procCluster) {
				c.signal(syscall.SIGTERM, dataNames[:]...)
				for _, name := range dataNames {
					c.running[name].exit(c.t)
				}
				c.startData()
			},
			second: sameNode,
		},
	}
}

// startData starts the data nodes and waits until both serve.
func (c *procCluster) startData() {
	c.t.Helper()
	for _, name := range dataNames {
		c.start(name)
	}
	c.awaitHealthy()
}

// A client that loses its connection before it reads the reply sends the call
// again, with the same XID and the same bytes, wherever it can. Whatever others
// did meanwhile, the copy gets the first answer, to the byte, and has no effect
// of its own.
//
// Seen red: with an apply that looks no call up (replica/state), and with an
// index that is not built anew when the state is opened, in the last way.
func TestProcess_RepeatedCallsGetTheFirstAnswer(t *testing.T) {
	c := newProcCluster(t)
	addrs := c.nfsAddrs()
	for _, r := range repetitions() {
		begin := time.Now()
		c.awaitHealthy()
		w := newWorkshop(t, addrs, r.name)
		cases := w.cases()
		calls := make([]*carried, len(cases))
		seen := make([]client.Attr, len(cases))
		for i, k := range cases {
			calls[i] = carry(t, k.call)
			to := []string{addrs[i%2]}
			if r.both {
				to = addrs[:]
			}
			conns := calls[i].send(to...)
			eventuallySoon(t, r.name+": "+k.name+" is visible", k.done)
			for _, nc := range conns {
				_ = nc.Close() // with the reply unread
			}
			seen[i] = w.attr(k.subject)
			k.meanwhile()
		}
		if r.before != nil {
			r.before(c)
		}
		replies := make([][]byte, len(cases))
		for i, k := range cases {
			replies[i] = calls[i].ask(addrs[r.second(c, i%2)])
			got := calls[i].deliver(replies[i])
			if got.err != nil || got.status != client.OK || got.after == nil || *got.after != seen[i] {
				t.Errorf("%s: the copy of %s: %v, %v, %+v, want OK and what was seen after the first one, %+v",
					r.name, k.name, got.status, got.err, got.after, seen[i])
			}
		}
		if r.after != nil {
			r.after(c)
		}
		w.reconnect()
		for i, k := range cases {
			if third := calls[i].ask(addrs[1-r.second(c, i%2)]); !bytes.Equal(third, replies[i]) {
				t.Errorf("%s: %s is answered %x at first, then %x", r.name, k.name, replies[i], third)
			}
			if wrong := k.stands(); wrong != "" {
				t.Errorf("%s: after copies of %s: %s", r.name, k.name, wrong)
			}
		}
		t.Logf("%s: %d procedures, %s", r.name, len(cases), time.Since(begin).Round(time.Millisecond))
		if t.Failed() {
			t.FailNow()
		}
	}
	c.checkDigests()
	c.stopAll()
}

// eventuallySoon is eventually for what takes a few milliseconds.
func eventuallySoon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(callLimit); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", callLimit, what)
		}
	}
}
