package replica_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/raftlog"
	"twofold/raftlog/logstore/logstoretest"
	"twofold/raftlog/rafttest"
	"twofold/replica"
	"twofold/replica/command"
	"twofold/replica/state"
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
					count, problems := simulate(t, seed, noPlant)
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

// The simulation must be able to fail.
func TestSimulation_Finds(t *testing.T) {
	for name, p := range map[string]plant{"lie": plantLie, "twice": plantTwice, "clock": plantClock} {
		t.Run(name, func(t *testing.T) {
			const seeds = 100
			for seed := range uint64(seeds) {
				if _, problems := simulate(t, seed, p); len(problems) > 0 {
					t.Logf("seed %d: %s", seed, problems[0])
					return
				}
			}
			t.Errorf("not found by %d seeds", seeds)
		})
	}
}

// simCount says what happened in simulations.
type simCount struct{ answered, unknown, leases, faults, crashes, terms int }

func (c *simCount) add(o simCount) {
	c.answered += o.answered
	c.unknown += o.unknown
	c.leases += o.leases
	c.faults += o.faults
	c.crashes += o.crashes
	c.terms += o.terms
}

func (c simCount) String() string {
	return fmt.Sprintf("%d operations answered, %d not, %d reads began under a lease, %d faults, %d crashes, %d terms", c.answered, c.unknown, c.leases, c.faults, c.crashes, c.terms)
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
func simulate(t *testing.T, seed uint64, p plant) (simCount, []string) {
	tb := &simTB{TB: t}
	var count simCount
	synctest.Test(t, func(t *testing.T) {
		s := newSim(tb, t.TempDir(), seed, p)
		defer s.close()
		defer recoverAborted()
		s.run(seed)
		count = s.count
	})
	return count, tb.problems
}

// sim is one simulated cluster.
type sim struct {
	*pair
	plant   plant
	clients *simClients
	referee *referee
	rng     *rand.Rand // of who does the damage, and of the disks
	logs    map[string]*logstoretest.Disk
	states  map[string]*pebblevfs.MemFS
	clocks  map[string]*rafttest.Clock
	pauses  map[string]*simPause
	count   simCount
	leases  atomic.Int64 // how often one was found valid

	mu     sync.Mutex
	stores map[string]*replica.Store // that clients may ask
}

// simPause stops a process, as far as that can be done from within: whoever has
// looked at the lease waits before the next step. What else a stopped process
// does not do, its network and its disk see to.
type simPause struct {
	mu  sync.Mutex
	end chan struct{} // nil while the process runs
}

func (p *simPause) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = make(chan struct{})
}

func (p *simPause) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		close(p.end)
		p.end = nil
	}
}

func (p *simPause) wait() {
	p.mu.Lock()
	end := p.end
	p.mu.Unlock()
	if end != nil {
		<-end
	}
}

// simLog is a node whose process may stop between two steps.
type simLog struct {
	*raftlog.Node
	pause  *simPause
	leases *atomic.Int64 // how often it was valid
}

// Lease is that of the node.
func (l simLog) Lease() (raftlog.Term, bool) {
	t, ok := l.Node.Lease()
	if ok {
		l.leases.Add(1)
	}
	l.pause.wait()
	return t, ok
}

// recoverAborted ends a simulation that could not go on. What is wrong was noted.
func recoverAborted() {
	if r := recover(); r != nil && r != any(errAborted) {
		panic(r)
	}
}

func newSim(t testing.TB, dir string, seed uint64, p plant) *sim {
	s := &sim{
		pair: &pair{
			t: t, net: rafttest.NewNetwork(), dir: dir,
			nodes: map[string]*raftlog.Node{}, stores: map[string]*replica.Store{},
		},
		plant: p, rng: rand.New(rand.NewPCG(seed, 1)),
		logs: map[string]*logstoretest.Disk{}, states: map[string]*pebblevfs.MemFS{},
		stores: map[string]*replica.Store{}, clocks: map[string]*rafttest.Clock{}, pauses: map[string]*simPause{},
	}
	for i, name := range simNames {
		s.clocks[name], s.pauses[name] = rafttest.NewClock(time.Duration(i+1)*time.Hour), &simPause{}
		s.plug(name, logstoretest.NewDisk(), pebblevfs.NewCrashableMem())
	}
	if p == plantClock {
		s.clocks["a"].SetRate(0.1)
	}
	s.clients, s.referee = newSimClients(s, seed), newReferee(s)
	s.referee.begin()
	return s
}

// plug gives a node its disks.
func (s *sim) plug(name string, log *logstoretest.Disk, st *pebblevfs.MemFS) {
	log.Lie = func(_ int, step logstoretest.Step) bool { return s.plant == plantLie && step == logstoretest.StepSync }
	s.logs[name], s.states[name] = log, st
}

// run is a whole simulation: damage under load, repair, and a look at what is
// left.
func (s *sim) run(seed uint64) {
	for _, name := range simNames {
		s.mustOpen(name)
	}
	s.ready()
	s.clients.begin()
	s.damage(10)
	s.repair()
	s.finish()
	s.count.answered, s.count.unknown = s.clients.counts()
	s.count.leases = int(s.leases.Load())
	s.count.terms = int(s.pair.nodes["w"].Term())
}

// finish lets the clients finish what they began, and looks at what is left.
func (s *sim) finish() {
	s.ready()
	s.clients.end()
	s.ready()
	s.clients.readAll()
	s.clients.check()
	s.sameDigest()
}

// close stops what runs. Goroutines that are left would keep the bubble open.
func (s *sim) close() {
	s.clients.abort()
	s.referee.end()
	for _, m := range rafttest.Trio {
		s.logs[m.Name].Answer()
		s.pauses[m.Name].over()
	}
	for _, m := range rafttest.Trio {
		s.stop(m.Name)
	}
}

// store returns the store of a node that runs, or nil.
func (s *sim) store(name string) *replica.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stores[name]
}

func (s *sim) offer(name string, store *replica.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stores[name] = store
}

func (s *sim) mustOpen(name string) {
	s.t.Helper()
	if err := s.open(name); err != nil {
		s.t.Fatalf("opening %s: %v", name, err)
	}
}

// open starts a node on its disks. Segments are rotated, the state is flushed and
// the log is cut all the time.
func (s *sim) open(name string) error {
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("REPLICA_LOG") != "" {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("n", name)
	}
	cfg := raftlog.Config{
		Name: name, Dir: filepath.Join(s.dir, name), Role: raftlog.RoleWitness, Members: rafttest.Trio,
		Net: s.net.Endpoint(name), Bootstrap: true, Logger: logger, LogFS: s.logs[name],
		Clock:           s.clocks[name],
		LogSegmentBytes: 64 << 10, KeepLogBytes: 32 << 10,
		Timing: raftlog.Timing{PingInterval: 100 * time.Millisecond, WatermarkInterval: 300 * time.Millisecond},
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	var sm raftlog.StateMachine
	if name != "w" {
		cfg.Role = raftlog.RoleData
		st, err := replica.Open(replica.Config{
			Dir: "state", Peers: []string{other(name)}, ReserveBytes: 1, Linger: -1, Logger: logger, Format: command.Format{RootMode: 0o755},
			FreeBytes: func() (uint64, error) { return roomy, nil },
			State:     state.Options{FS: s.states[name], Logger: logger, CacheBytes: 1 << 20, MemTableBytes: 256 << 10},
		})
		if err != nil {
			return err
		}
		s.pair.stores[name], sm = st, st
	}
	n, err := raftlog.Open(cfg, sm)
	if err != nil {
		s.net.Detach(name)
		if st := s.pair.stores[name]; st != nil {
			delete(s.pair.stores, name)
			err = errors.Join(err, st.Close())
		}
		return err
	}
	s.pair.nodes[name] = n
	s.referee.knows(name, n)
	if st := s.pair.stores[name]; st != nil {
		st.Start(simLog{n, s.pauses[name], &s.leases}, cfg.Net)
		s.offer(name, st)
	}
	return nil
}

// crash takes the power from nodes at one moment, and leaves their disks as they
// may be found then.
func (s *sim) crash(names ...string) {
	s.count.crashes += len(names)
	for _, name := range names {
		s.logs[name].Hold() // From here on nothing can be acknowledged that is not synced.
	}
	logs, markers, states := map[string]*logstoretest.Disk{}, map[string][]byte{}, map[string]*pebblevfs.MemFS{}
	for _, name := range names {
		logs[name] = s.logs[name].PowerLoss(logstoretest.AnyFate(s.rng), s.rng)
		// The marker is written after the state was flushed: look at them in this order.
		markers[name], _ = os.ReadFile(s.marker(name))
		states[name] = s.states[name].CrashClone(pebblevfs.CrashCloneCfg{UnsyncedDataPercent: s.rng.IntN(101), RNG: s.rng})
	}
	for _, name := range names {
		s.referee.knows(name, nil)
		s.net.Detach(name)
		s.logs[name].Cut()
	}
	for _, name := range names {
		s.offer(name, nil)
		s.stop(name)
		s.plug(name, logs[name], states[name])
		if err := os.Remove(s.marker(name)); err != nil && !os.IsNotExist(err) {
			s.t.Error(err)
		}
		if markers[name] != nil {
			if err := os.WriteFile(s.marker(name), markers[name], 0o600); err != nil {
				s.t.Error(err)
			}
		}
	}
}

func (s *sim) marker(name string) string { return filepath.Join(s.dir, name, "marker") }

// ready waits until both data nodes serve.
func (s *sim) ready() {
	s.t.Helper()
	for _, name := range []string{"a", "b"} {
		s.await(name, func(ctx context.Context, st *replica.Store) error { return st.Ready(ctx) })
	}
}
