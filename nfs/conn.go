package nfs

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"twofold/nfs/rpc"
)

const (
	// readBuffer is what each connection keeps for small calls. The body of a
	// larger one goes from the socket straight into its record's buffer.
	readBuffer = 8 << 10
	// lingerTime and lingerBytes bound how long and how much is read after our
	// FIN. A close with unread bytes would be a reset, which may reach the
	// client before it has read the last replies. A client may have as much on
	// its way as its calls in flight hold.
	lingerTime  = time.Second
	lingerBytes = 256 << 20
)

// errStopped ends the reading of a connection that is to be closed with FIN.
var errStopped = errors.New("nfs: reading stopped")

// errHeldTooLong ends the reading of a connection that a limit has kept the
// server from reading for so long that the client may have its answer elsewhere.
var errHeldTooLong = errors.New("nfs: limits held the connection's calls back for too long")

// longPast is a deadline that ends a read under way.
var longPast = time.Unix(1, 0)

// conn is one connection of a client.
type conn struct {
	srv    *Server
	nc     net.Conn
	client netip.AddrPort
	key    netip.Addr      // the client to which that belongs
	share  *share          // of that client; set before serve
	epoch  uint64          // of the pause guard, when the connection was accepted
	ctx    context.Context // of the handlers of its calls
	cancel context.CancelFunc

	stop      chan struct{} // closed once no more calls are to be read
	stopOnce  sync.Once
	abortOnce sync.Once

	inFlight  budget
	begun     [callSpans]atomic.Int64 // calls with their handlers, by Server.span when they began
	calls     sync.WaitGroup          // tasks that have not been released
	active    atomic.Int64            // Server.now when a call ended last
	midRecord atomic.Bool             // a record has begun and is not complete
	stalled   atomic.Bool             // the intake has cut its record off

	// For the reading goroutine alone.
	br      *bufio.Reader
	records *rpc.RecordReader
	growFn  rpc.Grow
	creds   rpc.CredCache
	rec     incoming
	turn    *turn

	out outbox
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, client: addrPort(nc.RemoteAddr()), stop: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.inFlight.maxCalls, c.inFlight.maxBytes = s.limits.CallsPerConn, s.limits.BytesPerConn
	c.inFlight.observer = s.observer
	c.key = s.clientKey(c.client.Addr())
	c.touch()
	c.br = bufio.NewReaderSize(socket{c}, readBuffer)
	c.records = rpc.NewRecordReader(c.br, rpc.RecordLimits{Bytes: s.limits.Record, Fragments: s.limits.Fragments})
	c.growFn = c.grow
	c.rec.large.host, c.rec.large.cut = hostOf(c.key), c.cutRecord
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

// run takes a turn at reading calls. If that ends with the connection, it returns when
// the connection is closed and no call of it is left.
func (c *conn) run() {
	r := &turn{Context: c.ctx, conn: c}
	c.turn = r
	err := c.readCalls(r)
	if r.over {
		return
	}
	r.flush()
	c.finish(err)
	c.srv.unregister(c)
}

// finish closes the connection after its last call was read.
func (c *conn) finish(err error) {
	graceful := errors.Is(err, io.EOF) || errors.Is(err, errStopped)
	if !graceful {
		c.cut(err)
	}
	c.calls.Wait()
	if graceful {
		c.closeGently(errors.Is(err, io.EOF))
	}
	c.abort()
}

// readCalls starts one call after the other. It returns io.EOF when the client
// sends no more, errStopped when the server wants no more, and nil when the turn is over.
func (c *conn) readCalls(r *turn) error {
	for !r.over {
		rec, err := c.records.Next(c.growFn)
		if err == nil {
			err = c.endRecord()
		}
		if err == nil && c.rec.held > c.srv.guard.max {
			err = errHeldTooLong
		}
		if errors.Is(err, errNotAdmitted) {
			err = c.refuseLarge()
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

// isStale reports whether the node stood still since the connection was made.
func (c *conn) isStale() bool { return c.srv.guard.current() != c.epoch }

// touch notes that the connection is in use. It is as exact as a tick.
func (c *conn) touch() { c.active.Store(c.srv.now.Load()) }

// idleFor returns for how long there has been nothing to do.
func (c *conn) idleFor() time.Duration {
	if calls, _ := c.inFlight.used(); calls > 0 || c.midRecord.Load() {
		return 0
	}
	return time.Duration(c.srv.now.Load() - c.active.Load())
}

// stopReading makes the reading goroutine stop before its next call. Calls in
// flight go on.
func (c *conn) stopReading() {
	c.stopOnce.Do(func() {
		close(c.stop)
		_ = c.nc.SetReadDeadline(longPast) // fails only on a closed connection
	})
}

// cutRecord ends the read of a record that stalls. The intake calls it, only
// while that record is being read.
func (c *conn) cutRecord() {
	c.stalled.Store(true)
	_ = c.nc.SetReadDeadline(longPast) // fails only on a closed connection
}

// abort closes the connection at once. It may be called from any goroutine and
// more than once.
func (c *conn) abort() { c.end("") }

// end is abort with the reason for it, which counts unless the connection was
// closed before.
func (c *conn) end(reason string) {
	c.abortOnce.Do(func() {
		if reason != "" {
			c.srv.observer.ConnCut(reason)
		}
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
