package replica_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twofold/replica/vfs"
)

var simMatrix = flag.Bool("sim.matrix", false, "simulate every combination of faults, in place of some")

// condition is what is the matter with one member.
type condition string

// The conditions of the failure matrix.
const (
	condUp      condition = "up"
	condDown    condition = "down"
	condHung    condition = "hung disk"
	condPaused  condition = "paused"
	condCutOne  condition = "cut off from one"
	condCutBoth condition = "cut off from both"
	condBehind  condition = "behind"
)

var conditions = []condition{condUp, condDown, condHung, condPaused, condCutOne, condCutBoth, condBehind}

const (
	// matrixEvery is the part of the combinations that is simulated by default.
	matrixEvery = 20
	// matrixFor is how long a combination lasts, in virtual time, and matrixLeast how
	// long it does once a client was served in it.
	matrixFor   = 4 * time.Second
	matrixLeast = 1500 * time.Millisecond
)

// matrixCase is one combination.
type matrixCase struct{ a, b, w condition }

func (c matrixCase) of(name string) condition {
	return map[string]condition{"a": c.a, "b": c.b, "w": c.w}[name]
}

// Every combination of {up, down, hung disk, paused, cut off from one, cut off from
// both, behind} of the three members, with reads, writes and changes of names at
// both nodes: nothing is lost, stale, or done twice. Where two members that are
// well can talk to each other, clients are served.
func TestSimulation_Matrix(t *testing.T) {
	seed := rand.Uint64N(1 << 40)
	if *simSeed != 0 {
		seed = *simSeed
	}
	var cases []matrixCase
	for n, c := range matrixCases() {
		if *simMatrix || uint64(n)%matrixEvery == seed%matrixEvery {
			cases = append(cases, c)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(simGC))
	begun := time.Now()
	var next atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for i := next.Add(1) - 1; i < int64(len(cases)); i = next.Add(1) - 1 {
					c := cases[i]
					for _, p := range simulateCase(t, c, seed+uint64(i)) {
						t.Errorf("seed %d, a %s, b %s, w %s: %s", seed+uint64(i), c.a, c.b, c.w, p)
					}
				}
			})
		}
	})
	t.Logf("%d combinations from seed %d in %v", len(cases), seed, time.Since(begun).Round(time.Millisecond))
}

// matrixCases returns all combinations.
func matrixCases() []matrixCase {
	var cases []matrixCase
	for _, a := range conditions {
		for _, b := range conditions {
			for _, w := range conditions {
				cases = append(cases, matrixCase{a, b, w})
			}
		}
	}
	return cases
}

// simulateCase runs one combination, and tells what was wrong.
func simulateCase(t *testing.T, c matrixCase, seed uint64) []string {
	tb := &simTB{TB: t}
	dir := ramDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSim(tb, dir, seed, longShape, noPlant)
		defer s.close()
		defer recoverAborted()
		for _, name := range simNames {
			s.mustOpen(name)
		}
		s.ready()
		s.clients.begin()
		s.sleep(500)
		s.apply(c)
		switch served := s.served(matrixFor); {
		case c.serves() && !served:
			tb.Errorf("no client was served for %v", matrixFor)
		case c.splits() && served:
			tb.Errorf("a client was served, and no two members could talk to each other")
		}
		s.restore(c)
		s.finish()
	})
	return tb.problems
}

// apply brings the members into their conditions.
func (s *sim) apply(c matrixCase) {
	for _, name := range simNames {
		if c.of(name) == condBehind {
			s.net.Between(s.net.Cut, name, others(name)...)
		}
	}
	s.sleep(800)
	for _, name := range simNames {
		switch c.of(name) {
		case condBehind:
			s.net.Between(s.net.Heal, name, others(name)...)
		case condDown:
			s.crash(name)
		case condHung:
			s.logs[name].Hang()
		case condPaused:
			s.stopProcess(name)
		}
	}
	for _, name := range simNames {
		for _, o := range c.cut(name) {
			s.net.Between(s.net.Hold, name, o)
		}
	}
}

// cut tells from whom a member is cut off by its own condition.
func (c matrixCase) cut(name string) []string {
	switch c.of(name) {
	case condCutOne:
		return others(name)[:1]
	case condCutBoth:
		return others(name)
	}
	return nil
}

// restore ends all conditions.
func (s *sim) restore(c matrixCase) {
	for _, name := range simNames {
		switch c.of(name) {
		case condHung:
			s.logs[name].Answer()
		case condPaused:
			s.resumeProcess(name)
		}
	}
	s.repair()
}

// serves tells whether clients have to be served: two members, one of them a data
// node, are well and can talk to each other. A data node that was away may have to
// wait, with the witness alone: what is new may be on the other one only.
func (c matrixCase) serves() bool { return c.pair(condUp, condCutOne) }

// splits tells whether clients must not be served: no two members can write and
// talk to each other.
func (c matrixCase) splits() bool { return !c.pair(condUp, condCutOne, condBehind) }

// pair tells whether a data node and another member are in one of some conditions,
// and not cut off from each other.
func (c matrixCase) pair(well ...condition) bool {
	for _, p := range []string{"a", "b"} {
		for _, q := range others(p) {
			if slices.Contains(well, c.of(p)) && slices.Contains(well, c.of(q)) && !slices.Contains(c.cut(p), q) && !slices.Contains(c.cut(q), p) {
				return true
			}
		}
	}
	return false
}

// served waits, and tells whether meanwhile some node ran a change and a read in
// time.
func (s *sim) served(d time.Duration) bool {
	begun := time.Now()
	served := false
	for i := 0; time.Since(begun) < d && !(served && time.Since(begun) >= matrixLeast); i++ {
		for _, name := range []string{"a", "b"} {
			if st := s.store(name); st != nil && !served {
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				_, err := st.Mutate(ctx, &vfs.Call{}, &vfs.OpCreate{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: fmt.Sprint("probe-", name, i)})
				if err == nil {
					_, err = st.GetAttr(ctx, vfs.Ref{Ino: vfs.RootIno})
				}
				cancel()
				served = served || err == nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return served
}
