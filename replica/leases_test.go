package replica_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"twofold/metrics"
	"twofold/raftlog"
	"twofold/replica"
	"twofold/replica/vfs"
)

// leaseTime is how long histories under leases are, unless leaseTimeEnv says
// otherwise.
const (
	leaseTime    = 4 * time.Second
	leaseTimeEnv = "TWOFOLD_LEASE_TIME"
)

// roaming is a file system whose calls go to either node, each at random: so a call
// is often followed by one at the other node that depends on it.
type roaming struct {
	vfs.FS // of the calls that histories make none is left to it

	mu     sync.Mutex
	stores map[string]*replica.Store
}

func (r *roaming) pick() *replica.Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stores[[]string{"a", "b"}[rand.IntN(2)]]
}

func (r *roaming) set(name string, s *replica.Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stores[name] = s
}

func (r *roaming) Mutate(ctx context.Context, call *vfs.Call, op vfs.Op) (vfs.Result, error) {
	return r.pick().Mutate(ctx, call, op)
}

func (r *roaming) GetAttr(ctx context.Context, ref vfs.Ref) (vfs.AttrResult, error) {
	return r.pick().GetAttr(ctx, ref)
}

func (r *roaming) Lookup(ctx context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	return r.pick().Lookup(ctx, cred, dir, name)
}

func (r *roaming) Read(ctx context.Context, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	return r.pick().Read(ctx, cred, ref, off, buf)
}

func (r *roaming) ReadDir(ctx context.Context, cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, max int) (vfs.ReadDirResult, error) {
	return r.pick().ReadDir(ctx, cred, dir, after, plus, max)
}

// ways returns how many reads a node has answered in each way.
func ways(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "twofold_replica_reads_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			ways[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return ways
}

// Histories at both nodes while both hold leases. Messages between them are held
// and delayed for less than a lease lasts, so that the node that lacks what
// the others have committed goes on reading its own copy; and nodes are cut off and
// restarted.
func TestLinearizable_UnderLeases(t *testing.T) {
	length := leaseTime
	if s := os.Getenv(leaseTimeEnv); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	regs := map[string]*prometheus.Registry{"a": prometheus.NewRegistry(), "b": prometheus.NewRegistry()}
	p := newPairOf(t, func(p *pair) {
		for name, reg := range regs {
			m, err := metrics.NewReplica(reg)
			if err != nil {
				t.Fatal(err)
			}
			p.metrics[name] = m
		}
	})
	rec := &recorder{start: time.Now()}
	for i := range 2 {
		rec.files = append(rec.files, create(t, p.stores["a"], fmt.Sprint("file", i)))
		rec.sized = append(rec.sized, create(t, p.stores["a"], sizedName(i)))
	}
	either := &roaming{stores: map[string]*replica.Store{"a": p.stores["a"], "b": p.stores["b"]}}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	rec.work(&wg, stop, seed, func(int) vfs.FS { return either })
	rng := rand.New(rand.NewPCG(seed, 99))
	for n := 1; time.Since(rec.start) < length; n++ {
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		if n%40 == 0 {
			p.restart([]string{"a", "b", "w"}[rng.IntN(3)], either)
			continue
		}
		p.disturb(rng)
	}
	close(stop)
	wg.Wait()
	for name, reg := range regs {
		w := ways(t, reg)
		t.Logf("reads at %s: %v", name, w)
		// A busy machine holds messages back as well, so that leases lapse more often.
		if w["lease"] < 100 || w["lease"] < (w["confirmed"]+w["forwarded"])/4 {
			t.Errorf("too few reads at %s were under a lease to show anything: %v", name, w)
		}
	}
	rec.check(t)
	p.sameDigest()
}

// disturb holds or delays messages for a while.
func (p *pair) disturb(rng *rand.Rand) {
	lead := p.leader()
	follower := other(lead)
	pulse := time.Duration(20+rng.IntN(150)) * time.Millisecond
	switch rng.IntN(10) {
	case 0, 1, 2, 3: // what is committed from now on the follower lacks
		p.net.Hold(lead, follower, raftlog.StreamRaft)
		time.Sleep(pulse)
		p.net.Release(lead, follower, raftlog.StreamRaft)
	case 4: // it has everything, and nobody knows
		p.net.Hold(follower, lead, raftlog.StreamRaft)
		time.Sleep(pulse)
		p.net.Release(follower, lead, raftlog.StreamRaft)
	case 5, 6, 7: // what is committed it learns late
		p.net.Delay(lead, follower, 3*time.Millisecond)
		time.Sleep(pulse)
		p.net.Delay(lead, follower, 0)
	case 8: // nothing is granted
		p.net.Between(func(from, to string, _ ...raftlog.StreamKind) {
			p.net.Hold(from, to, raftlog.StreamControl)
		}, lead, follower, "w")
		time.Sleep(2 * pulse)
		p.net.Between(p.net.Release, lead, follower, "w")
	default: // a longer cut, perhaps with another leader
		victim := []string{lead, follower, "w"}[rng.IntN(3)]
		for _, m := range []string{"a", "b", "w"} {
			if m != victim {
				p.net.Between(p.net.Hold, victim, m)
			}
		}
		time.Sleep(4 * pulse)
		for _, m := range []string{"a", "b", "w"} {
			if m != victim {
				p.net.Between(p.net.Release, victim, m)
			}
		}
	}
}

func (p *pair) restart(name string, r *roaming) {
	p.stop(name)
	p.start(name)
	if name != "w" {
		r.set(name, p.stores[name])
		p.await(name, func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	}
}
