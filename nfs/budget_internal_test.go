package nfs

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func took(_ time.Duration, ok bool) bool { return ok }

func TestBudget_FirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{maxCalls: 10, maxBytes: 100, observer: nobody{}}
		never := make(chan struct{})
		b.take(90, never)
		var order []int
		var mu sync.Mutex
		for i, n := range []int{50, 5, 20} {
			go func() {
				b.take(n, never)
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Errorf("%v went ahead: a small call must not overtake a large one for ever", order)
		}
		b.release(1, 90)
		synctest.Wait()
		if len(order) != 3 || b.calls != 3 || b.bytes != 75 {
			t.Errorf("order %v, %d calls, %d bytes", order, b.calls, b.bytes)
		}
	})
}

func TestBudget_AbandonedWaiterFreesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{maxCalls: 10, maxBytes: 100, observer: nobody{}}
		never, cancel := make(chan struct{}), make(chan struct{})
		b.take(60, never)
		var big, small atomic.Bool
		go func() { big.Store(took(b.take(80, cancel))) }()
		synctest.Wait()
		go func() { small.Store(took(b.take(10, never))) }()
		synctest.Wait()
		close(cancel)
		synctest.Wait()
		if big.Load() || !small.Load() {
			t.Errorf("the large call: %v, the small one behind it: %v", big.Load(), small.Load())
		}
		b.release(2, 70)
		if b.calls != 0 || b.bytes != 0 || len(b.waiters) != 0 {
			t.Errorf("left: %d calls, %d bytes, %d waiters", b.calls, b.bytes, len(b.waiters))
		}
	})
}

func TestBudget_NeverOverItsLimits(t *testing.T) {
	b := &budget{maxCalls: 5, maxBytes: 100, observer: nobody{}}
	var wg sync.WaitGroup
	var bytes, calls atomic.Int64
	for i := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 500 {
				n := r.IntN(60)
				if !took(b.take(n, nil)) {
					t.Error("take failed")
				}
				if bytes.Add(int64(n)) > 100 || calls.Add(1) > 5 {
					t.Error("over the limit")
				}
				bytes.Add(int64(-n))
				calls.Add(-1)
				b.release(1, n)
			}
		})
	}
	wg.Wait()
	if b.calls != 0 || b.bytes != 0 {
		t.Errorf("left: %d calls, %d bytes", b.calls, b.bytes)
	}
}

func TestPool_Classes(t *testing.T) {
	for n := range largest + 2 {
		c := classFor(n)
		if n > largest {
			if c != -1 {
				t.Fatalf("%d bytes have class %d", n, c)
			}
			continue
		}
		if size := classSize(c); size < n || c > 0 && classSize(c-1) >= n {
			t.Fatalf("%d bytes have class %d of %d", n, c, size)
		}
		if back := classOf(n); back >= 0 && classSize(back) > n {
			t.Fatalf("a buffer of %d bytes goes into class %d of %d", n, back, classSize(back))
		}
	}
	var p pool
	for _, n := range []int{0, 1, 512, 513, 1 << 20, largest, largest + 1} {
		b := p.get(n)
		if len(b.b) != 0 || cap(b.b) < n || cap(b.b) < roomFor(n) {
			t.Errorf("get(%d): length %d, capacity %d, room %d", n, len(b.b), cap(b.b), roomFor(n))
		}
		p.put(b)
	}
}
