package replica

import (
	"log/slog"
	"time"

	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

const (
	// slower bounds how much slower than real time log time runs, by one part
	// in slower, while it is ahead of the leader's clock. Nothing depends on it.
	slower = 2
	// maxAhead is how far beyond its course since the term began log time goes on
	// the word of one clock.
	maxAhead = time.Second
	// skewLimit is how far log time may be from the leader's clock unmentioned.
	skewLimit = time.Second
	// skewPause is the least time between two warnings about that.
	skewPause = time.Minute
)

// logClock stamps what a leader proposes. It takes the wall clock's word once a
// term, and goes by the monotonic course of time from there: a wall clock that
// is set to another time in the middle of a term cannot make the log's age, by
// which answers to calls are forgotten (rule R11), leap. Log time slews towards
// the wall clock instead, at most one part in duplicate.Fastest faster than real
// time, and never more than maxAhead beyond the course of the term unless the
// other data node's clock agrees with the leader's: one clock that is wrong does not
// carry the times of files away.
//
// It belongs to the propose goroutine.
type logClock struct {
	// read returns the time since some fixed moment, with that in which the
	// system was suspended, and the wall clock.
	read   func() (course time.Duration, wall vfs.Time)
	agree  func() bool // the wall clock of another data node shows the same
	logger *slog.Logger

	term   uint64
	begun  vfs.Time // log time when the term began, less the course at that time
	at     vfs.Time // log time at the latest reading
	course time.Duration
	warned time.Duration // the course at the last warning; zero if there was none in this term
}

// now returns the time for an entry of a term. At the first one of a term it is
// the wall clock's, but never before last, the time of the latest command.
func (c *logClock) now(term uint64, last vfs.Time) vfs.Time {
	course, wall := c.read()
	if c.term != term {
		c.term, c.at, c.course, c.warned = term, max(wall, last), course, 0
		c.begun = c.at - vfs.Time(course)
		c.warn(wall)
		return c.at
	}
	gone := vfs.Time(max(course-c.course, 0))
	c.course = max(course, c.course)
	ahead := c.at + gone - wall // by how much it would be, without a slew
	slew := -max(min(ahead, gone/slower), -gone/duplicate.Fastest)
	if slew > 0 && !c.agree() {
		slew = max(min(slew, c.begun+vfs.Time(c.course+maxAhead)-c.at-gone), 0)
	}
	c.at += gone + slew
	c.warn(wall)
	return c.at
}

// warn says that log time is not what the leader's clock shows.
func (c *logClock) warn(wall vfs.Time) {
	ahead := time.Duration(c.at - wall)
	if ahead.Abs() <= skewLimit || c.warned != 0 && c.course-c.warned < skewPause {
		return
	}
	c.warned = max(c.course, 1)
	c.logger.Warn("log time, which file times are taken from, is not this leader's clock's: that was set in its term, "+
		"or an earlier leader's was ahead; it is made up for slowly", "ahead", ahead)
}

// systemClock returns the read of a logClock.
func systemClock() func() (time.Duration, vfs.Time) {
	start := time.Now()
	return func() (time.Duration, vfs.Time) {
		now := time.Now()
		if boot, ok := bootTime(); ok {
			return boot, vfs.TimeOf(now)
		}
		return now.Sub(start), vfs.TimeOf(now)
	}
}
