package replica

import (
	"math/rand/v2"
	"slices"
	"testing"

	"twofold/raftlog"
)

// touching is a log entry that touches keys, or everything.
func touching(index raftlog.Index, keys ...key) raftlog.Entry {
	return raftlog.Entry{Index: index, Term: 1, Data: appendEntry(nil, 1, touchedKeys{all: len(keys) == 0, keys: keys}, nil)}
}

func wantBy(t *testing.T, tt *touched, want raftlog.Index, keys ...key) {
	t.Helper()
	if got := tt.by(keys...); got != want {
		t.Errorf("keys %v: touched by %d, want %d", keys, got, want)
	}
}

func TestTouched(t *testing.T) {
	tt := newTouched()
	tt.recovered(10)
	wantBy(t, tt, 10, 1) // of what was there before nothing is known
	tt.appended([]raftlog.Entry{touching(11, 1, 2), {Index: 12, Term: 1}, touching(13, 2, 3)})
	wantBy(t, tt, 11, 1)
	wantBy(t, tt, 13, 2)
	wantBy(t, tt, 13, 1, 3)
	wantBy(t, tt, 10, 4)
	if got := tt.highest(); got != 13 {
		t.Errorf("highest %d", got)
	}
	tt.appended([]raftlog.Entry{touching(14)})
	wantBy(t, tt, 14, 4)
	tt.appended([]raftlog.Entry{touching(15, 1), {Index: 16, Term: 1}})
	wantBy(t, tt, 15, 1)
	wantBy(t, tt, 14, 4)
	if got := tt.highest(); got != 15 {
		t.Errorf("highest %d: the entry behind alters nothing", got)
	}
}

// What another leader deletes was never there, and who waits for it is told.
func TestTouched_Truncated(t *testing.T) {
	tt := newTouched()
	tt.appended([]raftlog.Entry{touching(1, 1), touching(2, 1), touching(3), touching(4, 2)})
	cut, cuts := tt.cut()
	tt.truncated(2)
	select {
	case <-cut:
	default:
		t.Error("nobody is told")
	}
	if _, now := tt.cut(); now == cuts {
		t.Error("it is not counted")
	}
	wantBy(t, tt, 1, 1)
	wantBy(t, tt, 0, 2)
	if got := tt.highest(); got != 1 {
		t.Errorf("highest %d", got)
	}
	tt.recovered(8)
	tt.truncated(6)
	wantBy(t, tt, 5, 7)
	tt.appended([]raftlog.Entry{touching(6, 7)})
	wantBy(t, tt, 6, 7)
	wantBy(t, tt, 5, 8)
}

// An entry in the place of another one, without a word, and a gap: the table errs
// on the safe side.
func TestTouched_OutOfOrder(t *testing.T) {
	tt := newTouched()
	tt.appended([]raftlog.Entry{touching(1, 1), touching(2, 2), touching(3, 3)})
	tt.appended([]raftlog.Entry{touching(2, 4)})
	wantBy(t, tt, 2, 4)
	wantBy(t, tt, 0, 2)
	wantBy(t, tt, 0, 3)
	tt.appended([]raftlog.Entry{touching(9, 5)})
	wantBy(t, tt, 8, 1)
	wantBy(t, tt, 9, 5)
}

// An entry that this version cannot read may touch anything.
func TestTouched_Unreadable(t *testing.T) {
	for _, data := range [][]byte{{}, {9}, make([]byte, entryHeader-1), append(touching(1, 1).Data[:entryHeader-1], 200)} {
		tt := newTouched()
		tt.appended([]raftlog.Entry{{Index: 1, Term: 1, Data: data}})
		wantBy(t, tt, 1, 77)
	}
}

// The table against a list of all entries. It never says less than the list; while
// nothing is forgotten it says the same.
func TestTouched_Random(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tt := newTouched()
		var log []touchedKeys // entry i+1
		forgets := seed%2 == 1
		for range 3000 {
			switch n := rng.IntN(100); {
			case n < 60:
				keys := make([]key, rng.IntN(4))
				if forgets && n < 2 {
					keys = make([]key, maxEntryKeys)
				}
				for i := range keys {
					keys[i] = rng.Uint64N(50)
					if len(keys) == maxEntryKeys {
						keys[i] = rng.Uint64()
					}
				}
				k := touchedKeys{all: n == 59, keys: keys}
				log = append(log, k)
				data := appendEntry(nil, 1, touchedKeys{k.all, slices.Clone(keys)}, nil)
				tt.appended([]raftlog.Entry{{Index: raftlog.Index(len(log)), Data: data}})
			case n < 62 && len(log) > 0:
				from := len(log) - rng.IntN(min(len(log), 20))
				log = log[:from-1]
				tt.truncated(raftlog.Index(from))
			default:
				k := rng.Uint64N(50)
				want := len(log) // the last entry that touches it
				for want > 0 && !log[want-1].all && !slices.Contains(log[want-1].keys, k) {
					want--
				}
				got := tt.by(k)
				if got < raftlog.Index(want) || got > raftlog.Index(len(log)) || !forgets && got != raftlog.Index(want) {
					t.Fatalf("seed %d: key %d is touched by %d, want %d of %d", seed, k, got, want, len(log))
				}
				if high := tt.highest(); high < got {
					t.Fatalf("seed %d: highest %d, but %d touches something", seed, high, got)
				}
			}
		}
		if n := len(tt.mu.entries); n > maxTouchedEntries || tt.mu.keys > maxTouchedKeys || len(tt.mu.last) > tt.mu.keys {
			t.Fatalf("%d entries, %d keys, %d of them apart", n, tt.mu.keys, len(tt.mu.last))
		}
	}
}

func BenchmarkTouched_By(b *testing.B) {
	tt := newTouched()
	for i := range raftlog.Index(4000) {
		k := uint64(i) * 7
		tt.appended([]raftlog.Entry{touching(i+1, k, k+1, k+2)})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tt.by(uint64(i)%28000, uint64(i)%28000+1)
	}
}
