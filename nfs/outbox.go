package nfs

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"twofold/nfs/rpc"
)

const (
	// maxBatch bounds the bytes that go to the socket under one deadline, so
	// that the deadline demands a rate of the client. One reply may exceed it.
	maxBatch = 1 << 20
	// maxVector bounds the replies of one batch: Linux takes 1024 (IOV_MAX).
	maxVector = 1024
	// dropTime is what the replies that are ready get when the connection is
	// to be closed without an answer to another call.
	dropTime = 250 * time.Millisecond
)

// outbox holds the replies that wait to be written on one connection.
//
// Invariant: queue is empty unless writing is set, except under the lock.
type outbox struct {
	sync.Mutex
	queue    []*task
	spare    []*task // the other slice, used in turn
	writing  bool    // a goroutine is the writer
	closing  bool    // no more replies; the connection ends after those queued
	dead     bool    // no more replies, and those queued are discarded
	deadline time.Time

	// For the writer alone.
	iov  net.Buffers
	view net.Buffers
}

// kill makes the outbox discard everything from now on.
func (o *outbox) kill() {
	o.Lock()
	o.closing, o.dead = true, true
	o.Unlock()
}

// send ends the reply of t and writes it, or leaves it to the goroutine that
// is writing already.
func (c *conn) send(t *task) {
	rpc.EndRecord(&t.w, 0)
	o := &c.out
	o.Lock()
	if o.closing {
		o.Unlock()
		c.release(t)
		return
	}
	o.queue = append(o.queue, t)
	if o.writing {
		o.Unlock()
		return
	}
	o.writing = true
	o.Unlock()
	// Calls that wait for the same log entry end together. Let those that are
	// ready to run leave their replies here before the system call.
	runtime.Gosched()
	c.writeAll()
}

// sendAll writes replies that are ended, or leaves them to the goroutine that is
// writing already.
func (c *conn) sendAll(tasks []*task) {
	o := &c.out
	o.Lock()
	if o.closing {
		o.Unlock()
		c.releaseAll(tasks)
		return
	}
	o.queue = append(o.queue, tasks...)
	if o.writing {
		o.Unlock()
		return
	}
	o.writing = true
	o.Unlock()
	c.writeAll()
}

// writeAll is the writer: it writes until the queue is empty.
func (c *conn) writeAll() {
	o := &c.out
	for {
		o.Lock()
		batch, dead := o.queue, o.dead
		if len(batch) == 0 {
			o.writing = false
			closing := o.closing
			o.Unlock()
			if closing {
				c.abort()
			}
			return
		}
		o.queue, o.spare = o.spare[:0], nil
		o.Unlock()
		if !dead {
			if err := c.writeBatches(batch); err != nil {
				c.writeFailed(err)
			}
		}
		c.releaseAll(batch)
		o.Lock()
		o.spare = batch[:0]
		o.Unlock()
	}
}

// writeFailed ends the connection. It says so if the client is to blame, and not
// if drop has just set a deadline.
func (c *conn) writeFailed(err error) {
	c.out.Lock()
	closing := c.out.closing
	c.out.Unlock()
	if closing || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.abort()
		return
	}
	c.end(limitWriteTime)
	if c.srv.noisy.allow() {
		c.srv.log.Warn("client takes no replies, connection closed", "client", c.client)
	}
}

// writeBatches writes the replies of tasks.
func (c *conn) writeBatches(tasks []*task) error {
	o := &c.out
	for len(tasks) > 0 {
		o.iov = o.iov[:0]
		size := 0
		for len(tasks) > 0 && len(o.iov) < maxVector {
			b := tasks[0].w.B
			if size > 0 && size+len(b) > maxBatch {
				break
			}
			o.iov = append(o.iov, b)
			size += len(b)
			tasks = tasks[1:]
		}
		if err := c.refreshDeadline(); err != nil {
			return err
		}
		if err := o.write(c.nc); err != nil {
			return err
		}
	}
	return nil
}

// write writes o.iov.
func (o *outbox) write(nc net.Conn) (err error) {
	if len(o.iov) == 1 {
		_, err = nc.Write(o.iov[0])
		o.iov[0] = nil
		return err
	}
	o.view = o.iov // WriteTo consumes the view
	_, err = o.view.WriteTo(nc)
	clear(o.iov) // after an error some are left
	return err
}

// refreshDeadline gives the client time for the next batch. To save calls it
// leaves a deadline that is hardly used up.
func (c *conn) refreshDeadline() error {
	limit := c.srv.limits.WriteTime
	now := time.Now()
	o := &c.out
	o.Lock()
	defer o.Unlock()
	if o.closing || o.deadline.Sub(now) > limit-limit/4 {
		return nil // drop has set one that is to hold
	}
	o.deadline = now.Add(limit)
	return c.nc.SetWriteDeadline(o.deadline)
}

// releaseAll gives back what tasks hold and clears the slice.
func (c *conn) releaseAll(tasks []*task) {
	bytes := 0
	for i, t := range tasks {
		bytes += c.recycle(t)
		tasks[i] = nil
	}
	c.giveBack(len(tasks), bytes)
}

// drop ends the connection without answering the calls that still run. Replies
// that are ready go out first, within dropTime.
func (c *conn) drop() {
	c.stopReading()
	o := &c.out
	o.Lock()
	o.closing = true
	writing := o.writing
	if writing {
		_ = c.nc.SetWriteDeadline(time.Now().Add(dropTime)) // a closed connection needs none
	}
	o.Unlock()
	if !writing {
		c.abort()
	}
}
