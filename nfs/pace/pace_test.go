package pace_test

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/pace"
)

// Something is due at once, and again when the interval has passed.
func TestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rate.Sometimes{Interval: time.Second}
		for i, want := range []bool{true, false, true} {
			if got := pace.Due(&s); got != want {
				t.Errorf("look %d: %v, want %v", i, got, want)
			}
			time.Sleep(600 * time.Millisecond)
		}
	})
}
