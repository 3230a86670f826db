package nfs_test

import (
	"bytes"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
)

// writes counts the system calls of a connection's replies.
type writes struct {
	net.Conn
	n *atomic.Int64
}

func (w writes) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(b)
}

// A call that has to wait holds up no other on its connection, and is answered.
func TestTurn_CallThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, nil)
		defer stop()
		nc := dial()
		defer nc.Close()
		const waiting = 300 // more than there are idle workers
		got := make(chan map[uint32]bool)
		go func() {
			xids := map[uint32]bool{}
			for len(xids) < waiting+20 {
				xid, _, err := readReply(t, nc)
				if err != nil {
					t.Errorf("call %d: %v", xid, err)
				}
				if xids[xid] {
					t.Errorf("call %d was answered twice", xid)
				}
				xids[xid] = true
				if len(xids) == 20 {
					got <- xids
				}
			}
			got <- xids
		}()
		var calls []byte
		for i := range uint32(waiting) {
			calls = append(calls, record(message(i, prog, vers, procWait, ""))...)
			if i%15 == 0 {
				calls = append(calls, record(message(1000+i, prog, vers, procEcho, ""))...)
			}
		}
		write(t, nc, calls)
		for xid := range <-got {
			if xid < 1000 {
				t.Errorf("call %d was answered, which waits", xid)
			}
		}
		synctest.Wait()
		if n := h.blocked.Load(); n != waiting {
			t.Errorf("%d calls wait, want %d", n, waiting)
		}
		close(h.release)
		if n := len(<-got); n != waiting+20 {
			t.Errorf("%d replies", n)
		}
		honestCalls(t, nc, 3)
	})
}

// While a call waits that was read by the connection's goroutine, the server shuts down:
// the call is answered.
func TestTurn_ShutdownWhileACallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		l := newMemListener()
		s := newServer(t, h, nil)
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		nc := l.dial()
		defer nc.Close()
		write(t, nc, append(record(message(1, prog, vers, procWait, "")), record(message(2, prog, vers, procEcho, ""))...))
		if xid, _, err := readReply(t, nc); xid != 2 || err != nil {
			t.Errorf("reply %d, %v", xid, err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		close(h.release)
		if xid, _, err := readReply(t, nc); xid != 1 || err != nil {
			t.Errorf("reply %d, %v", xid, err)
		}
		wantClosed(t, nc)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-served
		if n := s.Conns(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// Calls that arrive together are answered together, and a lone one at once.
func TestTurn_RepliesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		l := newMemListener()
		stop := startOn(t, wrapped{l, &n}, newHandler(), nil)
		defer stop()
		nc := l.dial()
		defer nc.Close()
		honestCalls(t, nc, 3)
		if n.Load() != 3 {
			t.Errorf("%d writes for three calls one by one", n.Load())
		}
		n.Store(0)
		var calls []byte
		for i := range uint32(50) {
			calls = append(calls, record(message(i, prog, vers, procNull, ""))...)
		}
		write(t, nc, calls)
		for range 50 {
			if _, _, err := readReply(t, nc); err != nil {
				t.Error(err)
			}
		}
		if n.Load() != 50 {
			t.Errorf("%d replies were written", n.Load()) // a pipe has no writev: one write for each
		}
	})
}

// wrapped counts the writes to the connections of a listener.
type wrapped struct {
	net.Listener
	n *atomic.Int64
}

func (w wrapped) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return writes{nc, w.n}, nil
}

// Replies that wait for others hold room. A limit that is reached with them is
// no reason to wait for ever.
func TestTurn_LimitReached(t *testing.T) {
	for name, limits := range map[string]nfs.Limits{
		"calls of a connection": {CallsPerConn: 2},
		"calls of a client":     {CallsPerClient: 2},
		"calls":                 {Calls: 2},
		"bytes":                 {BytesPerConn: 4096},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := startMem(t, newHandler(), func(c *nfs.Config) { c.Limits = limits })
				defer stop()
				nc := dial()
				defer nc.Close()
				for _, size := range []int{0, 500, 20 << 10} {
					// In one piece: the server has many calls in its buffer at once.
					msg := message(1, prog, vers, procEcho, string(make([]byte, size)))
					parts := append(fragment(false, msg[:10]), fragment(true, msg[10:])...)
					all := strings.Repeat(string(record(msg))+string(parts), 50)
					go func() { _, _ = nc.Write([]byte(all)) }()
					for range 100 {
						if _, _, err := readReply(t, nc); err != nil {
							t.Fatalf("with %d bytes: %v", size, err)
						}
					}
				}
			})
		})
	}
}

// Calls that take long, though they are said to be quick, come to run beside each other.
func TestTurn_SlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, nil)
		defer stop()
		nc := dial()
		defer nc.Close()
		begin := time.Now()
		if n := <-send(nc, 1000, procSlow, ""); n != 1000 {
			t.Fatalf("%d replies of 1000", n)
		}
		if d := time.Since(begin); d > 200*time.Millisecond || h.most.Load() < 10 {
			t.Errorf("1000 calls of a millisecond took %s, at most %d at once", d, h.most.Load())
		}
	})
}

// What goes wrong in a call that the reading goroutine runs is that call's misfortune, or
// its connection's.
func TestTurn_CallsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := startMem(t, newHandler(), nil)
		defer stop()
		nc := dial()
		defer nc.Close()
		write(t, nc, append(record(message(1, prog, vers, procPanic, "")), record(message(2, prog, vers, 99, ""))...))
		for range 2 {
			if xid, _, err := readReply(t, nc); err == nil {
				t.Errorf("call %d succeeded", xid)
			}
		}
		honestCalls(t, nc, 2)
		write(t, nc, record(message(3, prog, vers, procDrop, "")))
		wantClosed(t, nc)
	})
}

// Calls of all kinds on some connections at once, for the race detector.
func TestTurn_Together(t *testing.T) {
	h := newHandler()
	close(h.release)
	_, addr := startTCP(t, h, func(c *nfs.Config) { c.Limits.CallsPerClient = 200 })
	const conns, calls = 4, 3000
	all := make(chan int, conns)
	for range conns {
		nc := rawDial(t, addr)
		var b bytes.Buffer
		for i := range uint32(calls) {
			b.Write(record(message(i, prog, vers, []uint32{procNull, procEcho, procBlock, procWait, procSize, procEcho}[i%6], "\x00\x00\x10\x00")))
		}
		go func() {
			_, _ = nc.Write(b.Bytes())
		}()
		go func() {
			seen := map[uint32]bool{}
			for range calls {
				xid, _, err := readReply(t, nc)
				if err != nil || seen[xid] {
					t.Errorf("reply to %d, seen %t: %v", xid, seen[xid], err)
				}
				seen[xid] = true
			}
			all <- len(seen)
		}()
	}
	for range conns {
		if n := <-all; n != calls {
			t.Errorf("%d replies of %d", n, calls)
		}
	}
}
