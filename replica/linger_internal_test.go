package replica

import (
	"testing"
	"testing/synctest"
	"time"
)

func newLinger(s *Store) *linger {
	s.queue = make(chan pending, 100)
	s.stopped = make(chan struct{})
	l := &s.lingering
	l.limit, l.queue, l.full = time.Millisecond, s.queue, make(chan struct{}, 1)
	s.applied.advance(1)
	return l
}

// The proposer waits for those it released, beside those who wait for it; not for
// longer than the limit, and after a wait in vain for some time not at all.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Store)
		l := newLinger(s)
		come := func(n int, after time.Duration) {
			for range n {
				go func() {
					time.Sleep(after)
					s.queue <- pending{}
					l.queued()
				}()
			}
		}
		// lingers returns how long the proposer waited, and takes all that is there.
		lingers := func(released int) time.Duration {
			begin := time.Now()
			s.linger(1, released)
			took := time.Since(begin)
			synctest.Wait()
			for len(s.queue) > 0 {
				<-s.queue
			}
			return took
		}
		const some = 200 * time.Microsecond
		if d := lingers(1); d != 0 {
			t.Errorf("a lone caller waits for %v", d)
		}
		for range 3 {
			come(4, some)
			if d := lingers(4); d != some {
				t.Errorf("four who come back after %v are waited for for %v", some, d)
			}
			come(1, 0)
			come(1, some)
			synctest.Wait()
			if d := lingers(1); d != some {
				t.Errorf("one who comes back, while one waits: %v", d)
			}
		}
		var vain []int // entries between two waits in vain
		for between := 0; len(vain) < 9; {
			come(1, 0)
			synctest.Wait()
			switch d := lingers(2); d {
			case 0:
				between++
			case l.limit:
				vain, between = append(vain, between), 0
			default:
				t.Fatalf("waited for %v", d)
			}
		}
		for i, want := range []int{0, 1, 2, 4, 8, 16, 32, 64, 64} {
			if vain[i] != want {
				t.Errorf("%v entries between waits in vain, want %d at %d", vain, want, i)
			}
		}
		for range maxLingerSkips {
			lingers(2)
		}
		come(2, some)
		if d := lingers(2); d != some || l.skips != 0 {
			t.Errorf("after a wait that was not in vain: %v, %d entries to skip", d, l.skips)
		}
		l.limit = -1
		come(1, 0)
		synctest.Wait()
		if d := lingers(5); d != 0 {
			t.Errorf("without a limit: %v", d)
		}
	})
}

// Nobody who comes is missed, whenever he does.
func TestLinger_Races(t *testing.T) {
	s := new(Store)
	l := newLinger(s)
	l.limit = time.Minute
	for range 3000 {
		for range 3 {
			go func() {
				s.queue <- pending{}
				l.queued()
			}()
		}
		if !l.wait(3, s.stopped) {
			t.Fatal("three came and were not seen")
		}
		for range 3 {
			<-s.queue
		}
	}
}
