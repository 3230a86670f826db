package replica

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twofold/raftlog"
)

// A read must not share a round that began before it: that round may have asked
// before something was acknowledged that the read has to see.
func TestRounds_NeverShareOneThatBeganBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began int
		proceed := make(chan error)
		r := rounds{run: func() error {
			began++
			return <-proceed
		}}
		results := make([]error, 5)
		var wg sync.WaitGroup
		wait := func(i int) {
			wg.Go(func() { results[i] = r.wait(context.Background()) })
			synctest.Wait()
		}
		wait(0)
		if began != 1 {
			t.Fatalf("%d rounds began for the first read", began)
		}
		for i := 1; i < 5; i++ {
			wait(i) // while the first round is out
		}
		first := errors.New("first round")
		proceed <- first
		synctest.Wait()
		if began != 2 {
			t.Fatalf("%d rounds began, want 2: the later reads share one", began)
		}
		proceed <- nil
		wg.Wait()
		if results[0] != first {
			t.Errorf("the first read got %v", results[0])
		}
		for i := 1; i < 5; i++ {
			if results[i] != nil {
				t.Errorf("read %d got the answer of a round that began before it: %v", i, results[i])
			}
		}
	})
}

// A reader that gives up leaves the others and the rounds as they are.
func TestRounds_GivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan error)
		r := rounds{run: func() error { return <-proceed }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- r.wait(t.Context()) }()
		synctest.Wait()
		proceed <- errors.New("of the round that was given up")
		proceed <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if r.running {
			t.Error("rounds go on without readers")
		}
	})
}

func TestAppliedIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a appliedIndex
		stop := make(chan struct{})
		var mu sync.Mutex
		got := map[raftlog.Index]bool{}
		for i := raftlog.Index(1); i <= 5; i++ {
			go func() {
				reached := a.wait(i, stop)
				mu.Lock()
				defer mu.Unlock()
				got[i] = reached
			}()
		}
		released := func(want int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(got) != want {
				t.Fatalf("at %d: released %v", a.load(), got)
			}
		}
		released(0)
		a.advance(3)
		released(3)
		if !a.wait(3, nil) {
			t.Error("what is applied is waited for")
		}
		close(stop)
		released(5)
		for i, reached := range got {
			if reached != (i <= 3) {
				t.Errorf("index %d: reached %v", i, reached)
			}
		}
	})
}
