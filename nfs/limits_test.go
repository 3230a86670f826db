package nfs_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpc"
)

// startMem serves h in memory, within a synctest bubble, and returns a function
// that connects and one that ends the server.
func startMem(t *testing.T, h rpc.Handler, change func(*nfs.Config)) (dial func() net.Conn, stop func()) {
	t.Helper()
	l := newMemListener()
	return l.dial, startOn(t, l, h, change)
}

// startOn serves h on l and returns a function that ends the server.
func startOn(t *testing.T, l net.Listener, h rpc.Handler, change func(*nfs.Config)) (stop func()) {
	t.Helper()
	s := newServer(t, h, change)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	return func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, nfs.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
}

// send writes calls of one kind from a goroutine of its own, since the server
// may stop reading, and counts replies on another.
func send(nc net.Conn, n int, proc uint32, args string) (replies chan int) {
	go func() {
		for i := range n {
			if _, err := nc.Write(record(message(uint32(i), prog, vers, proc, args))); err != nil {
				return
			}
		}
	}()
	replies = make(chan int, 1)
	go func() {
		rr := rpc.NewRecordReader(nc, rpc.DefaultRecordLimits)
		got := 0
		for ; got < n; got++ {
			if _, err := rr.Next(func(b []byte, n int, _ bool) ([]byte, error) { return append(b, make([]byte, n)...), nil }); err != nil {
				break
			}
		}
		replies <- got
	}()
	return replies
}

func TestLimits_CallsOfOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, func(c *nfs.Config) { c.Limits.CallsPerConn = 4 })
		defer stop()
		nc := dial()
		defer nc.Close()
		replies := send(nc, 20, procBlock, "")
		synctest.Wait()
		if n := h.blocked.Load(); n != 4 {
			t.Errorf("%d calls run, the limit is 4", n)
		}
		other := dial()
		defer other.Close()
		_, _ = other.Write(record(message(1, prog, vers, procEcho, "")))
		if _, _, err := readReply(t, other); err != nil {
			t.Errorf("another connection: %v", err)
		}
		close(h.release)
		if n := <-replies; n != 20 {
			t.Errorf("%d replies of 20", n)
		}
	})
}

// More calls at once than goroutines that wait for calls, again and again.
func TestServer_ManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, nil)
		defer stop()
		nc := dial()
		defer nc.Close()
		const n = 500
		replies := send(nc, n, procBlock, "")
		synctest.Wait()
		if got := h.blocked.Load(); got != n {
			t.Errorf("%d calls run of %d", got, n)
		}
		close(h.release)
		for range 3 {
			if got := <-replies; got != n {
				t.Fatalf("%d replies of %d", got, n)
			}
			replies = send(nc, n, procEcho, "")
		}
		<-replies
	})
}

func TestLimits_CallsInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		l := newMemListener()
		stop := startOn(t, l, h, func(c *nfs.Config) { c.Limits.Calls = 5 })
		defer stop()
		var replies []chan int
		for i := range byte(6) { // one client alone would not get all five
			nc := l.dialFrom(i)
			defer nc.Close()
			replies = append(replies, send(nc, 4, procBlock, ""))
		}
		synctest.Wait()
		if n := h.blocked.Load(); n != 5 {
			t.Errorf("%d calls run, the limit is 5", n)
		}
		close(h.release)
		for _, r := range replies {
			if n := <-r; n != 4 {
				t.Errorf("%d replies of 4", n)
			}
		}
	})
}

func TestLimits_Bytes(t *testing.T) {
	for name, set := range map[string]func(*nfs.Config){
		"of one connection": func(c *nfs.Config) { c.Limits.BytesPerConn = 100 << 10 },
		"of one client":     func(c *nfs.Config) { c.Limits.BytesPerClient = 100 << 10 },
		"a third of all":    func(c *nfs.Config) { c.Limits.Bytes, c.Limits.Unfinished = 340<<10, 40<<10 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandler()
				dial, stop := startMem(t, h, set)
				defer stop()
				nc := dial()
				defer nc.Close()
				replies := send(nc, 10, procBlock, string(make([]byte, 20<<10))) // each takes 32 KiB and room for its reply
				synctest.Wait()
				if n := h.blocked.Load(); n != 3 {
					t.Errorf("%d calls run, there is room for 3", n)
				}
				close(h.release)
				if n := <-replies; n != 10 {
					t.Errorf("%d replies of 10", n)
				}
			})
		})
	}
}

func TestLimits_RecordOverTheWholeBudgetGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := startMem(t, newHandler(), func(c *nfs.Config) { c.Limits.Bytes, c.Limits.BytesPerConn = 1000, 1000 })
		defer stop()
		nc := dial()
		defer nc.Close()
		if n := <-send(nc, 3, procEcho, string(make([]byte, 20<<10))); n != 3 {
			t.Errorf("%d replies of 3", n)
		}
	})
}

// A client that reads no replies must not make the server hold more than its
// budget, and is cut off in the end.
func TestLimits_SlowReaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, obs := newHandler(), &counter{}
		dial, stop := startMem(t, h, func(c *nfs.Config) {
			c.Limits.BytesPerConn = 1 << 20
			c.Limits.WriteTime = 30 * time.Second
			c.Observer = obs
		})
		defer stop()
		nc := dial()
		defer nc.Close()
		size := string(binary.BigEndian.AppendUint32(nil, 200<<10))
		go func() {
			for i := range uint32(100) {
				if _, err := nc.Write(record(message(i, prog, vers, procSize, size))); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if n := h.calls.Load(); n < 2 || n > 6 {
			t.Errorf("%d calls with replies of 200 KiB were started, the budget is 1 MiB", n)
		}
		time.Sleep(29 * time.Second) // virtual
		if _, err := nc.Read(make([]byte, 1)); err != nil {
			t.Errorf("closed too early: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n, err := io.Copy(io.Discard, nc); err != nil || n > 0 {
			t.Errorf("%d bytes after the deadline, %v", n, err)
		}
		if n := obs.cut("write_time"); n != 1 || obs.held["bytes_per_conn"] == 0 {
			t.Errorf("cut %v, held back %v", obs.cuts, obs.held)
		}
	})
}

func TestLimits_UnfinishedRecordIsCutOff(t *testing.T) {
	whole := record(message(1, prog, vers, procEcho, "args"))
	for name, part := range map[string][]byte{
		"in the data":       whole[:20],
		"between fragments": fragment(false, whole[4:20]),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := startMem(t, newHandler(), func(c *nfs.Config) { c.Limits.RecordTime = 10 * time.Second })
				defer stop()
				nc := dial()
				defer nc.Close()
				time.Sleep(5 * time.Minute) // an idle connection stays
				start := time.Now()
				write(t, nc, part)
				if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("read: %v", err)
				}
				if d := time.Since(start); d != 10*time.Second {
					t.Errorf("closed after %s", d)
				}
			})
		})
	}
}

func TestLimits_SlowRecordWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := startMem(t, newHandler(), func(c *nfs.Config) { c.Limits.RecordTime = 10 * time.Second })
		defer stop()
		nc := dial()
		defer nc.Close()
		for range 3 { // the deadline of one record must not hold for the next
			msg := record(message(1, prog, vers, procEcho, "args"))
			write(t, nc, msg[:30])
			time.Sleep(9 * time.Second)
			write(t, nc, msg[30:])
			if _, res, err := readReply(t, nc); err != nil || string(res) != "args" {
				t.Fatalf("%q, %v", res, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestClose_WhileReadingWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, func(c *nfs.Config) { c.Limits.Calls = 1 })
		first, second := dial(), dial()
		defer first.Close()
		defer second.Close()
		a := send(first, 2, procBlock, "")
		synctest.Wait()
		b := send(second, 1, procBlock, "")
		synctest.Wait()
		stop()
		if n, m := <-a, <-b; n != 0 || m != 0 {
			t.Errorf("%d and %d replies", n, m)
		}
	})
}
