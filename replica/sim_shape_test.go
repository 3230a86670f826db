package replica_test

import (
	"math/rand/v2"
	"time"

	"twofold/raftlog"
)

// longEvery is the share of the simulations that are long.
const longEvery = 25

// simShape is what kind of simulation a seed stands for. Most are short: many ways
// into trouble are worth more than a long way out of it.
type simShape struct {
	long   bool
	faults int
	// breath is the longest time, in milliseconds, between two faults, and part the
	// share of the time that a fault may last which it lasts at most.
	breath int
	part   float64
	hasty  bool // raft's timers are shorter than the promises, so that these alone keep leases safe
	apart  bool // the clocks run apart from the beginning
}

// longShape lets faults last, and gives time to get over them.
var longShape = simShape{long: true, faults: 10, breath: 600, part: 1}

// shapeOf returns the shape of a seed.
func shapeOf(seed uint64) simShape {
	if seed%longEvery == 0 {
		return longShape
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	return simShape{
		faults: 3, breath: 200, part: 0.4,
		hasty: rng.IntN(3) > 0, apart: rng.IntN(2) == 0,
	}
}

// hastyTimeout is the time after which a hasty node campaigns, and a little less
// than that the time after which it gives the lead up: far below a promise.
const hastyTimeout = 100 * time.Millisecond

// timing has the state flushed and the log cut all the time.
func (s simShape) timing() raftlog.Timing {
	t := raftlog.Timing{PingInterval: 100 * time.Millisecond, WatermarkInterval: 300 * time.Millisecond}
	if s.hasty {
		t.HeartbeatTimeout = hastyTimeout
	}
	return t
}
