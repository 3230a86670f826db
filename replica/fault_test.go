package replica_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/replica"
	"twofold/replica/vfs"
)

// hasty are timings at the lower bounds, so that elections come often and
// messages time out.
func hasty() map[string]raftlog.Timing {
	t := raftlog.Timing{
		HeartbeatTimeout: 60 * time.Millisecond, ElectionTimeout: 60 * time.Millisecond,
		LeaderLeaseTimeout: 50 * time.Millisecond, CommitTimeout: time.Millisecond,
		RPCTimeout: 100 * time.Millisecond, DialTimeout: 50 * time.Millisecond,
		RetryPause: time.Millisecond, PingInterval: 10 * time.Millisecond,
		CampaignGrace: 100 * time.Millisecond, WatermarkInterval: 20 * time.Millisecond,
	}
	return map[string]raftlog.Timing{"a": t, "b": t, "w": t}
}

// battered is a pair whose members crash and come back while clients work.
type battered struct {
	*pair
	test    *testing.T
	roots   map[string]string // of each member's directory
	lives   int
	zombies []func() error // crashed members, which nobody can reach any more

	mu     sync.RWMutex
	stores map[string]*replica.Store // a crashed one stays until the next life
}

func newBattered(t *testing.T, timing map[string]raftlog.Timing) *battered {
	b := &battered{test: t, roots: map[string]string{}, stores: map[string]*replica.Store{}}
	t.TempDir() // its removal has to come after what follows
	t.Cleanup(func() {
		for _, closeZombie := range b.zombies {
			_ = closeZombie() // its files are of no interest any more
		}
	})
	b.pair = newPairWith(t, timing)
	for _, name := range []string{"a", "b", "w"} {
		b.roots[name] = b.dir
		b.stores[name] = b.pair.stores[name]
	}
	return b
}

// store returns the store of a node as its clients reach it now.
func (b *battered) store(name string) *replica.Store {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.stores[name]
}

// crash takes a member away as kill -9 would: its files are taken as they are,
// what it had in memory is gone.
func (b *battered) crash(name string) {
	b.t.Helper()
	b.net.Detach(name)
	time.Sleep(20 * time.Millisecond) // until its last write is done
	b.lives++
	root := filepath.Join(b.t.TempDir(), strconv.Itoa(b.lives))
	if err := os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join(b.roots[name], name))); err != nil {
		b.t.Fatal(err)
	}
	b.roots[name] = root
	node, store := b.nodes[name], b.pair.stores[name]
	delete(b.nodes, name)
	delete(b.pair.stores, name)
	b.zombies = append(b.zombies, func() error {
		if store == nil {
			return node.Close()
		}
		store.Stop()
		_ = node.Close()
		return store.Close()
	})
}

func (b *battered) restart(name string) {
	b.t.Helper()
	b.dir = b.roots[name]
	b.start(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stores[name] = b.pair.stores[name]
}

// reach is a vfs.FS at a node, whichever life that is in.
type reach struct {
	vfs.FS
	b    *battered
	name string
}

func (r reach) Mutate(ctx context.Context, c *vfs.Call, op vfs.Op) (vfs.Result, error) {
	return r.b.store(r.name).Mutate(ctx, c, op)
}

func (r reach) Lookup(ctx context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	return r.b.store(r.name).Lookup(ctx, cred, dir, name)
}

func (r reach) Read(ctx context.Context, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	return r.b.store(r.name).Read(ctx, cred, ref, off, buf)
}

// work runs clients at both nodes while harm is done, and checks the history
// and that both copies are the same in the end.
func (b *battered) work(seed uint64, harm func(rng *rand.Rand)) {
	b.t.Helper()
	rec := &recorder{start: time.Now()}
	for i := range 4 {
		rec.files = append(rec.files, create(b.test, b.pair.stores["a"], fmt.Sprint("file", i)))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	rec.work(&wg, stop, seed, func(c int) vfs.FS { return reach{b: b, name: []string{"a", "b"}[c%2]} })
	harm(rand.New(rand.NewPCG(seed, 99)))
	time.Sleep(300 * time.Millisecond)
	close(stop)
	wg.Wait()
	rec.check(b.test)
	b.sameDigest()
}

func TestLinearizable_WithCrashes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, timing := range map[string]map[string]raftlog.Timing{"usual": nil, "hasty": hasty()} {
		t.Run(name, func(t *testing.T) {
			b := newBattered(t, timing)
			b.work(seed, func(rng *rand.Rand) {
				for range 3 {
					time.Sleep(time.Duration(100+rng.IntN(300)) * time.Millisecond)
					victim := []string{b.leader(), "a", "b", "w"}[rng.IntN(4)]
					b.crash(victim)
					time.Sleep(time.Duration(rng.IntN(1200)) * time.Millisecond)
					b.restart(victim)
				}
			})
		})
	}
}

// One-way cuts and delays, on single kinds of streams too: a node may hear the
// log and not the pings, forward calls and not hear of their commit, and so on.
func TestLinearizable_OneWay(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	kinds := [][]raftlog.StreamKind{
		nil, {raftlog.StreamRaft}, {raftlog.StreamControl}, {raftlog.StreamPeer},
		{raftlog.StreamRaft, raftlog.StreamControl},
	}
	names := []string{"a", "b", "w"}
	b := newBattered(t, hasty())
	b.work(seed, func(rng *rand.Rand) {
		for range 25 {
			i := rng.IntN(3)
			from, to := names[i], names[(i+1+rng.IntN(2))%3]
			ks := kinds[rng.IntN(len(kinds))]
			switch rng.IntN(4) {
			case 0:
				b.net.Hold(from, to, ks...)
				time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
				b.net.Release(from, to, ks...)
			case 1:
				b.net.Cut(from, to, ks...)
				time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
				b.net.Heal(from, to, ks...)
			case 2:
				b.net.Delay(from, to, time.Duration(rng.IntN(80))*time.Millisecond, ks...)
				time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
				b.net.Delay(from, to, 0, ks...)
			default:
				if n := b.nodes[b.leader()]; n != nil {
					ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
					_ = n.TransferLeadership(ctx, other(b.leader())) // it may fail: the network is bad
					cancel()
				}
			}
			time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
	})
}

// Every change moves the ctime, and its result says what the ctime was before.
// So the changes of a file that has one writer form a chain, and one that ran
// twice, or that ran after it was said to have been dropped, breaks it. The
// histories above would hardly notice: a change that runs twice in a row mostly
// leaves what it left the first time.
func TestStore_NoChangeRunsTwice(t *testing.T) {
	b := newBattered(t, hasty())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var links, chains atomic.Int64
	for c := range 8 {
		fs := reach{b: b, name: []string{"a", "b"}[c%2]}
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					writeChain(t, fs, fmt.Sprintf("c%d-%d", c, i), &links, stop)
					chains.Add(1)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	const enough = 200
	for i := 0; i < 40 || i < 1000 && links.Load() < enough; i++ {
		time.Sleep(time.Duration(rng.IntN(80)) * time.Millisecond)
		switch rng.IntN(3) {
		case 0: // forwarded calls lose their connection, and the leader stays
			b.net.Cut("a", "b", raftlog.StreamPeer)
			time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
			b.net.Heal("a", "b", raftlog.StreamPeer)
		case 1: // the leader is lost, perhaps with entries that only it has
			leader := b.leader()
			b.net.Between(b.net.Cut, leader, other(leader), "w")
			time.Sleep(time.Duration(50+rng.IntN(200)) * time.Millisecond)
			b.net.Between(b.net.Heal, leader, other(leader), "w")
		default:
			leader := b.leader()
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			_ = b.nodes[leader].TransferLeadership(ctx, other(leader)) // it may fail: the network is bad
			cancel()
		}
	}
	close(stop)
	wg.Wait()
	b.sameDigest()
	t.Logf("%d changes in %d chains", links.Load(), chains.Load())
	if links.Load() < enough {
		t.Error("too few changes were answered")
	}
}

// writeChain writes one file until the outcome of a change is not known, and
// counts the changes that were answered.
func writeChain(t *testing.T, fs vfs.FS, name string, links *atomic.Int64, stop <-chan struct{}) {
	ctx := context.Background()
	op := &vfs.OpCreate{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: name, Mode: vfs.CreateGuarded,
		Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o600}}
	res, err := fs.Mutate(ctx, &vfs.Call{}, op)
	if err != nil {
		return
	}
	if res.Kind != vfs.OK {
		t.Errorf("create %s: %v", name, res.Kind) // nobody else makes this name
		return
	}
	last := res.Attr
	links.Add(1)
	for n := 1; ; n++ {
		select {
		case <-stop:
			time.Sleep(20 * time.Millisecond) // for a second copy of the last change
			now, err := fs.(reach).b.store(fs.(reach).name).GetAttr(ctx, last.Ref)
			if err == nil && now.Attr.Ctime != last.Ctime {
				t.Errorf("%s: something changed it after change %d", name, n)
			}
			return
		default:
		}
		res, err := fs.Mutate(ctx, &vfs.Call{}, &vfs.OpWrite{Ref: last.Ref, Data: []byte(name)})
		if err != nil {
			return
		}
		if res.Kind != vfs.OK || res.WCC[0].Before.Ctime != last.Ctime {
			t.Errorf("%s: change %d: %v; the file was changed at %d, its last known change was at %d",
				name, n, res.Kind, res.WCC[0].Before.Ctime, last.Ctime)
			return
		}
		last = res.WCC[0].After
		links.Add(1)
	}
}
