package nfs_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
	"twofold/nfs/client"
)

func TestLimits_CallsOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, obs := newHandler(), &counter{}
		l := newMemListener()
		stop := startOn(t, l, h, func(c *nfs.Config) {
			c.Limits.CallsPerClient = 6
			c.Observer = obs
		})
		defer stop()
		var replies []chan int
		for range 4 {
			nc := l.dialFrom(1)
			defer nc.Close()
			replies = append(replies, send(nc, 5, procBlock, ""))
		}
		synctest.Wait()
		if n := h.blocked.Load(); n != 6 {
			t.Errorf("%d calls run, the limit is 6", n)
		}
		other := l.dialFrom(2)
		defer other.Close()
		honestCalls(t, other, 2)
		time.Sleep(1500 * time.Millisecond)
		close(h.release)
		for i, r := range replies {
			if n := <-r; n != 5 {
				t.Errorf("connection %d: %d replies of 5", i, n)
			}
		}
		synctest.Wait()
		if n := obs.used["calls_per_client"]; n != 6 {
			t.Errorf("%d calls of one client observed", n)
		}
		if n, d := obs.held["calls_per_client"], obs.letGo["calls_per_client"]; n < 3 || d < 3*1500*time.Millisecond {
			t.Errorf("held back %d times for %s", n, d)
		}
	})
}

// Addresses that ClientOf maps to one client share its limits.
func TestLimits_ClientOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler()
		l := newMemListener()
		stop := startOn(t, l, h, func(c *nfs.Config) {
			c.Limits.CallsPerClient = 3
			c.ClientOf = func(a netip.Addr) netip.Addr {
				if !a.Is4() {
					t.Errorf("asked for %s", a)
				}
				return netip.AddrFrom4([4]byte{10, 0, 0, a.As4()[3] % 2})
			}
		})
		defer stop()
		for n := range byte(4) {
			nc := l.dialFrom(n)
			defer nc.Close()
			send(nc, 5, procBlock, "")
		}
		synctest.Wait()
		if n := h.blocked.Load(); n != 6 {
			t.Errorf("%d calls run, two clients have 3 each", n)
		}
	})
}

// Whatever clients with 16 connections each do, a client that comes next does
// not wait at all: in virtual time only waiting counts.
func TestClients_NobodyTakesAllTheRoom(t *testing.T) {
	size := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	for name, flood := range map[string]struct {
		hosts byte
		proc  uint32
		args  string
	}{
		"one, replies never read":          {1, procSize, size(mebibyte)},
		"five, replies never read":         {5, procSize, size(64 << 10)},
		"one, calls that do not end":       {1, procBlock, ""},
		"ten, calls that do not end":       {10, procBlock, ""},
		"one, large calls that do not end": {1, procBlock, string(make([]byte, mebibyte))},
		"five, large ones":                 {5, procBlock, string(make([]byte, 64<<10))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemListener()
				stop := startOn(t, l, newHandler(), func(c *nfs.Config) {
					c.Limits.Bytes, c.Limits.Unfinished, c.Limits.Calls = 64<<20, 16<<20, 512
				})
				var senders sync.WaitGroup
				defer senders.Wait()
				defer stop()
				msg := record(message(1, prog, vers, flood.proc, flood.args))
				for host := range flood.hosts {
					for range 16 {
						nc := l.dialFrom(host)
						defer nc.Close()
						senders.Go(func() {
							for {
								if _, err := nc.Write(msg); err != nil {
									return
								}
							}
						})
					}
				}
				synctest.Wait()
				for range 3 {
					c := l.dialFrom(200)
					if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
						t.Fatal(err)
					}
					begin := time.Now()
					honestCalls(t, c, 4)
					if d := time.Since(begin); d > 0 {
						t.Errorf("the calls took %s", d)
					}
					_ = c.Close()
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// The same in real time, and with all the work that the floods make: 16
// connections that flood and read, and 16 that flood and do not.
func TestClients_LatencyBesideAFlood(t *testing.T) {
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) { c.Limits.BytesPerClient = 16 << 20 })
	bully := func() *net.TCPConn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		nc, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return nc.(*net.TCPConn)
	}
	var bullies sync.WaitGroup
	defer bullies.Wait()
	flood := func(nc net.Conn, msg []byte, reads bool) {
		bullies.Go(func() {
			for {
				if _, err := nc.Write(msg); err != nil {
					return
				}
			}
		})
		if reads {
			bullies.Go(func() {
				b := make([]byte, 64<<10)
				for {
					if _, err := nc.Read(b); err != nil {
						return
					}
				}
			})
		}
	}
	small := slices.Repeat(record(message(1, prog, vers, procEcho, "12345678")), 50)
	large := record(message(1, prog, vers, procSize, string(binary.BigEndian.AppendUint32(nil, mebibyte))))
	for range 16 {
		a, b := bully(), bully()
		defer a.Close()
		defer b.Close()
		flood(a, small, true)
		flood(b, large, false)
	}
	c := dial(t, addr, client.WithLocalAddr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	time.Sleep(100 * time.Millisecond) // the floods get going
	took := make([]time.Duration, 0, 200)
	for range cap(took) {
		begin := time.Now()
		if _, err := c.Call(t.Context(), prog, vers, procEcho, []byte("mine")); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	p50, p99, worst := took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	t.Logf("beside 32 connections of one client: median %s, 99 %% within %s, all within %s", p50, p99, worst)
	if p99 > 2*time.Second { // without limits per client it would be the 30 s of WriteTime
		t.Errorf("99 %% within %s", p99)
	}
}

func TestConns_OneTooManyTakesThePlaceOfAnIdleOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, obs := newHandler(), &counter{}
		l := newMemListener()
		stop := startOn(t, l, h, func(c *nfs.Config) {
			c.Limits.ConnsPerClient, c.Limits.Conns = 3, 5
			c.Observer = obs
		})
		defer stop()
		open := func(host byte) net.Conn {
			nc := l.dialFrom(host)
			t.Cleanup(func() { _ = nc.Close() })
			return nc
		}
		busy, old, young := open(1), open(1), open(1)
		write(t, busy, record(message(1, prog, vers, procBlock, "")))
		honestCalls(t, old, 1)
		time.Sleep(7 * time.Second)
		honestCalls(t, young, 1)
		time.Sleep(7 * time.Second)

		third := open(1) // one too many of this client
		wantClosed(t, old)
		honestCalls(t, third, 1)
		honestCalls(t, young, 1)
		wantClosed(t, open(1)) // none is idle for long enough
		if obs.cut("evicted") != 1 || obs.cut("conns_per_client") != 1 {
			t.Errorf("cut: %v", obs.cuts)
		}
		honestCalls(t, young, 1)

		two, another := open(2), open(2)
		honestCalls(t, two, 1)
		wantClosed(t, open(3)) // one too many in all, and none is idle
		if obs.cut("conns") != 1 {
			t.Errorf("cut: %v", obs.cuts)
		}
		time.Sleep(10 * time.Second)
		honestCalls(t, third, 1)
		honestCalls(t, open(3), 1) // takes from the client that has most
		wantClosed(t, young)
		honestCalls(t, two, 1)
		honestCalls(t, another, 1)
		close(h.release)
		if _, _, err := readReply(t, busy); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := obs.opened.Load() - obs.closed.Load(); n != 5 {
			t.Errorf("%d connections are open", n)
		}
	})
}

func TestLimits_IdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, obs := newHandler(), &counter{}
		dial, stop := startMem(t, h, func(c *nfs.Config) { c.Observer = obs })
		defer stop()
		idle, unused, waits, used := dial(), dial(), dial(), dial()
		for _, nc := range []net.Conn{idle, unused, waits, used} {
			defer nc.Close()
		}
		begin := time.Now()
		write(t, waits, record(message(5, prog, vers, procBlock, "")))
		honestCalls(t, idle, 1)
		ended := make(chan time.Duration, 2)
		for _, nc := range []net.Conn{idle, unused} {
			go func() {
				wantClosed(t, nc)
				ended <- time.Since(begin)
			}()
		}
		for range 5 { // the Linux client closes what it has not used for 5 minutes
			time.Sleep(5 * time.Minute)
			honestCalls(t, used, 1)
		}
		for range 2 {
			if d := <-ended; d < 6*time.Minute || d > 6*time.Minute+3*time.Second {
				t.Errorf("closed after %s", d)
			}
		}
		if n := obs.cut("idle_time"); n != 2 {
			t.Errorf("%d connections cut", n)
		}
		close(h.release) // one with a call in flight is not idle
		if xid, _, err := readReply(t, waits); xid != 5 || err != nil {
			t.Errorf("reply %d, %v", xid, err)
		}
	})
}

// A record that is still arriving has a time of its own.
func TestLimits_IdleTimeIsNotForRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		obs := &counter{}
		dial, stop := startMem(t, newHandler(), func(c *nfs.Config) {
			c.Limits.IdleTime, c.Limits.RecordTime = 10*time.Second, 30*time.Second
			c.Observer = obs
		})
		defer stop()
		nc := dial()
		defer nc.Close()
		begin := time.Now()
		write(t, nc, halfRecord(1000))
		wantClosed(t, nc)
		if d := time.Since(begin); d != 30*time.Second || obs.cut("record_time") != 1 || obs.cut("idle_time") != 0 {
			t.Errorf("closed after %s, cut %v", d, obs.cuts)
		}
	})
}
