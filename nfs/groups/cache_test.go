package groups_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs/groups"
	"twofold/replica/vfs"
)

// source answers as a test says.
type source struct {
	mu      sync.Mutex
	answer  map[uint32][]uint32
	err     error
	delay   time.Duration
	asked   map[uint32]int
	running int
	most    int
}

func newSource() *source {
	return &source{answer: map[uint32][]uint32{}, asked: map[uint32]int{}}
}

func (s *source) Groups(ctx context.Context, uid uint32) ([]uint32, error) {
	s.mu.Lock()
	s.asked[uid]++
	s.running++
	s.most = max(s.most, s.running)
	answer, err, delay := s.answer[uid], s.err, s.delay
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err == nil && answer == nil {
		err = fmt.Errorf("user %d: %w", uid, groups.ErrUnknownUser)
	}
	return answer, err
}

func (s *source) edit(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *source) count(uid uint32) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[uid]
}

var wire = []uint32{90, 91}

// caching runs a test in a bubble.
func caching(t *testing.T, test func(t *testing.T, s *source, lookup func(uid uint32) []uint32)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := groups.New(s, nil)
		test(t, s, func(uid uint32) []uint32 { return c.Lookup(t.Context(), uid, wire) })
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func expect(t *testing.T, what string, got, want []uint32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: groups %d, want %d", what, got, want)
	}
}

func TestLookup_IsRemembered(t *testing.T) {
	caching(t, func(t *testing.T, s *source, lookup func(uint32) []uint32) {
		s.answer[7] = []uint32{1, 2}
		s.delay = time.Second
		expect(t, "the first call", lookup(7), []uint32{1, 2})
		s.edit(func() { s.answer[7] = []uint32{3} })
		time.Sleep(5*time.Minute - time.Second)
		expect(t, "within five minutes", lookup(7), []uint32{1, 2})
		time.Sleep(2 * time.Second)
		start := time.Now()
		expect(t, "while it is refreshed", lookup(7), []uint32{1, 2})
		if d := time.Since(start); d != 0 {
			t.Errorf("a call waited for %v", d)
		}
		time.Sleep(2 * time.Second)
		expect(t, "refreshed", lookup(7), []uint32{3})
		if n := s.count(7); n != 2 {
			t.Errorf("asked %d times", n)
		}
		s.edit(func() { s.answer[7] = []uint32{4} })
		time.Sleep(2 * time.Hour)
		expect(t, "after a long time", lookup(7), []uint32{4})
	})
}

func TestLookup_UnknownUser(t *testing.T) {
	caching(t, func(t *testing.T, s *source, lookup func(uint32) []uint32) {
		expect(t, "unknown", lookup(7), nil)
		s.edit(func() { s.answer[7] = []uint32{1} })
		time.Sleep(59 * time.Second)
		expect(t, "within a minute", lookup(7), nil)
		time.Sleep(2 * time.Second)
		lookup(7)
		synctest.Wait()
		expect(t, "made meanwhile", lookup(7), []uint32{1})
	})
}

func TestLookup_Failing(t *testing.T) {
	caching(t, func(t *testing.T, s *source, lookup func(uint32) []uint32) {
		s.err = errors.New("planted")
		expect(t, "nothing known", lookup(7), wire)
		expect(t, "nothing known, again", lookup(7), wire)
		if n := s.count(7); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		s.edit(func() { s.err, s.answer[7] = nil, []uint32{1} })
		time.Sleep(11 * time.Second)
		expect(t, "works again", lookup(7), []uint32{1})
		s.edit(func() { s.err = errors.New("planted") })
		for range 30 {
			time.Sleep(10 * time.Minute)
			expect(t, "fails afterwards", lookup(7), []uint32{1})
		}
	})
}

// A source that hangs costs a call two seconds, once in a while.
func TestLookup_Hanging(t *testing.T) {
	caching(t, func(t *testing.T, s *source, lookup func(uint32) []uint32) {
		s.delay = time.Hour
		start := time.Now()
		expect(t, "hangs", lookup(7), wire)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("waited for %v", d)
		}
		time.Sleep(4 * time.Second) // the look-up is given up
		start = time.Now()
		expect(t, "hung", lookup(7), wire)
		if d := time.Since(start); d != 0 {
			t.Errorf("waited for %v after a failure", d)
		}
		time.Sleep(10 * time.Second)
		lookup(7) // Close has to end a look-up that runs
	})
}

func TestLookup_EndsWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		s.delay = time.Hour
		c := groups.New(s, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		expect(t, "cancelled", c.Lookup(ctx, 7, wire), wire)
		if d := time.Since(start); d != time.Second {
			t.Errorf("waited for %v", d)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		expect(t, "closed", c.Lookup(t.Context(), 8, wire), wire)
		if n := s.count(8); n != 0 {
			t.Error("a look-up began after Close")
		}
	})
}

func TestLookup_OneAtATimeForAUser(t *testing.T) {
	caching(t, func(t *testing.T, s *source, lookup func(uint32) []uint32) {
		s.answer[7] = []uint32{1}
		s.delay = time.Second
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { expect(t, "many at once", lookup(7), []uint32{1}) })
		}
		wg.Wait()
		if n := s.count(7); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestLookup_IsBounded(t *testing.T) {
	caching(t, func(t *testing.T, s *source, lookup func(uint32) []uint32) {
		s.delay = time.Second
		var wg sync.WaitGroup
		for uid := range uint32(500) {
			s.edit(func() { s.answer[uid] = make([]uint32, vfs.MaxGroups+5) })
			wg.Go(func() {
				if n := len(lookup(uid)); n != vfs.MaxGroups && n != len(wire) {
					t.Errorf("%d groups", n)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute) // what waited has ended
		s.edit(func() {
			if s.most > 8 || len(s.asked) > 64 {
				t.Errorf("%d look-ups at a time, %d in all", s.most, len(s.asked))
			}
			s.delay = 0
		})
		for uid := range uint32(groups.MaxEntries + 100) {
			s.edit(func() { s.answer[uid] = []uint32{uid} })
			time.Sleep(time.Nanosecond) // users are told apart by when they were asked for
			lookup(uid)
		}
		before := s.count(0)
		lookup(0)
		if s.count(0) == before {
			t.Error("the user who was asked for longest ago is still remembered")
		}
		if n := s.count(groups.MaxEntries); lookup(groups.MaxEntries) == nil || s.count(groups.MaxEntries) != n {
			t.Error("a user who was asked for a moment ago is forgotten")
		}
	})
}
