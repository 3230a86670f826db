package nfs_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpc"
)

// halfConn is a net.Pipe end that can be half closed, as a TCP connection can.
type halfConn struct {
	net.Conn
	fin, closed *atomic.Bool
}

func (c halfConn) CloseWrite() error {
	c.fin.Store(true)
	return nil
}

func (c halfConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// After our FIN the connection stays open, and what the client still sends is
// read, until the client's FIN or for a second: a close with unread bytes would
// reset the connection and could cost the client the last replies.
func TestShutdown_WaitsForTheClientsFIN(t *testing.T) {
	for name, clientCloses := range map[string]bool{"that comes": true, "that does not come": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemListener()
				h := newHandler()
				s := newServer(t, h, nil)
				go func() { _ = s.Serve(l) }()
				var fin, closed atomic.Bool
				near, far := net.Pipe()
				defer near.Close()
				l.conns <- halfConn{Conn: far, fin: &fin, closed: &closed}
				synctest.Wait()
				start := time.Now()
				done := make(chan error, 1)
				go func() { done <- s.Shutdown(t.Context()) }()
				synctest.Wait()
				if !fin.Load() || closed.Load() {
					t.Errorf("FIN sent: %v, closed: %v", fin.Load(), closed.Load())
				}
				write(t, near, record(message(1, prog, vers, procEcho, "too late")))
				if clientCloses {
					_ = near.Close()
				}
				if err := <-done; err != nil || !closed.Load() {
					t.Errorf("Shutdown: %v, closed: %v", err, closed.Load())
				}
				want := time.Second
				if clientCloses {
					want = 0
				}
				if d := time.Since(start); d != want {
					t.Errorf("took %s, want %s", d, want)
				}
				if n := h.calls.Load(); n != 0 {
					t.Errorf("%d calls were served after the shutdown began", n)
				}
			})
		})
	}
}

// A dropped call ends the connection while another goroutine writes: what is
// ready goes out, what ends later does not, and a client that does not read
// cannot put off the end.
func TestServer_DropWhileRepliesAreWritten(t *testing.T) {
	for name, reads := range map[string]uint32{"none is read": 0, "one is read": 1, "both are read": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandler()
				h.err = rpc.ErrDrop
				h.noQuick = true // a pipe takes nothing that is not read, from whoever reads calls either
				dial, stop := startMem(t, h, nil)
				defer stop()
				nc := dial()
				defer nc.Close()
				for xid, proc := range []uint32{procEcho, procEcho, procBlock} {
					write(t, nc, record(message(uint32(xid), prog, vers, proc, "data")))
					synctest.Wait() // the first reply is being written, the second waits
				}
				time.Sleep(8 * time.Second) // long enough for a new write deadline
				write(t, nc, record(message(3, prog, vers, procFail, "")))
				synctest.Wait()
				close(h.release) // the third call ends after the drop
				_ = nc.SetWriteDeadline(time.Now().Add(time.Millisecond))
				if _, err := nc.Write(record(message(9, prog, vers, procEcho, ""))); !isTimeout(err) {
					t.Errorf("a call after the drop: %v", err)
				}
				for want := range reads {
					if xid, res, err := readReply(t, nc); xid != want || string(res) != "data" || err != nil {
						t.Errorf("xid %d, %q, %v", xid, res, err)
					}
				}
				time.Sleep(250 * time.Millisecond)
				synctest.Wait()
				wantClosed(t, nc)
			})
		})
	}
}

// brokenListener fails for a while, as accept does when descriptors run out.
type brokenListener struct {
	*memListener
	errs chan error
}

func (l brokenListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	default:
		return l.memListener.Accept()
	}
}

func TestServe_AcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := brokenListener{memListener: newMemListener(), errs: make(chan error, 10)}
		temporary := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		for range 3 {
			l.errs <- temporary
		}
		s := newServer(t, newHandler(), nil)
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- s.Serve(l) }()
		nc := l.dial()
		if d := time.Since(start); d != 35*time.Millisecond { // 5 + 10 + 20
			t.Errorf("accepting again took %s", d)
		}
		synctest.Wait() // the next accept is under way
		l.errs <- io.ErrNoProgress
		l.conns <- nc // wakes the accept that was under way
		if err := <-done; !errors.Is(err, io.ErrNoProgress) || errors.Is(err, nfs.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = nc.Close()
	})
}
