package peer

import (
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

// put appends one frame, whose body is given in parts. With wait it blocks
// while the buffer is full; without, a full buffer closes the outbox. It
// reports whether the frame was taken.
func (o *outbox) put(wait bool, typ uint8, id uint64, parts ...[]byte) bool {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.mu.closed && len(o.mu.buf) > 0 && len(o.mu.buf)+headerLen+n > MaxBuffered {
		if !wait {
			o.closeLocked()
			break
		}
		o.space.Wait()
	}
	if o.mu.closed {
		return false
	}
	o.mu.buf = appendHeader(o.mu.buf, typ, id, n)
	for _, p := range parts {
		o.mu.buf = append(o.mu.buf, p...)
	}
	o.signal()
	return true
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
