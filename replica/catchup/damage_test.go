package catchup_test

import (
	"sync/atomic"
	"testing"

	"twofold/replica/catchup"
)

// The own state is found damaged in the moment in which a stage that was made after
// its word is called ready: the stage must not take its place.
func TestCatchUp_DamageFoundAtTheEnd(t *testing.T) {
	a, b := newCopy(t), newCopy(t)
	a.fill(20, 10)
	var damaged atomic.Bool
	var ready atomic.Uint64
	b.sink.Damaged = damaged.Load
	b.sink.Staged = func(index, _ uint64) {
		if index != 0 {
			damaged.Store(true)
		}
		ready.Store(index)
	}
	if err := b.bring(a, catchup.NewProgress(), nil); err == nil {
		t.Error("the source was told that it is done")
	}
	if index := ready.Load(); index != 0 {
		t.Errorf("a state of %d is ready, made after the word of a damaged one", index)
	}
}
