package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

const (
	// maxOutstanding bounds the calls without a reply on one connection.
	maxOutstanding = 4096
	// maxQueued bounds the calls that are encoded and wait to be written.
	maxQueued  = 64
	readBuffer = 64 << 10
)

// replyLimits bounds what a server can make the client hold.
var replyLimits = rpc.RecordLimits{Bytes: 2 << 20, Fragments: 1024}

// ErrClosed is the error of calls after Close.
var ErrClosed = errors.New("client: connection closed")

// conn is one connection, shared by all Clients that were made from it.
type conn struct {
	nc    net.Conn
	xid   atomic.Uint32
	slots chan struct{} // one element for each outstanding call

	outgoing chan *xdr.Writer // records for the writing goroutine
	failed   chan struct{}    // closed when pending.err is set
	ending   sync.WaitGroup   // the two goroutines

	pending struct {
		sync.Mutex
		calls map[uint32]*call
		err   error // set once the connection has failed
	}
}

// call is one outstanding call. Calls of the same XID form a list.
type call struct {
	reply chan reply // has room for the one reply
	next  *call
}

type reply struct {
	rec []byte
	err error
}

var messagePool = sync.Pool{New: func() any { return new(xdr.Writer) }}

var callPool = sync.Pool{New: func() any { return &call{reply: make(chan reply, 1)} }}

func newConn(nc net.Conn, firstXID uint32) *conn {
	c := &conn{
		nc:       nc,
		slots:    make(chan struct{}, maxOutstanding),
		outgoing: make(chan *xdr.Writer, maxQueued),
		failed:   make(chan struct{}),
	}
	c.xid.Store(firstXID)
	c.pending.calls = make(map[uint32]*call)
	c.ending.Add(2)
	go c.readReplies()
	go c.writeCalls()
	return c
}

// do sends one call and waits for its reply.
func (c *conn) do(ctx context.Context, r *Request) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.slots }()
	p := callPool.Get().(*call)
	if err := c.register(r.XID, p); err != nil {
		callPool.Put(p)
		return nil, err
	}
	if err := c.send(ctx, r); err != nil {
		c.forget(r.XID, p)
		return nil, err
	}
	select {
	case got := <-p.reply:
		callPool.Put(p)
		if got.err != nil {
			return nil, got.err
		}
		return rpc.ParseReply(got.rec)
	case <-ctx.Done():
		c.forget(r.XID, p)
		return nil, ctx.Err()
	}
}

// register adds p at the end of the list of its XID.
func (c *conn) register(xid uint32, p *call) error {
	c.pending.Lock()
	defer c.pending.Unlock()
	if c.pending.err != nil {
		return c.pending.err
	}
	first := c.pending.calls[xid]
	if first == nil {
		c.pending.calls[xid] = p
		return nil
	}
	for first.next != nil {
		first = first.next
	}
	first.next = p
	return nil
}

// take removes the first call of an XID; nil if there is none.
func (c *conn) take(xid uint32) *call {
	c.pending.Lock()
	defer c.pending.Unlock()
	p := c.pending.calls[xid]
	if p == nil {
		return nil
	}
	if p.next == nil {
		delete(c.pending.calls, xid)
	} else {
		c.pending.calls[xid] = p.next
		p.next = nil
	}
	return p
}

// forget removes p, for which nobody waits any more. p is not used again, since
// its reply may be on its way.
func (c *conn) forget(xid uint32, p *call) {
	c.pending.Lock()
	defer c.pending.Unlock()
	first := c.pending.calls[xid]
	if first == p {
		if p.next == nil {
			delete(c.pending.calls, xid)
		} else {
			c.pending.calls[xid] = p.next
		}
		return
	}
	for ; first != nil; first = first.next {
		if first.next == p {
			first.next = p.next
			return
		}
	}
}

// send hands the encoded call to the writing goroutine. A write error ends the
// connection, and with it the caller's wait.
func (c *conn) send(ctx context.Context, r *Request) error {
	m := messagePool.Get().(*xdr.Writer)
	m.Truncate(0)
	rpc.BeginRecord(m)
	rpc.AppendCall(m, r.XID, r.Prog, r.Vers, r.Proc, &r.Cred)
	m.B = append(m.B, r.Args...) // a copy: the caller may leave before it is written
	rpc.EndRecord(m, 0)
	select {
	case c.outgoing <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.failed:
		return nil // the reply channel has the error
	}
}

// writeCalls writes what was sent, as much as there is at a time.
func (c *conn) writeCalls() {
	defer c.ending.Done()
	var iov, view net.Buffers
	batch := make([]*xdr.Writer, 0, maxQueued)
	for {
		select {
		case m := <-c.outgoing:
			batch = append(batch[:0], m)
		case <-c.failed:
			return
		}
		runtime.Gosched() // callers that are ready to run add theirs
		for len(c.outgoing) > 0 && len(batch) < maxQueued {
			batch = append(batch, <-c.outgoing)
		}
		iov = iov[:0]
		for _, m := range batch {
			iov = append(iov, m.B)
		}
		view = iov // WriteTo consumes the view
		if _, err := view.WriteTo(c.nc); err != nil {
			c.fail(fmt.Errorf("client: write: %w", err))
			return
		}
		for i, m := range batch {
			messagePool.Put(m)
			batch[i] = nil
		}
	}
}

// readReplies gives each reply to the call that waits for it.
func (c *conn) readReplies() {
	defer c.ending.Done()
	rr := rpc.NewRecordReader(bufio.NewReaderSize(c.nc, readBuffer), replyLimits)
	for {
		rec, err := rr.Next(growRecord)
		if err != nil {
			c.fail(fmt.Errorf("client: read: %w", err))
			return
		}
		xid, ok := rpc.ReplyXID(rec)
		if !ok {
			c.fail(rpc.ErrNotReply)
			return
		}
		if p := c.take(xid); p != nil { // else its context has ended
			p.reply <- reply{rec: rec}
		}
	}
}

// growRecord makes room in a fresh slice, which the caller of the call keeps.
func growRecord(b []byte, n int, _ bool) ([]byte, error) {
	return append(b, make([]byte, n)...), nil
}

// fail ends the connection and every outstanding call with err, if it is the
// first to do so.
func (c *conn) fail(err error) {
	c.pending.Lock()
	if c.pending.err == nil {
		c.pending.err = err
		close(c.failed)
	}
	err = c.pending.err
	calls := c.pending.calls
	c.pending.calls = nil // register refuses from now on
	c.pending.Unlock()
	_ = c.nc.Close() // the first error is what counts
	for _, p := range calls {
		for p != nil {
			next := p.next
			p.next = nil
			p.reply <- reply{err: err}
			p = next
		}
	}
}
