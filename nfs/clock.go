package nfs

import "time"

// Clock tells the pause guard the time.
type Clock interface {
	// Now returns the monotonic and the wall clock, from origins that do not
	// change. It is asked before each call, so it must be cheap.
	Now() (mono, wall time.Duration)
	// Boot returns the time since the system was started, with that in which it
	// was suspended, and false where the operating system has no such clock. It
	// is asked once a tick, and may be dear.
	Boot() (time.Duration, bool)
}

// systemClock is the Clock that there always is. Its Now is a single reading
// without a system call on Linux (vdso(7)): some 30 ns, where CLOCK_BOOTTIME
// takes 200 by way of the kernel.
type systemClock struct{ start time.Time }

// Now returns the time since start, and since 1970.
func (c systemClock) Now() (mono, wall time.Duration) {
	now := time.Now()
	return now.Sub(c.start), time.Duration(now.UnixNano())
}

// Boot returns CLOCK_BOOTTIME.
func (systemClock) Boot() (time.Duration, bool) { return bootTime() }
