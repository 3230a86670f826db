//go:build process

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"twofold/nfs/client"
)

// habit is what a client does when it loses its connection with a call out.
type habit int

const (
	waits  habit = iota // sends the call again to the same node when it is back
	moves               // sends the call again to whichever node takes it
	leaves              // never learns what became of the call
)

// Bounds of one call.
const (
	callLimit  = 40 * time.Second // with all its repetitions
	dialLimit  = 2 * time.Second
	retryPause = 20 * time.Millisecond
)

var (
	// errLeft is the error of a call that was given up.
	errLeft = errors.New("connection lost, outcome unknown")
	// errNoAnswer is the error of a call that nobody answered in time.
	errNoAnswer = fmt.Errorf("no answer within %s", callLimit)
)

// caller is a client that makes one call at a time. A call that is sent again
// has the XID and the arguments that it had, as the kernel's client does it.
type caller struct {
	addrs [2]string // of the data nodes, see dataNames
	node  int       // the one that it is connected with, or tries next
	habit habit
	xid   uint32
	conn  *client.Client // nil while there is none

	calls  []span // answered calls
	losses []span // connections lost with a call out
}

// span is a call, from its first sending to its end. node is where it was sent
// first.
type span struct {
	node       int
	begin, end time.Time
}

// connect makes one attempt and reports whether there is a connection now. Its
// first call will have the XID of the one that is due.
func (p *caller) connect() bool {
	if p.conn != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	defer cancel()
	c, err := client.Dial(ctx, p.addrs[p.node], client.WithFirstXID(p.xid))
	if err != nil {
		return false
	}
	p.conn = c
	return true
}

func (p *caller) close() {
	if p.conn != nil {
		_ = p.conn.Close() // the connection is done with
		p.conn = nil
	}
}

// call is one NFS call by a typed method of the client, which takes one XID.
type call func(ctx context.Context, c *client.Client) (client.Status, error)

// do makes a call until it is answered. again says that it was sent more than
// once, so that what it asks for may have been done before.
func (p *caller) do(f call) (st client.Status, again bool, err error) {
	begin, first := time.Now(), p.node
	ctx, cancel := context.WithDeadline(context.Background(), begin.Add(callLimit))
	defer cancel()
	for ctx.Err() == nil {
		if !p.connect() {
			p.afterFailure()
			continue
		}
		sent := time.Now()
		st, err = f(ctx, p.conn)
		switch {
		case err == nil && st == client.ErrJukebox:
			// It was certainly not done. The kernel's client makes a new call.
			p.xid++
			time.Sleep(retryPause)
			continue
		case err == nil:
			p.xid++
			p.calls = append(p.calls, span{first, begin, time.Now()})
			return st, again, nil
		case !p.isLost():
			return st, again, err
		}
		p.losses = append(p.losses, span{p.node, sent, time.Now()})
		p.close()
		again = true
		if p.habit == leaves {
			p.xid++
			return st, again, errLeft
		}
		p.afterFailure()
	}
	return st, again, errNoAnswer
}

// isLost reports that the connection has failed.
func (p *caller) isLost() bool {
	select {
	case <-p.conn.Done():
		return true
	default:
		return false
	}
}

// afterFailure waits a moment and chooses the next node to try.
func (p *caller) afterFailure() {
	time.Sleep(retryPause)
	if p.habit == moves {
		p.node = 1 - p.node
	}
}

// newCaller returns a caller that begins at a node.
func newCaller(addrs [2]string, node int, h habit) caller {
	return caller{addrs: addrs, node: node, habit: h, xid: rand.Uint32()}
}
