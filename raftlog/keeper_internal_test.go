package raftlog

import "testing"

// What a marker does not cover brings about the next one.
func TestNotCovered(t *testing.T) {
	for name, c := range map[string]struct{ bytes, before, now, last, want uint64 }{
		"all covered":                    {1000, 0, 10, 10, 0},
		"beyond what was asked":          {1000, 0, 12, 10, 0},
		"nothing covered":                {1000, 6, 6, 83, 1000},
		"half":                           {1000, 10, 20, 30, 500},
		"nothing new":                    {1000, 10, 10, 10, 0},
		"the log was cut back meanwhile": {1000, 10, 5, 8, 0},
	} {
		if got := notCovered(c.bytes, c.before, c.now, c.last); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
