package nfs

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"twofold/nfs/rpc"
)

const (
	// readBuffer is what each connection keeps for small calls. The body of a
	// larger one goes from the socket straight into its record's buffer.
	readBuffer = 8 << 10
	// lingerTime and lingerBytes bound how long and how much is read after our
	// FIN. A close with unread bytes would be a reset, which may reach the
	// client before it has read the last replies.
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// errStopped ends the reading of a connection that is to be closed with FIN.
var errStopped = errors.New("nfs: reading stopped")

// longPast is a deadline that ends a read under way.
var longPast = time.Unix(1, 0)

// conn is one connection of a client.
type conn struct {
	srv    *Server
	nc     net.Conn
	client netip.AddrPort
	ctx    context.Context // of the handlers of its calls
	cancel context.CancelFunc

	stop      chan struct{} // closed once no more calls are to be read
	stopOnce  sync.Once
	abortOnce sync.Once

	inFlight budget
	calls    sync.WaitGroup // tasks that have not been released

	// For the reading goroutine alone.
	br      *bufio.Reader
	records *rpc.RecordReader
	growFn  rpc.Grow
	creds   rpc.CredCache
	rec     *buffer // of the record that is being read, or nil
	taken   int     // bytes taken from the budgets for it
	timed   bool    // a read deadline is set

	out outbox
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, client: addrPort(nc.RemoteAddr()), stop: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.inFlight.maxCalls, c.inFlight.maxBytes = s.limits.CallsPerConn, s.limits.BytesPerConn
	c.br = bufio.NewReaderSize(nc, readBuffer)
	c.records = rpc.NewRecordReader(c.br, rpc.RecordLimits{Bytes: s.limits.Record, Fragments: s.limits.Fragments})
	c.growFn = c.grow
	return c
}

// addrPort returns the address of a TCP peer; others have none.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// serve reads calls until the connection ends, and returns when it is closed
// and no call of it is left.
func (c *conn) serve() {
	err := c.readCalls()
	graceful := errors.Is(err, io.EOF) || errors.Is(err, errStopped)
	if !graceful {
		c.srv.logConn(c, err)
		c.abort()
	}
	c.calls.Wait()
	if graceful {
		c.closeGently(errors.Is(err, io.EOF))
	}
	c.abort()
}

// readCalls starts one call after the other. It returns io.EOF when the client
// sends no more, errStopped when the server wants no more.
func (c *conn) readCalls() error {
	for {
		rec, err := c.records.Next(c.growFn)
		if err == nil {
			err = c.clearDeadline()
		}
		if err != nil {
			c.dropRecord()
			if c.isStopped() {
				return errStopped
			}
			return err
		}
		if err := c.startCall(rec); err != nil {
			return err
		}
	}
}

// grow provides the memory of a record (rpc.Grow). For its first fragment it
// waits for room in the budgets: for that fragment if it is the only one, else
// for the longest record there may be, so that nobody holds room and waits for
// more.
func (c *conn) grow(b []byte, n int, more bool) ([]byte, error) {
	if c.rec == nil {
		want := n
		if more {
			want = c.srv.limits.Record
		}
		if err := c.take(roomFor(want)); err != nil {
			return nil, err
		}
		c.rec = c.srv.buffers.get(want)
	}
	// The client has begun a record that holds room: it has to end it in time.
	if !c.timed && (more || c.br.Buffered() < n) {
		c.timed = true
		if err := c.setDeadline(time.Now().Add(c.srv.limits.RecordTime)); err != nil {
			return nil, err
		}
	}
	return c.rec.b[:len(b)+n], nil
}

// take counts a call with n bytes in both budgets.
func (c *conn) take(n int) error {
	if !c.inFlight.take(n, c.stop) {
		return errStopped
	}
	if !c.srv.inFlight.take(n, c.stop) {
		c.inFlight.release(1, n)
		return errStopped
	}
	c.taken = n
	return nil
}

// dropRecord gives back what a record holds that did not become a call.
func (c *conn) dropRecord() {
	if c.rec == nil {
		return
	}
	c.srv.buffers.put(c.rec)
	c.rec = nil
	c.inFlight.release(1, c.taken)
	c.srv.inFlight.release(1, c.taken)
}

func (c *conn) clearDeadline() error {
	if !c.timed {
		return nil
	}
	c.timed = false
	return c.setDeadline(time.Time{})
}

// setDeadline sets the read deadline, unless reading was stopped: stopReading
// sets one of its own after it has closed c.stop, so one of the two is seen.
func (c *conn) setDeadline(t time.Time) error {
	if err := c.nc.SetReadDeadline(t); err != nil {
		return err
	}
	if c.isStopped() {
		return errStopped
	}
	return nil
}

func (c *conn) isStopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// stopReading makes the reading goroutine stop before its next call. Calls in
// flight go on.
func (c *conn) stopReading() {
	c.stopOnce.Do(func() {
		close(c.stop)
		_ = c.nc.SetReadDeadline(longPast) // fails only on a closed connection
	})
}

// abort closes the connection at once. It may be called from any goroutine and
// more than once.
func (c *conn) abort() {
	c.abortOnce.Do(func() {
		c.out.kill()
		c.cancel()
		c.stopReading()
		_ = c.nc.Close() // nobody is left to whom an error would matter
	})
}

// closeGently sends FIN, and waits for that of the client so that our close is
// not a reset. eof says that the client's came before.
func (c *conn) closeGently(eof bool) {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || eof || half.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.nc, lingerBytes) // it ends one way or the other
	}
}
