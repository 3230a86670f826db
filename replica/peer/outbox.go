package peer

import (
	"context"
	"net"
	"sync"
	"time"
)

// writeTimeout bounds one write to a connection whose other end does not read.
const writeTimeout = 5 * time.Second

// outbox gathers frames and writes all that have come together in one call.
type outbox struct {
	conn net.Conn

	mu struct {
		sync.Mutex
		buf    []byte
		closed bool
	}
	wake  chan struct{} // capacity 1: there is something to write, or it is closed
	space *sync.Cond    // buf shrank, or it is closed; uses mu
}

func newOutbox(conn net.Conn) *outbox {
	o := &outbox{conn: conn, wake: make(chan struct{}, 1)}
	o.space = sync.NewCond(&o.mu.Mutex)
	return o
}

// put appends one frame, whose body is given in parts. A full buffer closes the
// outbox. It reports whether the frame was taken.
func (o *outbox) put(typ uint8, id uint64, parts ...[]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fullLocked(MaxBuffered, parts) {
		o.closeLocked()
	}
	return o.appendLocked(typ, id, parts)
}

// putWait is put, but it waits while the buffer holds limit bytes, until ctx ends.
func (o *outbox) putWait(ctx context.Context, limit int, typ uint8, id uint64, parts ...[]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fullLocked(limit, parts) {
		defer context.AfterFunc(ctx, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.space.Broadcast()
		})()
	}
	for !o.mu.closed && o.fullLocked(limit, parts) {
		if ctx.Err() != nil {
			return false
		}
		o.space.Wait()
	}
	return o.appendLocked(typ, id, parts)
}

// fullLocked tells whether a frame has to wait. An empty buffer takes any.
func (o *outbox) fullLocked(limit int, parts [][]byte) bool {
	return len(o.mu.buf) > 0 && len(o.mu.buf)+headerLen+size(parts) > limit
}

func (o *outbox) appendLocked(typ uint8, id uint64, parts [][]byte) bool {
	if o.mu.closed {
		return false
	}
	o.mu.buf = appendHeader(o.mu.buf, typ, id, size(parts))
	for _, p := range parts {
		o.mu.buf = append(o.mu.buf, p...)
	}
	o.signal()
	return true
}

func size(parts [][]byte) int {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	return n
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closeLocked()
}

func (o *outbox) closeLocked() {
	o.mu.closed = true
	o.space.Broadcast()
	o.signal()
	o.conn.Close()
}

// run writes until the outbox is closed or a write fails.
func (o *outbox) run() {
	var spare []byte
	for range o.wake {
		o.mu.Lock()
		if o.mu.closed {
			o.mu.Unlock()
			return
		}
		out := o.mu.buf
		o.mu.buf = spare[:0]
		o.space.Broadcast()
		o.mu.Unlock()
		if len(out) > 0 {
			err := o.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if err == nil {
				_, err = o.conn.Write(out)
			}
			if err != nil {
				o.close()
				return
			}
		}
		spare = out
		if cap(spare) > 1<<20 {
			spare = nil // do not keep what one burst needed
		}
	}
}
