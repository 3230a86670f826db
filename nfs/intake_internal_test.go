package nfs

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const testStall = 2 * time.Second

// member joins a record from host number n to in and counts its cuts.
func member(in *intake, n byte) (*unfinished, *atomic.Int32) {
	var cuts atomic.Int32
	m := &unfinished{host: netip.AddrFrom4([4]byte{10, 0, 0, n}), cut: func() { cuts.Add(1) }}
	in.join(m)
	return m, &cuts
}

// taker takes room in a goroutine of its own and tells when it got it.
func taker(in *intake, m *unfinished, n int) *atomic.Bool {
	var got atomic.Bool
	go func() {
		_, ok := in.take(m, n, nil)
		got.Store(ok)
	}()
	synctest.Wait()
	return &got
}

func TestIntake_OldestNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake(100, testStall, nobody{})
		old, _ := member(in, 1)
		next, _ := member(in, 2)
		if !taker(in, old, 50).Load() || !taker(in, next, 50).Load() {
			t.Fatal("there was room for both")
		}
		more := taker(in, next, 10)
		if more.Load() {
			t.Error("over the limit")
		}
		if !taker(in, old, 70).Load() {
			t.Error("the oldest record waits")
		}
		in.leave(old)
		synctest.Wait()
		if !more.Load() || in.used != 60 {
			t.Errorf("%d used; the next record, now the oldest, got more: %v", in.used, more.Load())
		}
		in.leave(next)
		wantEmpty(t, in)
	})
}

func wantEmpty(t *testing.T, in *intake) {
	t.Helper()
	if in.used != 0 || len(in.members) != 0 || in.waiting != 0 || len(in.byHost) != 0 {
		t.Errorf("left: %d used, %d members, %d waiting, %v", in.used, len(in.members), in.waiting, in.byHost)
	}
}

// However many records one or two hosts have, another one finds room.
func TestIntake_HostsLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		in := newIntake(most, testStall, nobody{})
		cancel := make(chan struct{})
		fill := func(host byte) {
			for range 200 {
				m, _ := member(in, host)
				go in.take(m, 10, cancel)
			}
			synctest.Wait()
		}
		fill(1)
		if in.used < most/2-10 || in.used > most/2+10 {
			t.Errorf("one host holds %d of %d", in.used, most)
		}
		fill(2)
		third, _ := member(in, 3)
		if free := most - in.used; free < most/5 || !taker(in, third, free).Load() {
			t.Errorf("two hosts leave %d of %d", free, most)
		}
		close(cancel)
		synctest.Wait()
		for len(in.members) > 0 {
			in.leave(in.members[0])
		}
		wantEmpty(t, in)
	})
}

func TestHostOf(t *testing.T) {
	for client, want := range map[string]string{
		"10.1.2.3":             "10.1.2.3",
		"fd00:1:2:3:4:5:6:7":   "fd00:1:2:3::",
		"fe80::1%eth0":         "fe80::",
		"2001:db8:0:1::ffff:1": "2001:db8:0:1::",
	} {
		if got := hostOf(netip.MustParseAddr(client)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", client, got, want)
		}
	}
	if hostOf(netip.Addr{}).IsValid() {
		t.Error("no address became one")
	}
}

func TestIntake_CutsWhoStallsOnlyForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake(100, testStall, nobody{})
		stalled, cuts := member(in, 1)
		modest, modestCuts := member(in, 2)
		moving, movingCuts := member(in, 3)
		done, doneCuts := member(in, 4)
		for m, n := range map[*unfinished]int{stalled: 20, moving: 20, done: 20, modest: 5} {
			in.take(m, n, nil)
		}
		in.completed(done)
		time.Sleep(10 * testStall)
		if cuts.Load() != 0 {
			t.Error("cut although nobody waits")
		}
		in.touch(moving)
		more := taker(in, moving, 30)
		time.Sleep(testStall/intakeTicks + 1)
		if more.Load() || cuts.Load() == 0 {
			t.Error("not cut although another waits")
		}
		if movingCuts.Load()+doneCuts.Load()+modestCuts.Load() != 0 {
			t.Error("cut although it moved, or was complete, or its host holds less")
		}
		in.leave(stalled)
		synctest.Wait()
		if !more.Load() {
			t.Error("no room for who waited")
		}
		n := cuts.Load() + doneCuts.Load() + modestCuts.Load()
		time.Sleep(10 * testStall)
		if cuts.Load()+doneCuts.Load()+modestCuts.Load() != n {
			t.Error("cut after nobody waited")
		}
	})
}

func TestIntake_CutsNoMoreThanNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake(100, testStall, nobody{})
		var cuts []*atomic.Int32
		for range 10 {
			m, c := member(in, 1)
			in.take(m, 5, nil)
			cuts = append(cuts, c)
		}
		time.Sleep(2 * testStall)
		last, _ := member(in, 1)
		cancel := make(chan struct{})
		go in.take(last, 12, cancel)
		time.Sleep(testStall/intakeTicks + 1)
		for i, c := range cuts {
			if want := i < 3; (c.Load() > 0) != want {
				t.Errorf("record %d: %d cuts", i, c.Load())
			}
		}
		close(cancel)
		synctest.Wait()
		if in.waiting != 0 || last.held != 0 {
			t.Errorf("%d waiting, it holds %d", in.waiting, last.held)
		}
	})
}

// Whatever order they come in, all records end, and the limit holds but for one.
func TestIntake_AllRecordsEnd(t *testing.T) {
	const size, limit = 40, 100
	in := newIntake(limit, testStall, nobody{})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			m := &unfinished{host: netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 5)}), cut: func() {}}
			for range 200 {
				in.join(m)
				for have := 0; have < size; {
					n := min(1+r.IntN(20), size-have)
					if _, ok := in.take(m, n, nil); !ok {
						t.Error("take failed")
					}
					have += n
				}
				in.mu.Lock()
				if in.used > limit+size {
					t.Errorf("%d used", in.used)
				}
				in.mu.Unlock()
				in.completed(m)
				in.leave(m)
			}
		})
	}
	wg.Wait()
	wantEmpty(t, in)
}

// A record never waits for room that it would not use, and ends with exactly
// what its size class has.
func TestNextStep(t *testing.T) {
	for _, need := range []int{readBuffer + 1, firstStep, 20 << 10, 64<<10 + 80, 256<<10 + 80, 1<<20 + 80, largest} {
		room, arrived := 0, readBuffer
		for room < need {
			next := nextStep(room, need)
			if next <= room || next > need {
				t.Fatalf("%d bytes: from %d to %d", need, room, next)
			}
			if roomFor(next) > 8*arrived && roomFor(next) > firstStep {
				t.Errorf("%d bytes: room for %d when %d have arrived", need, roomFor(next), arrived)
			}
			room = roomFor(next)
			arrived = room
		}
		if room != roomFor(need) {
			t.Errorf("%d bytes end with room for %d", need, room)
		}
	}
}
