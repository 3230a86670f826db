package nfs

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how often the guard looks at the clocks.
	tick = time.Second
	// settleTime is how long after a pause new connections are closed again.
	// They may have waited in the listener's queue, with calls, since before
	// the pause ended. Emptying the queue takes milliseconds, or a second if
	// accept has failed just then (acceptPauseMax).
	settleTime = 2 * acceptPauseMax
)

// errPaused ends a call that may have been sent before a pause.
var errPaused = errors.New("nfs: the node stood still since the connection was made")

// pauseGuard finds out that this node stood still for longer than max, so that
// no call that a client sent before that is executed after it (rule R11). The
// client sends such a call again at the other node, under the same XID, and gets
// its answer; that answer is remembered for 120 s at least. A copy that is
// executed later than that is executed twice.
//
// Each pause begins a new epoch. A connection belongs to the epoch in which it
// was accepted, and a call is handed to its handler only in the epoch of its
// connection: so it does not matter where the call lay meanwhile, in the socket,
// in a buffer, in a queue for room or decoded on its way to the handler.
//
// # What counts as a pause
//
// The clocks are read every tick. It was a pause if since the last reading
//
//   - the monotonic clock went on by more than max: the process was stopped
//     (SIGSTOP, the freezer of a container), or a virtual machine whose clock
//     went on; or
//   - CLOCK_BOOTTIME did: the system was suspended, when the monotonic clock
//     stands still.
//
// The wall clock alone decides nothing, because an operator or NTP may set it
// forward; neither can set the other two. But it also shows a suspended system,
// and costs nothing beside the monotonic clock, where CLOCK_BOOTTIME is a system
// call. So each call looks at these two, and when either has gone too far the
// clocks are read in full before anything else is done. Where there is no
// CLOCK_BOOTTIME the wall clock counts: closing connections for nothing does
// less harm than missing a pause.
//
// A virtual machine that is stopped together with all of its clocks cannot tell.
// That guests' clocks go on is an assumption of the whole design.
//
// # What remains
//
// A call that passed current may still meet a pause before its operation is in
// the log. From there to the handler it is a few instructions; the handler
// decodes the arguments and hands them on within some microseconds. A pause of
// over a minute would have to begin in just these, and end only after the other
// node has forgotten its answer, which is another minute. Also the connection's
// context ends when the pause is found, so that whatever waits in a handler does
// not go on.
type pauseGuard struct {
	clock   Clock
	max     time.Duration
	onPause func(time.Duration) // called without locks, by whoever finds it
	onStep  func(time.Duration) // the wall clock was set forward

	epoch atomic.Uint64 // pauses so far
	mono  atomic.Int64  // the clocks at the last reading
	wall  atomic.Int64
	found atomic.Int64 // mono when the last pause was found

	mu      sync.Mutex // held while the clocks are read in full
	boot    time.Duration
	hasBoot bool
}

// start reads the clocks for the first time.
func (g *pauseGuard) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readLocked()
}

// current returns the epoch of this moment. It is the last thing before the
// handler: the clocks are read first and the epoch is loaded last, so a pause
// before the reading is seen here, whoever noted it.
func (g *pauseGuard) current() uint64 {
	mono, wall := g.clock.Now()
	if mono-time.Duration(g.mono.Load()) > g.max || wall-time.Duration(g.wall.Load()) > g.max {
		g.look()
	}
	return g.epoch.Load()
}

// join returns the epoch of a connection that was just accepted, and whether it
// may be served.
func (g *pauseGuard) join() (epoch uint64, ok bool) {
	epoch = g.current()
	mono, _ := g.clock.Now()
	return epoch, epoch == 0 || mono-time.Duration(g.found.Load()) >= settleTime
}

// look reads the clocks in full and notes a pause. A pause while it reads them
// is found by the next look, since what it notes is from before.
func (g *pauseGuard) look() {
	g.mu.Lock()
	gap, stepped := g.readLocked()
	paused := gap > g.max
	g.mu.Unlock()
	switch {
	case paused:
		g.onPause(gap)
	case stepped > g.max:
		g.onStep(stepped)
	}
}

// readLocked returns how long the time since the last reading was, and by how
// much the wall clock went on in it. A new epoch begins before the reading is
// noted: who sees the new reading sees the new epoch.
func (g *pauseGuard) readLocked() (gap, wallGap time.Duration) {
	first := g.mono.Load() == 0 && g.wall.Load() == 0
	mono, wall := g.clock.Now()
	boot, hasBoot := g.clock.Boot()
	gap, wallGap = mono-time.Duration(g.mono.Load()), wall-time.Duration(g.wall.Load())
	if hasBoot && g.hasBoot {
		gap = max(gap, boot-g.boot)
	} else {
		gap = max(gap, wallGap)
	}
	if gap > g.max && !first {
		g.epoch.Add(1)
		g.found.Store(int64(mono))
	}
	g.boot, g.hasBoot = boot, hasBoot
	g.wall.Store(int64(wall))
	g.mono.Store(int64(mono))
	return gap, wallGap
}
