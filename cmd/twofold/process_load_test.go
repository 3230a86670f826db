//go:build process

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/client"
)

// workersPerNode is how many clients work at each node, a third with each habit.
const workersPerNode = 6

// load is clients at work at both nodes. A round begins and ends with nothing
// in flight; what the workers know is kept from round to round.
type load struct {
	t       *testing.T
	addrs   [2]string
	workers []*worker
	done    [2]atomic.Int64 // answered changes at each node
	out     [2]atomic.Int64 // changes that wait for their answer now
	pace    *rate.Limiter   // of all workers together; without a limit at first

	stop    atomic.Bool
	running sync.WaitGroup
}

// newLoad makes the workers and their directories.
func newLoad(t *testing.T, c *procCluster) *load {
	t.Helper()
	l := &load{t: t, addrs: c.nfsAddrs(), pace: rate.NewLimiter(rate.Inf, 1)}
	seed := rand.Uint64()
	t.Logf("the workers' seed is %d", seed)
	conn, root := session(t, l.addrs[0])
	for i := range 2 * workersPerNode {
		w := &worker{
			dirName: fmt.Sprintf("w%d", i), rng: rand.New(rand.NewPCG(seed, uint64(i))),
			present: map[string]*workFile{}, done: &l.done, out: &l.out, pace: l.pace, broken: make(chan struct{}),
			caller: newCaller(l.addrs, i%2, habit(i/2%3)),
		}
		res, err := conn.Mkdir(context.Background(), root, w.dirName, client.SetAttr{Mode: client.Ptr(uint32(0o755))})
		if err != nil || res.Status != client.OK {
			t.Fatalf("MKDIR %s: %v, %v", w.dirName, res.Status, err)
		}
		w.dir = res.FH
		l.workers = append(l.workers, w)
	}
	t.Cleanup(func() {
		l.stop.Store(true)
		l.running.Wait()
		for _, w := range l.workers {
			w.close()
		}
	})
	return l
}

// start begins a round, each worker at its own node.
func (l *load) start() {
	l.stop.Store(false)
	for i, w := range l.workers {
		if w.node != i%2 {
			w.close()
			w.node = i % 2
		}
		w.calls, w.losses = w.calls[:0], w.losses[:0]
		l.running.Go(func() { w.run(&l.stop) })
	}
}

// end ends the round when every call is answered, or given up by its worker.
func (l *load) end() {
	l.t.Helper()
	l.stop.Store(true)
	l.running.Wait()
	for _, w := range l.workers {
		if w.err != nil {
			l.t.Error(w.err)
		}
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
}

// progress waits until n more changes were answered at each of the nodes.
func (l *load) progress(n int64, nodes ...int) {
	l.t.Helper()
	var from [2]int64
	for i := range from {
		from[i] = l.done[i].Load()
	}
	for _, i := range nodes {
		eventually(l.t, fmt.Sprintf("%d more changes at %s", n, dataNames[i]), func() bool {
			return l.done[i].Load() >= from[i]+n || l.wrong()
		})
	}
}

// awaitOut waits until n changes are out at each node at one moment.
func (l *load) awaitOut(n int64) {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); l.out[0].Load() < n || l.out[1].Load() < n; runtime.Gosched() {
		if time.Now().After(end) || l.wrong() {
			l.t.Errorf("%d and %d changes are out, want %d at each node", l.out[0].Load(), l.out[1].Load(), n)
			return
		}
	}
}

// wrong reports that a worker has stopped over an error; end shows it.
func (l *load) wrong() bool {
	for _, w := range l.workers {
		select {
		case <-w.broken:
			return true
		default:
		}
	}
	return false
}

// inFlight counts the clients that had a change out at a node at time t: it was
// answered later, or lost with the connection.
func (l *load) inFlight(node int, t time.Time) (n int) {
	out := func(s span) bool { return s.node == node && s.begin.Before(t) && s.end.After(t) }
	for _, w := range l.workers {
		if slices.ContainsFunc(w.calls, out) || slices.ContainsFunc(w.losses, out) {
			n++
		}
	}
	return n
}

// pause returns how long the slowest change took of those that were sent first
// to a node: the pause that its clients saw. It also counts them.
func (l *load) pause(node int) (longest time.Duration, changes int) {
	for _, w := range l.workers {
		for _, s := range w.calls {
			if s.node == node {
				longest = max(longest, s.end.Sub(s.begin))
				changes++
			}
		}
	}
	return longest, changes
}

// logRepetitions tells what became of the calls that lost their connection.
func (l *load) logRepetitions() {
	resent, open := 0, 0
	for _, w := range l.workers {
		resent, open = resent+w.resent, open+len(w.open)
	}
	l.t.Logf("%d changes were sent again, each answered as the first time; %d were given up", resent, open)
}
