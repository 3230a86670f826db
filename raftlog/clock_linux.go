package raftlog

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is CLOCK_BOOTTIME: unlike CLOCK_MONOTONIC, and so unlike time.Now, it
// counts the time in which the machine was suspended (clock_gettime(2)).
type bootClock struct{}

// Now implements Clock. The call cannot fail once it has succeeded: see newClock.
func (bootClock) Now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

func newClock() (Clock, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return nil, fmt.Errorf("no clock that counts the time of a suspended machine: CLOCK_BOOTTIME: %w; leases need Linux 2.6.39 or later", err)
	}
	return bootClock{}, nil
}
