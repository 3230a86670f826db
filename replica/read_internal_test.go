package replica

import (
	"sync"
	"testing"
	"testing/synctest"

	"twofold/raftlog"
)

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
