package raftlog

import (
	"testing"
	"time"
)

func TestLazy_Holds(t *testing.T) {
	start := time.Unix(1000, 0)
	good := outlook{now: start, free: true, acked: 9, last: 10, backlog: 1, bound: 50 * time.Millisecond}
	for what, spoil := range map[string]func(*outlook){
		"nobody else has a lease": func(o *outlook) { o.free = false },
		"held for long":           func(o *outlook) { o.held = 50 * time.Millisecond },
		"many entries":            func(o *outlook) { o.backlog = lazyEntries + 1 },
		"many bytes":              func(o *outlook) { o.bytes = maxAppendBytes },
	} {
		z, o := &lazy{}, good
		spoil(&o)
		if z.holds(o) {
			t.Errorf("%s: held back", what)
		}
		if !z.holds(good) {
			t.Errorf("%s no more: not held back", what)
		}
	}
}

// Entries go to the witness when the other data node has had one for between one
// and two looks, and until it has caught up with that.
func TestLazy_Late(t *testing.T) {
	z := &lazy{}
	o := outlook{now: time.Unix(1000, 0), free: true, bound: time.Hour}
	step := func(want bool, after time.Duration, acked, last Index) {
		t.Helper()
		o.now, o.acked, o.last = o.now.Add(after), acked, last
		if z.holds(o) != want {
			t.Errorf("acknowledged %d of %d: %v", acked, last, !want)
		}
	}
	step(true, 0, 9, 10)
	step(true, lazyLook-1, 9, 12)
	step(false, 1, 9, 12)
	step(false, time.Microsecond, 9, 13)
	step(true, time.Millisecond, 10, 13) // what it lacked; the rest is counted from now
	step(true, lazyLook-1, 12, 20)
	step(true, time.Millisecond, 13, 20)
	step(false, lazyLook, 19, 20)
	step(true, time.Hour, 20, 20)
	step(true, time.Hour, 20, 20) // idle
}
