package nfs_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
	"twofold/nfs/client"
	"twofold/nfs/rpc"
)

// mebibyte is the data of the largest WRITE.
const mebibyte = 1 << 20

// halfRecord returns the first n bytes of a record of 1 MiB and a little.
func halfRecord(n int) []byte {
	return record(message(1, prog, vers, procEcho, string(make([]byte, mebibyte))))[:n]
}

// 1,000 connections that begin a record of 1 MiB and do not end it must not be
// felt by anybody else.
func TestHalfRecords_HonestCallsGoOn(t *testing.T) {
	for name, sent := range map[string]int{"the mark": 4, "100 bytes": 104, "more than the read buffer": 12 << 10} {
		t.Run(name, func(t *testing.T) {
			_, addr := startTCP(t, newHandler(), func(c *nfs.Config) { c.Limits.ConnsPerClient = 1024 })
			half := halfRecord(sent)
			for range 1000 {
				write(t, rawDial(t, addr), half)
			}
			c := rawDial(t, addr)
			begin := time.Now()
			honestCalls(t, c, 100)
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("100 calls took %s", d)
			}
		})
	}
}

// honestCalls makes n calls, every second of them as large as a WRITE.
func honestCalls(t *testing.T, nc net.Conn, n uint32) {
	t.Helper()
	for i := range n {
		size := (i % 2) * mebibyte
		write(t, nc, record(message(i, prog, vers, procNull, string(make([]byte, size)))))
		if xid, _, err := readReply(t, nc); xid != i || err != nil {
			t.Fatalf("call %d of %d bytes: reply %d, %v", i, size, xid, err)
		}
	}
}

// hold sends the first n bytes of rec, and then one step after the other.
func hold(nc net.Conn, rec []byte, n, step int, pause time.Duration) {
	if _, err := nc.Write(rec[:n]); err != nil {
		return
	}
	for n < len(rec) {
		time.Sleep(pause)
		next := min(n+step, len(rec))
		if _, err := nc.Write(rec[n:next]); err != nil {
			return // cut off
		}
		n = next
	}
}

// from is a connection whose peer has an address of its own.
type from struct {
	net.Conn
	addr net.TCPAddr
}

func (f *from) RemoteAddr() net.Addr { return &f.addr }

// dialFrom connects as host number n.
func (l *memListener) dialFrom(n byte) net.Conn {
	near, far := net.Pipe()
	l.conns <- &from{far, net.TCPAddr{IP: net.IPv4(10, 0, 0, n), Port: 700}}
	return near
}

// Clients that really send most of a record, many more than the intake has room
// for, do not hold up a client of another address at all.
func TestHalfRecords_SendersWhoStallOrTrickle(t *testing.T) {
	for name, h := range map[string]struct {
		hosts      byte
		sent, step int
	}{
		"stall near the end":   {1, mebibyte - 1, 1},
		"stall half way":       {1, mebibyte / 2, 1},
		"trickle":              {1, 16 << 10, 1000},
		"go slowly":            {1, 16 << 10, 70 << 10},
		"stall, four hosts":    {4, mebibyte / 2, 1},
		"trickle, four hosts":  {4, mebibyte - 1000, 1},
		"slow start, 10 hosts": {10, 1 << 10, 4 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemListener()
				stop := startOn(t, l, newHandler(), func(c *nfs.Config) {
					c.Limits.Bytes, c.Limits.Unfinished = 64<<20, 16<<20
				})
				var senders sync.WaitGroup
				defer senders.Wait() // they end with their connections
				defer stop()
				half := halfRecord(mebibyte)
				for i := range 100 {
					nc := l.dialFrom(byte(i) % h.hosts)
					defer nc.Close()
					senders.Go(func() { hold(nc, half, h.sent, h.step, time.Second) })
				}
				for range 6 { // whatever has come to pass in the meantime
					time.Sleep(700 * time.Millisecond)
					c := l.dialFrom(100)
					begin := time.Now() // virtual: only waiting counts
					honestCalls(t, c, 4)
					if d := time.Since(begin); d > 0 {
						t.Errorf("the calls took %s", d)
					}
					_ = c.Close()
				}
			})
		})
	}
}

// A client that shares its address with them has to wait, but not for ever.
func TestHalfRecords_StallersOfTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemListener()
		stop := startOn(t, l, newHandler(), func(c *nfs.Config) {
			c.Limits.Bytes, c.Limits.Unfinished, c.Limits.RecordTime = 64<<20, 16<<20, time.Hour
		})
		var senders sync.WaitGroup
		defer senders.Wait() // they end with their connections
		defer stop()
		half := halfRecord(mebibyte)
		for range 60 {
			nc := l.dialFrom(1)
			defer nc.Close()
			senders.Go(func() { hold(nc, half, mebibyte-1000, 1, time.Second) })
		}
		time.Sleep(time.Second)
		c := l.dialFrom(1)
		defer c.Close()
		begin := time.Now()
		honestCalls(t, c, 100)
		if d := time.Since(begin); d > time.Minute {
			t.Errorf("100 calls took %s", d)
		}
	})
}

// Records that are all half read, and have no room left between them, do not
// wait for each other for ever.
func TestHalfRecords_DoNotWaitForEachOther(t *testing.T) {
	for _, room := range []int{64 << 10, 1 << 20, 3 << 20} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, stop := startMem(t, newHandler(), func(c *nfs.Config) {
					c.Limits.Bytes, c.Limits.Unfinished = 8<<20, room
				})
				defer stop()
				var replies []chan int
				for range 20 {
					nc := dial()
					defer nc.Close()
					if err := nc.SetDeadline(time.Now().Add(time.Hour)); err != nil {
						t.Fatal(err)
					}
					replies = append(replies, send(nc, 3, procNull, string(make([]byte, mebibyte))))
				}
				begin := time.Now()
				for i, r := range replies {
					if n := <-r; n != 3 {
						t.Errorf("connection %d: %d replies of 3", i, n)
					}
				}
				if d := time.Since(begin); d > 0 {
					t.Errorf("it took %s although nobody was slow", d)
				}
			})
		})
	}
}

// What is not complete holds no calls.
func TestHalfRecords_HoldNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := startMem(t, newHandler(), func(c *nfs.Config) { c.Limits.Calls = 1 })
		defer stop()
		small := record(message(1, prog, vers, procEcho, string(make([]byte, 3000))))
		for i := range 20 {
			for _, part := range [][]byte{halfRecord(4 + i*1000), small[:4+i*100]} {
				nc := dial()
				defer nc.Close()
				write(t, nc, part) // some in the read buffer, some in the intake
			}
		}
		c := dial()
		defer c.Close()
		begin := time.Now()
		honestCalls(t, c, 100)
		if d := time.Since(begin); d > 0 {
			t.Errorf("100 calls took %s", d)
		}
	})
}

// A record in fragments counts as the longest there may be while it arrives, and
// as what it is from then on.
func TestLimits_FragmentsGiveBackWhatTheyDidNotNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, func(c *nfs.Config) { c.Limits.BytesPerConn = 2 << 20 })
		defer stop()
		nc := dial()
		defer nc.Close()
		msg := message(1, prog, vers, procBlock, string(make([]byte, 20<<10)))
		go func() {
			for range 20 {
				for at := 0; at < len(msg); at += 1000 {
					end := min(at+1000, len(msg))
					if _, err := nc.Write(fragment(end == len(msg), msg[at:end])); err != nil {
						return
					}
				}
			}
		}()
		synctest.Wait()
		if n := h.blocked.Load(); n != 20 {
			t.Errorf("%d of 20 calls run", n)
		}
		close(h.release)
		for range 20 {
			if _, _, err := readReply(t, nc); err != nil {
				t.Error(err)
			}
		}
	})
}

// A record that waits for room is not cut off for its slowness meanwhile.
func TestHalfRecords_WaitForRoomIsNotTheClientsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		dial, stop := startMem(t, h, func(c *nfs.Config) {
			c.Limits.Bytes, c.Limits.Unfinished = 2<<20, 1<<20
			c.Limits.RecordTime, c.Limits.StallTime = 20*time.Second, 10*time.Second
		})
		var senders sync.WaitGroup
		defer senders.Wait() // they end with their connections
		defer stop()
		slow, other := dial(), dial()
		defer slow.Close()
		defer other.Close()
		senders.Go(func() { hold(slow, halfRecord(mebibyte), mebibyte/2, 64<<10, 9*time.Second) }) // for its 20 s
		synctest.Wait()
		whole := record(message(7, prog, vers, procNull, string(make([]byte, mebibyte))))
		senders.Go(func() {
			for _, part := range [][]byte{whole[:mebibyte], whole[mebibyte:]} {
				_, _ = other.Write(part) // readReply tells
				time.Sleep(15 * time.Second)
			}
		})
		if _, _, err := readReply(t, other); err != nil {
			t.Error(err)
		}
	})
}

func TestAdmit(t *testing.T) {
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) {
		c.Admit = func(client netip.AddrPort) bool { return client.Addr() == netip.MustParseAddr("127.0.0.2") }
	})
	large := string(make([]byte, 20<<10))
	t.Run("small calls of a stranger", func(t *testing.T) {
		nc := rawDial(t, addr)
		for _, b := range [][]byte{
			record(message(1, prog, vers, procEcho, string(make([]byte, 3<<10)))),
			append(fragment(false, message(2, prog, vers, procEcho, "")), fragment(true, []byte("args"))...),
		} {
			write(t, nc, b)
			if _, _, err := readReply(t, nc); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a large call of a stranger", func(t *testing.T) {
		nc := rawDial(t, addr)
		msg := record(message(7, prog, vers, procEcho, large))
		write(t, nc, msg[:len(msg)-1]) // answered before it is complete
		xid, _, err := readReply(t, nc)
		if xid != 7 || !errors.Is(err, rpc.AuthBadCred) {
			t.Errorf("xid %d, %v; want AUTH_BADCRED", xid, err)
		}
		wantClosed(t, nc)
	})
	t.Run("a large record in fragments", func(t *testing.T) {
		nc := rawDial(t, addr)
		msg := message(7, prog, vers, procEcho, large)
		write(t, nc, append(fragment(false, msg[:1000]), fragment(true, msg[1000:])...))
		wantClosed(t, nc)
	})
	t.Run("noise as long as a large record", func(t *testing.T) {
		nc := rawDial(t, addr)
		write(t, nc, append(binary.BigEndian.AppendUint32(nil, 1<<31|mebibyte), make([]byte, 9<<10)...))
		if b, err := io.ReadAll(nc); len(b) > 4096 || isTimeout(err) {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
	})
	t.Run("a client that is admitted", func(t *testing.T) {
		c := dial(t, addr, client.WithLocalAddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}))
		res, err := c.Call(t.Context(), prog, vers, procEcho, []byte(large))
		if err != nil || len(res) != len(large) {
			t.Errorf("%d bytes, %v", len(res), err)
		}
	})
}

// A client that loses its admission may send no more large records.
func TestAdmit_AskedForEachRecord(t *testing.T) {
	var asked atomic.Int32
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) {
		c.Admit = func(netip.AddrPort) bool { return asked.Add(1) <= 3 }
	})
	nc := rawDial(t, addr)
	for i, size := range []int{5 << 10, 100, 300 << 10, 7 << 10, 6 << 10} {
		write(t, nc, record(message(uint32(i), prog, vers, procEcho, string(make([]byte, size)))))
		_, _, err := readReply(t, nc)
		if last := i == 4; last != errors.Is(err, rpc.AuthBadCred) || !last && err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("asked %d times for 4 large records", n)
	}
}
