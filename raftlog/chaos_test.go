package raftlog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// chaos runs clients while nodes crash and messages are held, cut and delayed,
// and then looks at what is left.
type chaos struct {
	t   *testing.T
	c   *rafttest.Cluster
	ref *rafttest.Referee
	rnd *rand.Rand // of the one that does the damage

	mu struct {
		sync.Mutex
		nodes map[string]*raftlog.Node // that may be used
		acked []string
		never []string      // refused with ErrNotLeader
		top   raftlog.Index // highest index that was acknowledged
		reads int
	}
}

func (x *chaos) node(name string) *raftlog.Node {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.nodes[name]
}

// write proposes at any node until ctx ends.
func (x *chaos) write(ctx context.Context, id int, rnd *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		if n := x.node([]string{"a", "b"}[rnd.IntN(2)]); n != nil {
			x.writeOne(n, fmt.Sprintf("%d-%d", id, i))
		}
		time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
	}
}

func (x *chaos) writeOne(n *raftlog.Node, data string) {
	p := n.Propose([]byte(data))
	<-p.Done()
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case p.Err() == nil:
		x.mu.acked = append(x.mu.acked, data)
		x.mu.top = max(x.mu.top, p.Index())
	case errors.Is(p.Err(), raftlog.ErrNotLeader), errors.Is(p.Err(), raftlog.ErrClosed):
		x.mu.never = append(x.mu.never, data)
	}
}

// read asks either data node for a read index.
func (x *chaos) read(ctx context.Context, rnd *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(rnd.IntN(15)) * time.Millisecond)
		at := []string{"a", "b"}[rnd.IntN(2)]
		n := x.node(at)
		if n == nil {
			continue
		}
		x.mu.Lock()
		top := x.mu.top // acknowledged before the read begins
		x.mu.Unlock()
		rctx, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(2000))*time.Millisecond)
		i, err := n.ReadIndex(rctx)
		cancel()
		x.mu.Lock()
		if err == nil {
			x.mu.reads++
			if i < top {
				x.t.Errorf("stale read at %s: index %d, %d was acknowledged before", at, i, top)
			}
		}
		x.mu.Unlock()
	}
}

// damage does one random thing.
func (x *chaos) damage() {
	names := []string{"a", "b", "w"}
	name, peer := names[x.rnd.IntN(3)], names[x.rnd.IntN(3)]
	switch x.rnd.IntN(11) {
	case 0, 1:
		x.crash(name)
	case 2:
		x.c.Net.Hold(name, peer)
	case 3:
		x.c.Net.Cut(name, peer)
	case 4:
		x.c.Net.Delay(name, peer, time.Duration(x.rnd.IntN(200))*time.Millisecond)
	case 5:
		x.c.Net.Between(x.c.Net.Hold, name, slices.DeleteFunc(names, func(s string) bool { return s == name })...)
	case 6:
		if n := x.node(name); n != nil {
			ctx, cancel := context.WithTimeout(x.t.Context(), time.Second)
			n.TransferLeadership(ctx, x.c.Other(name)) // may well fail
			cancel()
		}
	case 7:
		if n := x.node(name); n != nil {
			n.WriteMarker() // may well fail
		}
	case 8:
		x.repair()
	case 9:
		x.c.Net.HoldMessages(name, peer, rafttest.Message(x.rnd.IntN(5)))
	case 10:
		x.c.Net.HoldAnswers(name, peer, rafttest.Message(x.rnd.IntN(5)))
	}
}

func (x *chaos) crash(name string) {
	if x.node(name) == nil {
		return
	}
	x.mu.Lock()
	delete(x.mu.nodes, name)
	x.mu.Unlock()
	x.c.Crash(name)
	x.ref.Update()
}

// repair heals the network and starts what is down.
func (x *chaos) repair() {
	for _, from := range []string{"a", "b", "w"} {
		for _, to := range []string{"a", "b", "w"} {
			x.c.Net.Release(from, to)
			x.c.Net.Heal(from, to)
			x.c.Net.Delay(from, to, 0)
			for k := range rafttest.RequestPreVote + 1 {
				x.c.Net.ReleaseMessages(from, to, k)
				x.c.Net.ReleaseAnswers(from, to, k)
			}
		}
	}
	x.c.Start()
	x.ref.Update()
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, n := range x.c.Nodes {
		x.mu.nodes[name] = n
	}
}

// Whatever happens, acknowledged entries are there, once, in the same order at
// both data nodes, refused ones are not, no read index is behind what was
// acknowledged before, and no lease is held that must not be.
func TestChaos(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Configure = func(cfg *raftlog.Config) {
					cfg.KeepLogBytes, cfg.LogSegmentBytes = 4<<10, 64<<10
					cfg.Timing.PingInterval, cfg.Timing.WatermarkInterval = 100*time.Millisecond, 300*time.Millisecond
				}
				x := &chaos{t: t, c: c, rnd: rand.New(rand.NewPCG(seed, 1))}
				x.mu.nodes = map[string]*raftlog.Node{}
				c.Clocks["a"].SetRate(0.96)
				c.Clocks["w"].SetRate(1.04)
				x.ref = rafttest.NewReferee(c, 3*time.Millisecond)
				x.repair()
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				for i := range 3 {
					wg.Go(func() { x.write(ctx, i, rand.New(rand.NewPCG(seed, uint64(10+i)))) })
					wg.Go(func() { x.read(ctx, rand.New(rand.NewPCG(seed, uint64(20+i)))) })
				}
				for range 40 {
					time.Sleep(time.Duration(x.rnd.IntN(800)) * time.Millisecond)
					x.damage()
				}
				x.repair()
				time.Sleep(3 * time.Second)
				cancel()
				wg.Wait()
				t.Logf("shares of time with a lease: %v", x.ref.Stop())
				x.check()
			})
		})
	}
}

func (x *chaos) check() {
	x.t.Helper()
	mustPropose(x.t, x.c.Nodes[x.c.Leader()], "the end")
	for _, name := range []string{"a", "b"} {
		x.c.Eventually(20*time.Second, name+" has the end", func() bool {
			data := x.c.Machines[name].Data()
			return len(data) > 0 && data[len(data)-1] == "the end"
		})
	}
	a, b := x.c.Machines["a"].Data(), x.c.Machines["b"].Data()
	if !slices.Equal(a, b) {
		x.t.Errorf("a has %d entries, b %d, and they differ", len(a), len(b))
	}
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range x.mu.acked {
		if count[s] != 1 {
			x.t.Errorf("acknowledged %s is there %d times", s, count[s])
		}
	}
	for _, s := range x.mu.never {
		if count[s] != 0 {
			x.t.Errorf("refused %s is there", s)
		}
	}
	first := x.c.Nodes["a"].Status().First
	x.t.Logf("%d entries, %d acknowledged, %d refused, %d reads, term %d, log from %d", len(a), len(x.mu.acked), len(x.mu.never), x.mu.reads, x.c.Nodes["a"].Term(), first)
	if len(x.mu.acked) == 0 || x.mu.reads == 0 {
		x.t.Error("nothing happened")
	}
}
