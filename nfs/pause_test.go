package nfs_test

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
)

// handClock is a Clock that tests set. It also goes with the bubble's time.
type handClock struct {
	mu               sync.Mutex
	begin            time.Time
	mono, wall, boot time.Duration // beyond the bubble's time
	noBoot           bool
	onNow            func() // called by Now, once
}

func newHandClock() *handClock { return &handClock{begin: time.Now()} }

func (c *handClock) Now() (mono, wall time.Duration) {
	c.mu.Lock()
	f := c.onNow
	c.onNow = nil
	c.mu.Unlock()
	if f != nil {
		f()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.begin)
	return now + c.mono, now + c.wall + 1e18
}

func (c *handClock) Boot() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.begin) + c.boot + time.Hour, !c.noBoot
}

// jump sets the clocks forward.
func (c *handClock) jump(mono, wall, boot time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono, c.wall, c.boot = c.mono+mono, c.wall+wall, c.boot+boot
}

const hour = time.Hour

// What the clocks show decides whether a call from before is executed.
func TestPause_WhatCounts(t *testing.T) {
	for name, c := range map[string]struct {
		mono, wall, boot time.Duration
		noBoot           bool
		pause            bool
	}{
		"a stopped process":                    {61 * time.Second, 61 * time.Second, 61 * time.Second, false, true},
		"stopped for not so long":              {58 * time.Second, 58 * time.Second, 58 * time.Second, false, false},
		"a suspended host":                     {0, hour, hour, false, true},
		"the wall clock is set forward":        {0, hour, 0, false, false},
		"the wall clock is set back":           {0, -hour, 0, false, false},
		"stopped, and the wall clock set back": {61 * time.Second, -hour, 61 * time.Second, false, true},
		"stopped, without CLOCK_BOOTTIME":      {61 * time.Second, 61 * time.Second, 0, true, true},
		"suspended, without CLOCK_BOOTTIME":    {0, hour, 0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, obs, clock := newHandler(), &counter{}, newHandClock()
				clock.noBoot = c.noBoot
				var log lockedBuffer
				dial, stop := startMem(t, h, func(cfg *nfs.Config) {
					cfg.Clock, cfg.Observer = clock, obs
					cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				})
				defer stop()
				nc := dial()
				defer nc.Close()
				honestCalls(t, nc, 1)
				time.Sleep(90*time.Second + time.Millisecond) // of ticks, and not at one
				clock.jump(c.mono, c.wall, c.boot)
				write(t, nc, record(message(9, prog, vers, procEcho, "")))
				if !c.pause {
					if xid, _, err := readReply(t, nc); xid != 9 || err != nil {
						t.Errorf("reply %d, %v", xid, err)
					}
					time.Sleep(3 * time.Second)
					honestCalls(t, nc, 1)
					if s := log.String(); obs.pauses != 0 || strings.Contains(s, "WARN") || strings.Contains(s, "set forward") != (c.wall == hour) {
						t.Errorf("%d pauses; log: %s", obs.pauses, s)
					}
					return
				}
				wantClosed(t, nc)
				synctest.Wait()
				if n := h.calls.Load(); n != 1 {
					t.Errorf("%d calls were executed, 1 was before the pause", n)
				}
				time.Sleep(3 * time.Second)
				if obs.pauses != 1 || obs.cut("paused") != 1 || strings.Count(log.String(), "WARN") != 1 {
					t.Errorf("%d pauses, cut %v, log: %s", obs.pauses, obs.cuts, log.String())
				}
				again := dial()
				defer again.Close()
				honestCalls(t, again, 4)
			})
		})
	}
}

// Wherever calls lie when the node stops, none of them is executed: in a queue
// for room, in the read buffer, in the socket, half read; or on the way to the
// handler, up to the reading of the clock.
func TestPause_CallsOnTheirWay(t *testing.T) {
	paused := func(t *testing.T, limits nfs.Limits, before func(*handler, net.Conn), during func(*handler, *handClock, net.Conn), runs int64) {
		synctest.Test(t, func(t *testing.T) {
			h, clock := newHandler(), newHandClock()
			dial, stop := startMem(t, h, func(c *nfs.Config) { c.Clock, c.Limits = clock, limits })
			defer stop()
			nc := dial()
			defer nc.Close()
			before(h, nc)
			synctest.Wait()
			during(h, clock, nc)
			go func() { // what it sends now does not matter
				_, _ = nc.Write(record(message(99, prog, vers, procEcho, "")))
			}()
			b := make([]byte, 4096)
			for {
				if _, err := nc.Read(b); err != nil { // perhaps after a reply to what ran before
					break
				}
			}
			synctest.Wait()
			if n := h.calls.Load(); n != runs {
				t.Errorf("%d calls reached the handler, %d did before the pause", n, runs)
			}
		})
	}
	stopNode := func(_ *handler, c *handClock, _ net.Conn) { c.jump(61*time.Second, 61*time.Second, 61*time.Second) }
	echo := func(n int) (b []byte) {
		for range n {
			b = append(b, record(message(7, prog, vers, procEcho, ""))...)
		}
		return b
	}
	block := record(message(1, prog, vers, procBlock, ""))
	t.Run("in the queue and in the buffer", func(t *testing.T) {
		paused(t, nfs.Limits{CallsPerConn: 1}, func(h *handler, nc net.Conn) {
			write(t, nc, append(block, echo(9)...))
		}, func(h *handler, c *handClock, nc net.Conn) {
			stopNode(h, c, nc)
			close(h.release)
		}, 1)
	})
	t.Run("in the queue of its client", func(t *testing.T) {
		paused(t, nfs.Limits{CallsPerClient: 1}, func(h *handler, nc net.Conn) {
			write(t, nc, append(block, echo(9)...))
		}, func(h *handler, c *handClock, nc net.Conn) {
			stopNode(h, c, nc)
			close(h.release)
		}, 1)
	})
	t.Run("half read", func(t *testing.T) {
		whole := record(message(1, prog, vers, procEcho, string(make([]byte, 100<<10))))
		paused(t, nfs.Limits{}, func(_ *handler, nc net.Conn) {
			write(t, nc, whole[:50<<10])
		}, func(h *handler, c *handClock, nc net.Conn) {
			stopNode(h, c, nc)
			write(t, nc, whole[50<<10:])
		}, 0)
	})
	t.Run("while the clock is read", func(t *testing.T) {
		paused(t, nfs.Limits{}, func(*handler, net.Conn) {}, func(h *handler, c *handClock, nc net.Conn) {
			c.mu.Lock()
			c.onNow = func() { stopNode(h, c, nc) }
			c.mu.Unlock()
			write(t, nc, echo(1))
			synctest.Wait() // a call beside it would read the clock before it jumps
		}, 0)
	})
	t.Run("a tick before the call notices", func(t *testing.T) {
		paused(t, nfs.Limits{CallsPerConn: 1}, func(h *handler, nc net.Conn) {
			write(t, nc, append(block, echo(3)...))
		}, func(h *handler, c *handClock, nc net.Conn) {
			stopNode(h, c, nc)
			time.Sleep(2 * time.Second) // ticks find the pause, and set the clocks' readings
			close(h.release)
		}, 1)
	})
}

// A suspension that shows on CLOCK_BOOTTIME alone, since the machine lost its
// wall clock, is found by the next tick.
func TestPause_SeenByTheTickAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		obs, clock := &counter{}, newHandClock()
		dial, stop := startMem(t, newHandler(), func(c *nfs.Config) { c.Clock, c.Observer = clock, obs })
		defer stop()
		nc := dial()
		defer nc.Close()
		clock.jump(0, 0, hour)
		begin := time.Now()
		wantClosed(t, nc)
		if d := time.Since(begin); d > time.Second {
			t.Errorf("closed after %s", d)
		}
	})
}

// A connection that is accepted right after a pause may have waited, with calls,
// in the listener's queue; so may one that was accepted just before.
func TestPause_ConnectionsFromTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, obs, clock := newHandler(), &counter{}, newHandClock()
		dial, stop := startMem(t, h, func(c *nfs.Config) { c.Clock, c.Observer = clock, obs })
		defer stop()
		time.Sleep(time.Minute)
		clock.jump(hour, hour, hour)
		for range 2 { // the first one finds the pause
			nc := dial()
			wantClosed(t, nc)
			_ = nc.Close()
		}
		if obs.pauses != 1 || obs.cut("paused") != 2 {
			t.Errorf("%d pauses, cut %v", obs.pauses, obs.cuts)
		}
		time.Sleep(3 * time.Second) // when a Linux client tries again
		nc := dial()
		defer nc.Close()
		honestCalls(t, nc, 2)
	})
}

// A call whose connection is not read for over a minute is as old as one that
// met a pause.
func TestPause_HeldBackByALimit(t *testing.T) {
	for name, held := range map[string]time.Duration{"too long": 61 * time.Second, "not too long": 59 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, obs := newHandler(), &counter{}
				dial, stop := startMem(t, h, func(c *nfs.Config) {
					c.Limits.CallsPerConn = 1
					c.Observer = obs
				})
				defer stop()
				nc := dial()
				defer nc.Close()
				replies := send(nc, 3, procBlock, "")
				time.Sleep(held)
				close(h.release)
				n, old := <-replies, held > time.Minute
				if old != (n < 3) || old != (h.calls.Load() == 1) || old != (obs.cut("held_back") == 1) {
					t.Errorf("%d replies, %d calls, cut %v", n, h.calls.Load(), obs.cuts)
				}
			})
		})
	}
}
