package state_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// applied is one entry of a history, and what came of it when it was applied alone.
type applied struct {
	term    uint64
	batch   []byte
	results []vfs.Result
	digest  state.Digest
}

// manyEntries makes a history of changes by several clients, who repeat some of their
// calls, with terms that end, a clock that jumps, answers beyond the limit, and
// entries without commands.
func manyEntries(h *harness, rng *rand.Rand, n int) []applied {
	var all []applied
	var files []vfs.Ref
	type sent struct {
		id vfs.CallID
		op vfs.Op
	}
	var calls []sent
	apply := func(encs ...[]byte) {
		a := applied{term: h.term}
		if len(encs) > 0 {
			a.results = h.apply(encs...)
			a.batch = h.log[len(h.log)-1]
		} else {
			h.index++
			h.log = append(h.log, nil)
			if _, err := h.s.Apply(h.index, h.term, nil); err != nil {
				h.t.Fatal(err)
			}
		}
		a.digest, _, _ = h.s.RunningDigest()
		all = append(all, a)
		for _, r := range a.results {
			if r.HasAttr && r.Attr.Type == vfs.TypeReg {
				files = append(files, r.Attr.Ref)
			}
		}
	}
	apply(h.command(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: "too early"}))
	apply(h.command(vfs.Root, formatOp(512)))
	apply(h.command(vfs.Root, &command.SetLimits{DuplicateBytes: duplicate.MinBytes}))
	for range n {
		var encs [][]byte
		for range rng.IntN(12) {
			h.xid++
			c := sent{
				id: vfs.CallID{Client: [16]byte{15: byte(rng.IntN(3) * rng.IntN(30))}, XID: h.xid, Proc: 8},
				op: randomOp(rng, []vfs.Ref{h.root()}, files),
			}
			if rng.IntN(3) == 0 && len(calls) > 0 {
				c = calls[len(calls)-1-rng.IntN(min(len(calls), 4000))]
			}
			calls = append(calls, c)
			encs = append(encs, h.callAs(c.id, vfs.Root, c.op))
		}
		switch rng.IntN(40) {
		case 0:
			h.term++
		case 1:
			h.clock += vfs.Time(rng.Int64N(int64(duplicate.Life)))
		}
		apply(encs...)
	}
	return all
}

// Entries that are applied in one step come to the same, and are answered alike, as
// one after the other: the two nodes do not apply the same ones at once.
//
// Seen red: with answers that are let go once for each step, with a term for each
// step, and with a time that is remembered of a volume which is not formatted yet.
func TestApplyAll_AsOneByOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, uint64(roundsOf(1, 2))))
	one := openOn(t, roomyOptions(), 0)
	all := manyEntries(one, rng, roundsOf(2500, 800))
	if d := one.s.Duplicates(); !raceDetector && (d.Forced == 0 || d.Hits == 0) {
		t.Errorf("the limit was never reached, or no call repeated: %+v", d)
	}
	for range 3 {
		other := openOn(t, roomyOptions(), 0)
		for from := 0; from < len(all); {
			n := 1 + rng.IntN(min(len(all)-from, 100))
			entries := make([]state.Entry, n)
			for i, a := range all[from : from+n] {
				entries[i] = state.Entry{Index: uint64(from + i + 1), Term: a.term}
				if a.batch == nil {
					continue
				}
				var err error
				if entries[i].Commands, err = command.DecodeBatch(a.batch); err != nil {
					t.Fatal(err)
				}
			}
			if err := other.s.ApplyAll(entries); err != nil {
				t.Fatal(err)
			}
			for i, a := range all[from : from+n] {
				if d := cmp.Diff(a.results, entries[i].Results); d != "" && len(a.results) > 0 {
					t.Fatalf("entry %d is answered otherwise:\n%s", from+i+1, d)
				}
			}
			from += n
			got, index, term := other.s.RunningDigest()
			if got != all[from-1].digest || index != uint64(from) || term != all[from-1].term {
				t.Fatalf("after entry %d of term %d, %d at once: digest %v, want %v of %d in term %d",
					index, term, n, got, all[from-1].digest, from, all[from-1].term)
			}
		}
		if err := other.s.Check(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(one.s.Duplicates(), other.s.Duplicates()); d != "" {
			t.Errorf("other answers are remembered:\n%s", d)
		}
	}
}

// Entries that the state has are passed over, also at the head of a group.
func TestApplyAll_SkipsOldEntries(t *testing.T) {
	one := openOn(t, roomyOptions(), 0)
	all := manyEntries(one, rand.New(rand.NewPCG(5, 5)), 20)
	other := openOn(t, roomyOptions(), 0)
	entries := make([]state.Entry, len(all))
	for i, a := range all {
		entries[i] = state.Entry{Index: uint64(i + 1), Term: a.term}
		if a.batch != nil {
			entries[i].Commands, _ = command.DecodeBatch(a.batch)
		}
	}
	for _, n := range []int{10, 10, 7, len(all)} {
		if err := other.s.ApplyAll(entries[:n]); err != nil {
			t.Fatal(err)
		}
	}
	if got, _, _ := other.s.RunningDigest(); got != all[len(all)-1].digest {
		t.Error("entries were applied twice, or not at all")
	}
}
