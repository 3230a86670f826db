package client

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"twofold/nfs/rpc"
)

const (
	// maxOutstanding bounds the calls without a reply on one connection.
	maxOutstanding = 4096
	readBuffer     = 64 << 10
)

// replyLimits bounds what a server can make the client hold.
var replyLimits = rpc.RecordLimits{Bytes: 2 << 20, Fragments: 1024}

// ErrClosed is the error of calls after Close.
var ErrClosed = errors.New("client: connection closed")

// conn is one connection, shared by all Clients that were made from it.
type conn struct {
	nc     net.Conn
	xid    atomic.Uint32
	slots  chan struct{} // one element for each outstanding call
	wake   chan struct{} // tells the writing goroutine that there is something for it
	failed chan struct{} // closed when pending.err is set
	ending sync.WaitGroup
	direct *direct // nil if nc is no socket; for who has set out.writing

	out     outbox
	pending struct {
		sync.Mutex
		calls map[uint32]*Slot
		err   error // set once the connection has failed
	}
}

var slotPool = sync.Pool{New: func() any { return newSlot(nil) }}

func newConn(nc net.Conn, firstXID uint32) *conn {
	c := &conn{
		nc:     nc,
		slots:  make(chan struct{}, maxOutstanding),
		wake:   make(chan struct{}, 1),
		failed: make(chan struct{}),
		direct: newDirect(nc),
	}
	c.xid.Store(firstXID)
	c.pending.calls = make(map[uint32]*Slot)
	c.ending.Add(2)
	go c.readReplies()
	go c.writeCalls()
	return c
}

// lastError is why the connection failed.
func (c *conn) lastError() error {
	c.pending.Lock()
	defer c.pending.Unlock()
	return c.pending.err
}

// register adds s at the end of the list of its XID. The caller has put an
// element into slots, which comes out when s waits no more.
func (c *conn) register(xid uint32, s *Slot, now time.Time) error {
	c.pending.Lock()
	defer c.pending.Unlock()
	if c.pending.err != nil {
		<-c.slots
		return c.pending.err
	}
	s.xid, s.since, s.waiting = xid, now, true
	first := c.pending.calls[xid]
	if first == nil {
		c.pending.calls[xid] = s
		return nil
	}
	for first.next != nil {
		first = first.next
	}
	first.next = s
	return nil
}

// take removes the first call of an XID; nil if there is none.
func (c *conn) take(xid uint32) *Slot {
	c.pending.Lock()
	defer c.pending.Unlock()
	s := c.pending.calls[xid]
	if s != nil {
		c.removeLocked(s)
	}
	return s
}

// forget removes s, and reports false if it has its answer already.
func (c *conn) forget(s *Slot) bool {
	c.pending.Lock()
	defer c.pending.Unlock()
	if !s.waiting {
		return false
	}
	c.removeLocked(s)
	return true
}

// forgetBefore is forget for a call that was made before a time.
func (c *conn) forgetBefore(s *Slot, before time.Time) bool {
	c.pending.Lock()
	defer c.pending.Unlock()
	if !s.waiting || !s.since.Before(before) {
		return false
	}
	c.removeLocked(s)
	return true
}

// removeLocked removes s, which waits, from the list of its XID.
func (c *conn) removeLocked(s *Slot) {
	first := c.pending.calls[s.xid]
	switch {
	case first == s && s.next == nil:
		delete(c.pending.calls, s.xid)
	case first == s:
		c.pending.calls[s.xid] = s.next
	default:
		for first.next != s {
			first = first.next
		}
		first.next = s.next
	}
	s.next, s.waiting = nil, false
	<-c.slots
}

// readReplies gives each reply to the call that waits for it.
func (c *conn) readReplies() {
	defer c.ending.Done()
	br := bufio.NewReaderSize(c.nc, readBuffer)
	rr := rpc.NewRecordReader(br, replyLimits)
	var mem []byte // each record's in turn: who waits for it copies it
	grow := func(b []byte, n int, _ bool) ([]byte, error) {
		if b == nil {
			b = mem[:0]
		}
		return slices.Grow(b, n)[:len(b)+n], nil
	}
	atHand := false
	for {
		if atHand && !recordAtHand(br) {
			atHand = false
			if err := c.writeAtHand(); err != nil {
				c.fail(fmt.Errorf("client: write: %w", err))
				return
			}
		}
		rec, err := rr.Next(grow)
		if err != nil {
			c.fail(fmt.Errorf("client: read: %w", err))
			return
		}
		mem = rec
		if !atHand {
			atHand = true
			c.beginReading()
		}
		xid, ok := rpc.ReplyXID(rec)
		if !ok {
			c.fail(rpc.ErrNotReply)
			return
		}
		if s := c.take(xid); s != nil { // else nobody waits for it any more
			s.answer(rec)
		}
	}
}

// recordAtHand reports whether the next fragment can be read without waiting.
func recordAtHand(br *bufio.Reader) bool {
	n := br.Buffered()
	if n < rpc.MarkLen {
		return false
	}
	mark, err := br.Peek(rpc.MarkLen)
	return err == nil && n-rpc.MarkLen >= int(binary.BigEndian.Uint32(mark)&^(1<<31))
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
	var waiting []*Slot
	for _, s := range c.pending.calls {
		for s != nil {
			waiting = append(waiting, s)
			s = s.next
		}
	}
	for _, s := range waiting {
		s.next, s.waiting = nil, false
		<-c.slots
	}
	clear(c.pending.calls) // register refuses from now on
	c.pending.Unlock()
	_ = c.nc.Close() // the first error is what counts
	for _, s := range waiting {
		s.reply <- err
	}
}
