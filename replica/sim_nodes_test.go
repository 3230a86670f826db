package replica_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/raftlog"
	"twofold/raftlog/logstore/logstoretest"
	"twofold/raftlog/rafttest"
	"twofold/replica"
	"twofold/replica/command"
	"twofold/replica/state"
)

// sim is one simulated cluster.
type sim struct {
	*pair
	plant   plant
	shape   simShape
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

func newSim(t testing.TB, dir string, seed uint64, shape simShape, p plant) *sim {
	s := &sim{
		pair: &pair{
			t: t, net: rafttest.NewNetwork(), dir: dir,
			nodes: map[string]*raftlog.Node{}, stores: map[string]*replica.Store{},
		},
		plant: p, shape: shape, rng: rand.New(rand.NewPCG(seed, 1)),
		logs: map[string]*logstoretest.Disk{}, states: map[string]*pebblevfs.MemFS{},
		stores: map[string]*replica.Store{}, clocks: map[string]*rafttest.Clock{}, pauses: map[string]*simPause{},
	}
	for i, name := range simNames {
		s.clocks[name], s.pauses[name] = rafttest.NewClock(time.Duration(i+1)*time.Hour), &simPause{}
		s.plug(name, logstoretest.NewDisk(), pebblevfs.NewCrashableMem())
	}
	if shape.apart {
		s.rates()
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
	if s.plant == plantClock {
		time.Sleep(2 * raftlog.DefaultPromise) // until leases may be held
		s.clocks["a"].SetRate(0.1)
	}
	s.clients.begin()
	s.damage(s.shape.faults)
	s.repair()
	s.finish()
	if s.shape.long {
		s.count.long = 1
	}
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
	s.await("a", func(_ context.Context, a *replica.Store) error {
		if x, y := a.Applied(), s.pair.stores["b"].Applied(); x != y {
			return fmt.Errorf("applied index %d at a, %d at b", x, y)
		}
		return nil
	})
	s.sameDigest() // which reads all, again and again until both are as far
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
		Timing: s.shape.timing(),
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
