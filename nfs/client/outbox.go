package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// maxQueued bounds the bytes of calls that wait to be written: 256 WRITEs of
// 1 MiB, and their headers. Whoever has more to send waits.
const maxQueued = 257 << 20

// outbox is what waits to be written to a connection.
type outbox struct {
	sync.Mutex
	w       xdr.Writer
	spare   []byte        // the memory of what was written last
	rest    []byte        // what the reading goroutine could not write at once
	writing bool          // somebody writes, or has left a rest to write
	reading bool          // the reading goroutine has replies at hand; it writes before it waits for more
	room    chan struct{} // closed when w is taken; nil unless somebody waits for it
}

// sendRequest queues a call that has a context.
func (c *conn) sendRequest(ctx context.Context, r *Request) error {
	if err := c.lockOutbox(ctx.Done(), len(r.Args)); err != nil {
		if errors.Is(err, errLeft) {
			err = ctx.Err()
		}
		return err
	}
	w := &c.out.w
	off := w.Len()
	rpc.BeginRecord(w)
	rpc.AppendCall(w, r.XID, r.Prog, r.Vers, r.Proc, &r.Cred)
	w.B = append(w.B, r.Args...)
	rpc.EndRecord(w, off)
	c.unlockOutbox()
	return nil
}

// sendEncoded queues a message in two parts.
func (c *conn) sendEncoded(xid uint32, head, data []byte) error {
	if err := c.lockOutbox(nil, len(head)+len(data)); err != nil {
		return err
	}
	w := &c.out.w
	off := w.Len()
	rpc.BeginRecord(w)
	w.B = append(append(w.B, head...), data...)
	rpc.EndRecord(w, off)
	w.PutUint32(off+rpc.MarkLen, xid)
	c.unlockOutbox()
	return nil
}

// errLeft is the error when the caller ceased to wait for room.
var errLeft = errors.New("client: ceased to wait")

// lockOutbox locks the outbox once it has room for n bytes; an empty one has.
func (c *conn) lockOutbox(done <-chan struct{}, n int) error {
	for {
		c.out.Lock()
		if have := c.out.w.Len(); have == 0 || have+n <= maxQueued {
			return nil
		}
		if c.out.room == nil {
			c.out.room = make(chan struct{})
		}
		room := c.out.room
		c.out.Unlock()
		select {
		case <-room:
		case <-done:
			return errLeft
		case <-c.failed:
			return c.lastError()
		}
	}
}

// unlockOutbox sees to it that somebody writes what was queued.
func (c *conn) unlockOutbox() {
	idle := !c.out.reading && !c.out.writing
	c.out.Unlock()
	if idle {
		c.wakeWriter()
	}
}

func (c *conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take takes what is queued, if nobody writes. The caller writes from then on.
func (o *outbox) take() []byte {
	if o.writing || o.w.Len() == 0 {
		return nil
	}
	buf := o.w.B
	o.w.B, o.spare, o.writing = o.spare[:0], nil, true
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
	return buf
}

// writeCalls writes what others queue while the reading goroutine has nothing to
// read, and what that one could not write without waiting.
func (c *conn) writeCalls() {
	defer c.ending.Done()
	for {
		select {
		case <-c.wake:
		case <-c.failed:
			return
		}
		runtime.Gosched() // callers that are ready to run add theirs
		if err := c.writeAll(); err != nil {
			c.fail(fmt.Errorf("client: write: %w", err))
			return
		}
	}
}

// writeAll writes until nothing is left.
func (c *conn) writeAll() error {
	c.out.Lock()
	defer c.out.Unlock()
	for {
		buf := c.out.rest
		c.out.rest = nil
		if buf == nil {
			buf = c.out.take()
		}
		if buf == nil {
			return nil
		}
		c.out.Unlock()
		_, err := c.nc.Write(buf)
		c.out.Lock()
		if err != nil {
			return err // writing stays set: nobody else tries
		}
		c.out.writing, c.out.spare = false, buf[:0]
	}
}

// beginReading says that the reading goroutine will call writeAtHand.
func (c *conn) beginReading() {
	c.out.Lock()
	c.out.reading = true
	c.out.Unlock()
}

// writeAtHand writes what the callers of the replies at hand have queued, and
// leaves to the writing goroutine what the kernel does not take at once: waiting
// here, while the server waits for its replies to be read, would be for ever.
func (c *conn) writeAtHand() error {
	runtime.Gosched() // let the callers run first
	c.out.Lock()
	defer c.out.Unlock()
	c.out.reading = false
	buf := c.out.take()
	if buf == nil {
		return nil
	}
	c.out.Unlock()
	n, err := c.writeNow(buf)
	c.out.Lock()
	if err != nil {
		return err
	}
	if n < len(buf) {
		c.out.rest = buf[n:]
		c.wakeWriter()
		return nil
	}
	c.out.writing, c.out.spare = false, buf[:0]
	if c.out.w.Len() > 0 {
		c.wakeWriter() // queued meanwhile
	}
	return nil
}

// direct writes to a socket without waiting.
type direct struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // made once, so that writing does not allocate
	buf []byte
	n   int
	err error
}

func newDirect(nc any) *direct {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.try = func(fd uintptr) bool {
		d.n, d.err = unix.Write(int(fd), d.buf)
		return true
	}
	return d
}

// writeNow writes as much as the kernel takes at once. A connection that is no
// socket takes nothing.
func (c *conn) writeNow(buf []byte) (int, error) {
	d := c.direct
	if d == nil {
		return 0, nil
	}
	d.buf = buf
	err := d.raw.Write(d.try)
	d.buf = nil
	if err != nil {
		return 0, err
	}
	if d.err != nil && !errors.Is(d.err, unix.EAGAIN) && !errors.Is(d.err, unix.EINTR) {
		return 0, d.err
	}
	return max(d.n, 0), nil
}
