package rafttest

import (
	"sync"
	"time"

	"twofold/raftlog"
)

// Clock is one member's clock. It goes on over restarts, as that of a machine
// does, and may run at another rate than the real one or leap.
type Clock struct {
	mu struct {
		sync.Mutex
		at   time.Time     // real time at which it read
		read time.Duration // this
		rate float64
	}
}

var _ raftlog.Clock = (*Clock)(nil)

// NewClock returns a clock that runs at the real rate and reads start.
func NewClock(start time.Duration) *Clock {
	c := &Clock{}
	c.mu.at, c.mu.read, c.mu.rate = time.Now(), start, 1
	return c
}

// Now implements raftlog.Clock.
func (c *Clock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() time.Duration {
	return c.mu.read + time.Duration(c.mu.rate*float64(time.Since(c.mu.at)))
}

// SetRate has the clock run faster or slower from now on.
func (c *Clock) SetRate(rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.read, c.mu.at = c.nowLocked(), time.Now()
	c.mu.rate = rate
}

// Advance leaps forward, as the clock of a machine does that was suspended.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.read += d
}
