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

	"twofold/metrics"
	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// pair is two data nodes and a witness in one process, on a network with
// faults.
type pair struct {
	t       testing.TB
	net     *rafttest.Network
	dir     string
	nodes   map[string]*raftlog.Node
	stores  map[string]*replica.Store
	timing  map[string]raftlog.Timing
	limits  map[string]uint64 // replica.Config.DuplicateBytes
	metrics map[string]*metrics.Replica
	free    map[string]*atomic.Uint64 // bytes on the nodes' disks
	// configure may change what a node is opened with; nil for nothing.
	configure func(name string, log *raftlog.Config, store *replica.Config)
	calm      bool          // no copies are kept for comparisons
	refetched atomic.Uint64 // times that a node asked for another copy
}

// patience is how long a test waits for what must come; only a failure lasts as long.
const patience = time.Minute

// The disk of a node of a pair: what is free, and what the node keeps.
const (
	roomy   = 100 << 30
	reserve = 1 << 20
)

func newPair(t testing.TB) *pair { return newPairWith(t, nil) }

func newPairWith(t testing.TB, timing map[string]raftlog.Timing) *pair {
	t.Helper()
	return newPairOf(t, func(p *pair) { p.timing = timing })
}

func newPairTuned(t testing.TB, tune func(*replica.Config)) *pair {
	t.Helper()
	return newPairAs(t, nil, func(_ string, _ *raftlog.Config, c *replica.Config) { tune(c) })
}

func newPairAs(t testing.TB, timing map[string]raftlog.Timing, configure func(string, *raftlog.Config, *replica.Config)) *pair {
	t.Helper()
	return newPairOf(t, func(p *pair) { p.timing, p.configure = timing, configure })
}

func newPairOf(t testing.TB, configure func(*pair)) *pair {
	t.Helper()
	p := &pair{
		t: t, net: rafttest.NewNetwork(), dir: t.TempDir(), metrics: map[string]*metrics.Replica{},
		nodes: map[string]*raftlog.Node{}, stores: map[string]*replica.Store{},
		free: map[string]*atomic.Uint64{"a": {}, "b": {}},
	}
	p.free["a"].Store(roomy)
	p.free["b"].Store(roomy)
	configure(p)
	for _, m := range rafttest.Trio {
		p.start(m.Name)
	}
	t.Cleanup(func() {
		for _, m := range rafttest.Trio {
			p.stop(m.Name)
		}
	})
	p.await("a", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	return p
}

func (p *pair) start(name string) {
	p.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("REPLICA_LOG") != "" {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("n", name)
	}
	cfg := raftlog.Config{
		Name: name, Dir: filepath.Join(p.dir, name), Role: raftlog.RoleWitness, Members: rafttest.Trio,
		Net: p.net.Endpoint(name), Bootstrap: true, LogSegmentBytes: 4 << 20, Logger: logger,
		Timing: p.timing[name],
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	var sm raftlog.StateMachine
	if name != "w" {
		cfg.Role = raftlog.RoleData
		store := replica.Config{
			Dir:          filepath.Join(cfg.Dir, "state"),
			Self:         vfs.Member{Name: name, ID: [16]byte{name[0]}},
			Peers:        []string{other(name)},
			FreeBytes:    func() (uint64, error) { return p.free[name].Load(), nil },
			Format:       command.Format{RootMode: 0o755},
			ReserveBytes: reserve,
			Logger:       logger,

			DuplicateBytes: p.limits[name],
			Metrics:        p.metrics[name],
		}
		store.Refetch = func(state.Quarantine) error {
			p.refetched.Add(1)
			return errors.New("there is none")
		}
		if p.configure != nil {
			p.configure(name, &cfg, &store)
		}
		if p.calm {
			store.CheckpointEvery = time.Hour
		}
		s, err := replica.Open(store)
		if err != nil {
			p.t.Fatal(err)
		}
		p.stores[name], sm = s, s
	} else if p.configure != nil {
		p.configure(name, &cfg, &replica.Config{})
	}
	n, err := raftlog.Open(cfg, sm)
	if err != nil {
		p.t.Fatal(err)
	}
	p.nodes[name] = n
	if s := p.stores[name]; s != nil {
		s.Start(n, cfg.Net)
	}
}

func (p *pair) stop(name string) {
	p.t.Helper()
	if p.nodes[name] == nil {
		return
	}
	if s := p.stores[name]; s != nil {
		s.Stop()
	}
	if err := p.nodes[name].Close(); err != nil {
		p.t.Errorf("closing %s: %v", name, err)
	}
	if s := p.stores[name]; s != nil {
		if err := s.Close(); err != nil {
			p.t.Errorf("closing the store of %s: %v", name, err)
		}
	}
	p.net.Detach(name)
	delete(p.nodes, name)
	delete(p.stores, name)
}

// await repeats f until it succeeds.
func (p *pair) await(name string, f func(context.Context, *replica.Store) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := f(ctx, p.stores[name])
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			p.t.Fatalf("node %s: %v", name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *pair) leader() string {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for name, n := range p.nodes {
			if st, _ := n.Watch(); st.Ready {
				return name
			}
		}
	}
	p.t.Fatal("no leader")
	return ""
}

func other(name string) string {
	if name == "a" {
		return "b"
	}
	return "a"
}

func rootRef(fs vfs.FS) vfs.Ref { return vfs.Ref{Ino: vfs.RootIno} }

// mustMutate fails the test on anything but success.
func mustMutate(t *testing.T, fs vfs.FS, op vfs.Op) vfs.Result {
	t.Helper()
	res, err := fs.Mutate(t.Context(), &vfs.Call{}, op)
	if err != nil || res.Kind != vfs.OK {
		t.Fatalf("%T: %v, %v", op, res.Kind, err)
	}
	return res
}

func create(t *testing.T, fs vfs.FS, name string) vfs.Ref {
	t.Helper()
	res := mustMutate(t, fs, &vfs.OpCreate{Dir: rootRef(fs), Name: name, Mode: vfs.CreateGuarded,
		Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o644}})
	return res.Attr.Ref
}

// sameDigest waits until both nodes have applied the same index and compares
// their copies.
func (p *pair) sameDigest() {
	p.t.Helper()
	p.await("a", func(ctx context.Context, a *replica.Store) error {
		if err := a.Ready(ctx); err != nil {
			return err
		}
		da, ia, err := a.Digest()
		if err != nil {
			p.t.Fatal(err)
		}
		db, ib, err := p.stores["b"].Digest()
		if err != nil {
			p.t.Fatal(err)
		}
		if ia != ib {
			return fmt.Errorf("applied index %d at a, %d at b", ia, ib)
		}
		if da != db {
			p.t.Fatalf("at index %d the copies differ", ia)
		}
		return nil
	})
}

func TestStore_WriteAtOneReadAtTheOther(t *testing.T) {
	p := newPair(t)
	for i := range 50 {
		w, r := p.stores["a"], p.stores["b"]
		if i%2 == 1 {
			w, r = r, w
		}
		ref := create(t, w, fmt.Sprint("f", i))
		want := fmt.Sprintf("contents %d", i)
		mustMutate(t, w, &vfs.OpWrite{Ref: ref, Data: []byte(want)})
		buf := make([]byte, 100)
		res, err := r.Read(t.Context(), vfs.Root, ref, 0, buf)
		if err != nil || string(buf[:res.N]) != want || !res.EOF {
			t.Fatalf("read at the other node: %q, %+v, %v", buf[:res.N], res, err)
		}
	}
	p.sameDigest()
}

func TestStore_VolumeIsTheSameAtBothNodes(t *testing.T) {
	p := newPair(t)
	a, err := p.stores["a"].Volume()
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.stores["b"].Volume()
	if err != nil || a != b {
		t.Fatalf("%+v at a, %+v at b, %v", a, b, err)
	}
	if a.UUID == [16]byte{} || a.HandleKey == [16]byte{} || a.UUID == a.HandleKey {
		t.Fatalf("the volume's secrets are not random: %+v", a)
	}
}

// A leader that is cut off must not answer reads from its old copy once the
// others may have elected a new one.
func TestStore_CutOffLeaderAnswersNothing(t *testing.T) {
	p := newPair(t)
	old := p.leader()
	ref := create(t, p.stores[old], "f")
	mustMutate(t, p.stores[old], &vfs.OpWrite{Ref: ref, Data: []byte("old")})
	p.net.Between(p.net.Hold, old, other(old), "w")

	s := p.stores[other(old)]
	p.await(other(old), func(ctx context.Context, s *replica.Store) error {
		res, err := s.Mutate(ctx, &vfs.Call{}, &vfs.OpWrite{Ref: ref, Data: []byte("new")})
		if err == nil && res.Kind != vfs.OK {
			t.Fatal(res.Kind)
		}
		return err
	})
	buf := make([]byte, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if res, err := p.stores[old].Read(ctx, vfs.Root, ref, 0, buf); err == nil {
		t.Fatalf("the cut-off leader answered %q, %+v", buf, res)
	}
	p.net.Between(p.net.Release, old, other(old), "w")
	p.await(old, func(ctx context.Context, o *replica.Store) error {
		_, err := o.Read(ctx, vfs.Root, ref, 0, buf)
		return err
	})
	if string(buf) != "new" {
		t.Fatalf("after the cut healed: %q", buf)
	}
	if _, err := s.Read(t.Context(), vfs.Root, ref, 0, buf); err != nil {
		t.Fatal(err)
	}
	p.sameDigest()
}

// A deposed leader that does not know it, as after a pause of its process,
// still believes that it leads. Its belief must not be enough for a read.
func TestStore_DeposedLeaderThatDoesNotKnow(t *testing.T) {
	const never = time.Hour
	p := newPairWith(t, map[string]raftlog.Timing{
		"a": {HeartbeatTimeout: never, ElectionTimeout: never, LeaderLeaseTimeout: never},
	})
	if p.leader() != "a" {
		if err := p.nodes[p.leader()].TransferLeadership(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		p.await("a", func(context.Context, *replica.Store) error {
			if st, _ := p.nodes["a"].Watch(); !st.Ready {
				return fmt.Errorf("not the leader")
			}
			return nil
		})
	}
	ref := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: ref, Data: []byte("old")})
	p.net.Between(p.net.Hold, "a", "b", "w")
	p.await("b", func(ctx context.Context, s *replica.Store) error {
		_, err := s.Mutate(ctx, &vfs.Call{}, &vfs.OpWrite{Ref: ref, Data: []byte("new")})
		return err
	})
	if st, _ := p.nodes["a"].Watch(); !st.Ready {
		t.Fatal("node a knows that it was deposed: this test shows nothing")
	}
	buf := make([]byte, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := p.stores["a"].Read(ctx, vfs.Root, ref, 0, buf); err == nil {
		t.Fatalf("the deposed leader answered %q", buf)
	}
	p.net.Between(p.net.Release, "a", "b", "w")
	p.await("a", func(ctx context.Context, s *replica.Store) error {
		_, err := s.Read(ctx, vfs.Root, ref, 0, buf)
		return err
	})
	if string(buf) != "new" {
		t.Fatalf("after the hold: %q", buf)
	}
}

// Calls that were out when the leader went away are either applied once or
// handed over again; each is answered, and none runs twice.
func TestStore_LeaderStopsUnderLoad(t *testing.T) {
	p := newPair(t)
	old := p.leader()
	s := p.stores[other(old)]
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := map[string]bool{}
	stop := make(chan struct{})
	for c := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("c%d-%d", c, i)
				res, err := s.Mutate(context.Background(), &vfs.Call{}, &vfs.OpCreate{Dir: rootRef(s), Name: name, Mode: vfs.CreateGuarded})
				if err != nil || res.Kind != vfs.OK {
					t.Errorf("create %s: %v, %v", name, res.Kind, err) // Exist would mean that it ran twice
					return
				}
				mu.Lock()
				made[name] = true
				mu.Unlock()
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	p.net.Detach(old) // as by kill -9: connections break, nothing comes back
	time.Sleep(3 * time.Second)
	close(stop)
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	for name := range made {
		res, err := s.Lookup(t.Context(), vfs.Root, rootRef(s), name)
		if err != nil || res.Kind != vfs.OK {
			t.Fatalf("%s was acknowledged and is gone: %v, %v", name, res.Kind, err)
		}
	}
	if len(made) < 100 {
		t.Errorf("only %d creates", len(made))
	}
}

func TestStore_NoQuorum(t *testing.T) {
	t.Parallel() // It mostly waits.
	p := newPair(t)
	p.stop("w")
	p.stop(other(p.leader()))
	var s *replica.Store
	for _, s = range p.stores {
	}
	start := time.Now()
	_, err := s.Mutate(t.Context(), &vfs.Call{}, &vfs.OpCreate{Dir: rootRef(s), Name: "x"})
	if err == nil {
		t.Fatal("a change was acknowledged without a quorum")
	}
	if _, err := s.GetAttr(t.Context(), rootRef(s)); err == nil {
		t.Fatal("a read was answered without a quorum")
	}
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("the two calls took %v", d)
	}
}

func TestStore_RestartKeepsEverything(t *testing.T) {
	p := newPair(t)
	ref := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["b"], &vfs.OpWrite{Ref: ref, Data: []byte("kept")})
	for _, name := range []string{"a", "b", "w"} {
		p.stop(name)
	}
	for _, name := range []string{"a", "b", "w"} {
		p.start(name)
	}
	for _, name := range []string{"a", "b"} {
		buf := make([]byte, 4)
		p.await(name, func(ctx context.Context, s *replica.Store) error {
			_, err := s.Read(ctx, vfs.Root, ref, 0, buf)
			return err
		})
		if string(buf) != "kept" {
			t.Errorf("at %s: %q", name, buf)
		}
	}
	p.sameDigest()
}

// Histories at both nodes, with the leader cut off again and again.
func TestLinearizable_WithCuts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := newPair(t)
	rec := &recorder{start: time.Now()}
	for i := range 4 {
		rec.files = append(rec.files, create(t, p.stores["a"], fmt.Sprint("file", i)))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	rec.work(&wg, stop, seed, func(c int) vfs.FS { return p.stores[[]string{"a", "b"}[c%2]] })
	rng := rand.New(rand.NewPCG(seed, 99))
	for range 4 {
		time.Sleep(300 * time.Millisecond)
		victim := p.leader()
		cut, heal := p.net.Hold, p.net.Release
		if rng.IntN(2) == 0 {
			cut, heal = p.net.Cut, p.net.Heal
		}
		others := []string{other(victim), "w"}
		if rng.IntN(3) == 0 {
			others = others[:1]
		}
		p.net.Between(cut, victim, others...)
		time.Sleep(time.Duration(600+rng.IntN(900)) * time.Millisecond)
		p.net.Between(heal, victim, others...)
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	wg.Wait()
	rec.check(t)
	p.sameDigest()
}
