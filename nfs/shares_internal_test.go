package nfs

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"twofold/metrics"
)

func newShares(calls, bytes, clientCalls, clientBytes int) *shares {
	return &shares{maxCalls: calls, maxBytes: bytes, maxClientCalls: clientCalls, maxClientBytes: clientBytes, observer: nobody{}}
}

// line takes n bytes in a goroutine of its own and notes who got them.
type line struct {
	mu    sync.Mutex
	order []string
}

func (l *line) take(s *shares, sh *share, n int, who string, cancel chan struct{}) {
	go func() {
		if took(s.take(sh, n, cancel)) {
			l.mu.Lock()
			l.order = append(l.order, who)
			l.mu.Unlock()
		}
	}()
	synctest.Wait()
}

// However many connections of one client wait, the next of another has its turn
// after one of them.
func TestShares_ClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b, holder := newShares(10, 10, 10, 10), new(share), new(share), new(share)
		for range 10 {
			s.addLocked(holder, 1) // everything, as no client could
		}
		var l line
		for range 3 {
			l.take(s, a, 1, "a", nil)
		}
		for range 2 {
			l.take(s, b, 1, "b", nil)
		}
		if len(l.order) != 0 {
			t.Fatalf("%v took what was not there", l.order)
		}
		for range 10 {
			s.release(holder, 1, 1)
			synctest.Wait()
		}
		if want := []string{"a", "b", "a", "b", "a"}; !slices.Equal(l.order, want) {
			t.Errorf("order %v, want %v", l.order, want)
		}
	})
}

// Room is kept for a client that holds nothing and waits for much; others would
// take it away for ever, in small pieces. If it gives up, they go on.
func TestShares_SmallCallsDoNotOvertakeALargeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, big, small := newShares(100, 100, 100, 100), new(share), new(share)
		s.addLocked(small, 50)
		var l line
		cancel := make(chan struct{})
		l.take(s, big, 60, "big", cancel)
		l.take(s, small, 1, "small", nil)
		l.take(s, new(share), 1, "another", nil)
		if len(l.order) != 0 {
			t.Errorf("%v went ahead", l.order)
		}
		close(cancel)
		synctest.Wait()
		// small already holds more than half of what is free
		if !slices.Equal(l.order, []string{"another"}) || s.starved != nil {
			t.Errorf("%v went on", l.order)
		}
		s.release(small, 1, 50)
		synctest.Wait()
		if len(l.order) != 2 || s.calls != 2 || s.bytes != 2 || len(s.queue) != 0 {
			t.Errorf("%v; %d calls, %d bytes, %d in the queue", l.order, s.calls, s.bytes, len(s.queue))
		}
	})
}

// A client at its own limit holds up nobody else.
func TestShares_OwnLimitHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := newShares(100, 1000, 2, 50), new(share), new(share)
		var l line
		for _, n := range []int{10, 10, 10} {
			l.take(s, a, n, "a", nil)
		}
		l.take(s, b, 60, "b", nil) // alone over its limit
		l.take(s, b, 1, "b", nil)
		if want := []string{"a", "a", "b"}; !slices.Equal(l.order, want) {
			t.Errorf("order %v, want %v", l.order, want)
		}
		s.release(a, 1, 10)
		s.release(b, 1, 60)
		synctest.Wait()
		if len(l.order) != 5 {
			t.Errorf("%v: they do not go on", l.order)
		}
	})
}

// At random: no limit is exceeded, everybody gets his room, and nothing is left.
func TestShares_NeverOverTheirLimits(t *testing.T) {
	s := newShares(20, 400, 6, 150)
	clients := []*share{new(share), new(share), new(share), new(share)}
	var all, calls atomic.Int64
	var own [4]atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(i)))
			mine := i % len(clients)
			for range 300 {
				n := r.IntN(100)
				cancel := make(chan struct{})
				if r.IntN(10) == 0 {
					time.AfterFunc(time.Duration(r.IntN(100))*time.Microsecond, func() { close(cancel) })
				}
				if !took(s.take(clients[mine], n, cancel)) {
					continue
				}
				if all.Add(int64(n)) > 400 || calls.Add(1) > 20 || own[mine].Add(1) > 6 {
					t.Error("over a limit")
				}
				all.Add(int64(-n))
				calls.Add(-1)
				own[mine].Add(-1)
				s.release(clients[mine], 1, n)
			}
		})
	}
	wg.Wait()
	if s.calls != 0 || s.bytes != 0 || len(s.queue) != 0 || s.starved != nil {
		t.Errorf("left: %d calls, %d bytes, %d in the queue, starved %v", s.calls, s.bytes, len(s.queue), s.starved)
	}
}

// Beside clients that flood the server over many connections each, with calls of
// any size, whoever comes anew gets his room within a few times that a call takes,
// even if he needs all that there is; and so does each connection of the floods.
func TestShares_NobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const flooders, conns, hold = 8, 12, 10 * time.Millisecond
		s := newShares(64, 6400, 40, 3200)
		ended, end := context.WithTimeout(context.Background(), time.Minute)
		var wg sync.WaitGroup
		var served [flooders][conns]int
		var longest time.Duration
		var mu sync.Mutex
		use := func(sh *share, r *rand.Rand, n int) (ok bool) {
			waited, ok := s.take(sh, n, ended.Done())
			if !ok {
				return false
			}
			mu.Lock()
			longest = max(longest, waited)
			mu.Unlock()
			reply := r.IntN(100)
			s.charge(sh, reply)
			time.Sleep(time.Duration(1 + r.Int64N(int64(hold))))
			s.release(sh, 1, n+reply)
			return true
		}
		for f := range flooders {
			sh := new(share)
			for c := range conns {
				r := rand.New(rand.NewPCG(uint64(f), uint64(c)))
				wg.Go(func() {
					for ended.Err() == nil && use(sh, r, 1+r.IntN(50<<r.IntN(7))) {
						served[f][c]++
					}
				})
			}
		}
		r := rand.New(rand.NewPCG(9, 9))
		for i := range 200 {
			begin := time.Now()
			use(new(share), r, []int{1, 100, 3200, 6400, 9000}[i%5])
			if d := time.Since(begin); d > 4*flooders*hold {
				t.Errorf("call %d of a newcomer took %s", i, d)
			}
		}
		end()
		wg.Wait()
		if s.calls != 0 || s.bytes != 0 || len(s.queue) != 0 || s.starved != nil {
			t.Errorf("left: %d calls, %d bytes, %d in the queue, starved %v", s.calls, s.bytes, len(s.queue), s.starved)
		}
		if longest > 4*flooders*conns*hold {
			t.Errorf("a call waited %s", longest)
		}
		for f := range served {
			if slices.Min(served[f][:]) == 0 {
				t.Errorf("client %d: calls of its connections %v", f, served[f])
			}
		}
		t.Logf("longest wait %s, calls %v", longest, served[0])
	})
}

// Each name that an Observer is told is one that the metrics know.
func TestObserver_NamesAreThoseOfTheMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.NewNFS(reg)
	if err != nil {
		t.Fatal(err)
	}
	var _ Observer = m
	for _, l := range []string{
		limitConns, limitConnsPerClient, limitCalls, limitCallsPerClient, limitCallsPerConn,
		limitBytes, limitBytesPerClient, limitBytesPerConn, limitUnfinished,
	} {
		m.HeldBack(l)
	}
	for _, r := range []string{
		limitConns, limitConnsPerClient, limitRecord, limitFragments, limitRecordTime, limitStallTime,
		limitWriteTime, limitIdleTime, reasonEvicted, reasonNotAdmitted, reasonHeldBack, reasonHung, reasonPaused,
	} {
		m.ConnCut(r)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			counted := s.GetCounter().GetValue() > 0
			other := slices.ContainsFunc(s.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == "other" })
			switch f.GetName() {
			case "twofold_nfs_limit_waits_total", "twofold_nfs_connections_cut_total":
				if counted == other {
					t.Errorf("%s %v: counted %v", f.GetName(), s.GetLabel(), counted)
				}
			}
		}
	}
}
