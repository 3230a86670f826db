package replica_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simSeeds = flag.Int("sim.seeds", 5000, "how many simulations are run at most")
	simSeed  = flag.Uint64("sim.seed", 0, "the seed of the first one; 0 chooses one")
	simFor   = flag.Duration("sim.for", 10*time.Second, "no further simulation is begun after this time")
)

// A simulation is the whole cluster in a bubble of virtual time: two data nodes
// and a witness, on a network and on disks in memory that fail, and clients at
// both nodes. One seed decides what fails and when, and what the clients do. It
// does not decide the order in which Go runs goroutines that are ready at the same
// virtual instant, nor raft's random timeouts: a seed that failed may have to be
// repeated some times, as the message says.
func TestSimulation(t *testing.T) {
	first := *simSeed
	if first == 0 {
		first = rand.Uint64N(1 << 40)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(simGC))
	begun := time.Now()
	var next, ran atomic.Int64
	var mu sync.Mutex
	var total simCount
	t.Run("seeds", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for !t.Failed() && time.Since(begun) < *simFor {
					i := next.Add(1) - 1
					if i >= int64(*simSeeds) {
						return
					}
					seed := first + uint64(i)
					count, problems := simulate(t, seed, shapeOf(seed), noPlant)
					for _, p := range problems {
						t.Errorf("seed %d: %s", seed, p)
					}
					if len(problems) > 0 {
						t.Errorf("again: go test ./replica -run 'TestSimulation$' -sim.seed %d -sim.seeds 1 -count 50", seed)
					}
					ran.Add(1)
					mu.Lock()
					total.add(count)
					mu.Unlock()
				}
			})
		}
	})
	took := time.Since(begun)
	t.Logf("%d seeds from %d in %v, %.1f a second: %v", ran.Load(), first, took.Round(time.Millisecond), float64(ran.Load())/took.Seconds(), total)
}

// plant is a fault that a simulation has to find.
type plant int

const (
	noPlant    plant = iota
	plantLie         // syncs of the log do nothing
	plantTwice       // calls bear no identity, and are sent again all the same
	plantClock       // a's clock, by which it takes its lease for valid, is slow beyond the margin
)

// simGC is how far the heap may grow, in percent, until it is collected. Nearly all
// of it is the buffers of nodes that are gone.
const simGC = 400

// The simulation must be able to fail.
func TestSimulation_Finds(t *testing.T) {
	for name, p := range map[string]plant{"lie": plantLie, "twice": plantTwice, "clock": plantClock} {
		t.Run(name, func(t *testing.T) {
			const seeds = 200
			for seed := range uint64(seeds) {
				if _, problems := simulate(t, seed, shapeOf(seed), p); len(problems) > 0 {
					t.Logf("seed %d: %s", seed, problems[0])
					return
				}
			}
			t.Errorf("not found by %d seeds", seeds)
		})
	}
}

// simCount says what happened in simulations.
type simCount struct{ long, answered, unknown, leases, faults, crashes, terms int }

func (c *simCount) add(o simCount) {
	c.long += o.long
	c.answered += o.answered
	c.unknown += o.unknown
	c.leases += o.leases
	c.faults += o.faults
	c.crashes += o.crashes
	c.terms += o.terms
}

func (c simCount) String() string {
	return fmt.Sprintf("%d of them long, %d operations answered, %d not, %d reads began under a lease, %d faults, %d crashes, %d terms", c.long, c.answered, c.unknown, c.leases, c.faults, c.crashes, c.terms)
}

// simTB gathers what is wrong, in place of failing the test: a planted fault has to
// be found.
type simTB struct {
	testing.TB
	mu       sync.Mutex
	problems []string
}

// errAborted ends a simulation that cannot go on.
var errAborted = errors.New("aborted")

func (t *simTB) note(p string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems = append(t.problems, p)
}

func (t *simTB) Error(a ...any)                 { t.note(fmt.Sprint(a...)) }
func (t *simTB) Errorf(format string, a ...any) { t.note(fmt.Sprintf(format, a...)) }
func (t *simTB) Fatal(a ...any)                 { t.Error(a...); panic(errAborted) }
func (t *simTB) Fatalf(format string, a ...any) { t.Errorf(format, a...); panic(errAborted) }
func (t *simTB) Helper()                        {}

// simulate runs one simulation, and tells what was wrong.
func simulate(t *testing.T, seed uint64, shape simShape, p plant) (simCount, []string) {
	tb := &simTB{TB: t}
	var count simCount
	dir := ramDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSim(tb, dir, seed, shape, p)
		defer s.close()
		defer recoverAborted()
		s.run(seed)
		count = s.count
	})
	return count, tb.problems
}

// ramDir returns a directory for what a simulated node keeps in real files, its
// marker: in memory, where the system has such a place. How long a real disk takes
// is no part of virtual time.
func ramDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "twofold-simulation-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
