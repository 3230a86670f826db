package state_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

func callID(xid uint32) vfs.CallID {
	return vfs.CallID{Client: [16]byte{15: 9}, XID: xid, Proc: 8, Sum: 1234}
}

func guarded(h *harness, name string) *vfs.OpCreate {
	return &vfs.OpCreate{Dir: h.root(), Name: name, Mode: vfs.CreateGuarded, Set: modeSet(0o644)}
}

// repeat sends one call again and wants the first answer and no effect.
func repeat(t *testing.T, h *harness, id vfs.CallID, op vfs.Op, first vfs.Result) {
	t.Helper()
	dir := h.attr(h.root())
	again := h.apply(h.callAs(id, vfs.Root, op))[0]
	if d := cmp.Diff(first, again); d != "" {
		t.Errorf("the repeated %T is answered otherwise:\n%s", op, d)
	}
	if d := cmp.Diff(dir, h.attr(h.root())); d != "" {
		t.Errorf("the repeated %T changed the directory:\n%s", op, d)
	}
}

func TestDuplicate_HasOneEffectAndOneAnswer(t *testing.T) {
	h := open(t, 512)
	h.create(h.root(), "old", 0o644)
	for xid, op := range []vfs.Op{
		guarded(h, "new"),
		&vfs.OpRename{FromDir: h.root(), FromName: "new", ToDir: h.root(), ToName: "newer"},
		&vfs.OpRemove{Dir: h.root(), Name: "newer"},
		&vfs.OpRemove{Dir: h.root(), Name: "never was"}, // a refusal is an answer, too
		&vfs.OpMkdir{Dir: h.root(), Name: "dir"},
		&vfs.OpRmdir{Dir: h.root(), Name: "dir"},
		&vfs.OpSymlink{Dir: h.root(), Name: "link", Target: "old"},
	} {
		id := callID(uint32(xid) + 1)
		first := h.apply(h.callAs(id, vfs.Root, op))[0]
		repeat(t, h, id, op, first)
		h.reopen()
		repeat(t, h, id, op, first)
	}
	h.check()
}

// A late second copy of a WRITE must not put old data over new.
func TestDuplicate_LateWriteChangesNothing(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	old := &vfs.OpWrite{Ref: f, Data: []byte("old")}
	first := h.apply(h.callAs(callID(1), vfs.Root, old))[0]
	h.write(f, 0, "new")
	repeat(t, h, callID(1), old, first)
	if got := h.read(f, 0, 3); got != "new" {
		t.Errorf("the file holds %q", got)
	}
}

func TestDuplicate_TwiceInOneEntry(t *testing.T) {
	h := open(t, 512)
	op := guarded(h, "f")
	rs := h.apply(h.callAs(callID(1), vfs.Root, op), h.callAs(callID(1), vfs.Root, op))
	if rs[0].Kind != vfs.OK {
		t.Fatal(rs[0].Kind)
	}
	if d := cmp.Diff(rs[0], rs[1]); d != "" {
		t.Error(d)
	}
}

// What differs in any part of the identity is another call; a call without
// identity is always a new one.
func TestDuplicate_OtherCallsAreNew(t *testing.T) {
	h := open(t, 512)
	base := callID(1)
	op := guarded(h, "f")
	h.apply(h.callAs(base, vfs.Root, op))
	for name, change := range map[string]func(*vfs.CallID){
		"client":    func(id *vfs.CallID) { id.Client[0]++ },
		"xid":       func(id *vfs.CallID) { id.XID++ },
		"procedure": func(id *vfs.CallID) { id.Proc++ },
		"checksum":  func(id *vfs.CallID) { id.Sum++ },
		"identity":  func(id *vfs.CallID) { *id = vfs.CallID{} },
	} {
		id := base
		change(&id)
		for range 2 {
			if r := h.apply(h.callAs(id, vfs.Root, op))[0]; r.Kind != vfs.Exist {
				t.Errorf("another %s: %v, want Exist", name, r.Kind)
			}
		}
	}
	none := &vfs.OpMkdir{Dir: h.root(), Name: "d"}
	if r := h.apply(h.callAs(vfs.CallID{}, vfs.Root, none))[0]; r.Kind != vfs.OK {
		t.Error(r.Kind)
	}
	if r := h.apply(h.callAs(vfs.CallID{}, vfs.Root, none))[0]; r.Kind != vfs.Exist {
		t.Errorf("a second call without identity: %v, want Exist", r.Kind)
	}
}

// idle is a call that is answered and changes nothing else.
func idle(h *harness) vfs.Op { return &vfs.OpRemove{Dir: h.root(), Name: "never was"} }

// many applies n idle calls of the harness's client, in entries of 128, and
// returns the identity of the first.
func many(h *harness, n int) vfs.CallID {
	h.t.Helper()
	first := vfs.CallID{Client: [16]byte{15: 7}, XID: h.xid + 1, Proc: 1, Sum: 99}
	for n > 0 {
		var encs [][]byte
		for range min(n, 128) {
			encs = append(encs, h.command(vfs.Root, idle(h)))
		}
		h.apply(encs...)
		n -= len(encs)
	}
	return first
}

// ran reports whether a call that was answered NotExist runs anew: the name is
// there by now.
func ran(h *harness, id vfs.CallID) bool {
	h.t.Helper()
	h.do(vfs.Root, &vfs.OpCreate{Dir: h.root(), Name: "never was", Set: modeSet(0o644)})
	return h.apply(h.callAs(id, vfs.Root, idle(h)))[0].Kind == vfs.OK
}

// The newest answers of a client outlive any time, the others 120 s of the
// log's. What is forgotten is gone from the store.
func TestDuplicate_Life(t *testing.T) {
	h := open(t, 512)
	quiet := callID(1)
	op := guarded(h, "f")
	first := h.apply(h.callAs(quiet, vfs.Root, op))[0]
	oldest := many(h, duplicate.ClientRecords+2)
	h.clock += 1000 * duplicate.Life
	repeat(t, h, quiet, op, first)
	h.check()
	if n := h.s.Duplicates().Records; n != duplicate.ClientRecords+1 {
		t.Errorf("%d answers are kept, want one client's newest and the one of another", n)
	}
	if !ran(h, oldest) {
		t.Error("the oldest call of a busy client is still remembered")
	}
	second := oldest
	second.XID += duplicate.ClientRecords / 2
	if ran(h, second) {
		t.Error("one of the newest calls of a client ran anew")
	}
	h.reopen()
	repeat(t, h, quiet, op, first)
	if ran(h, second) {
		t.Error("one of the newest calls of a client ran anew after a restart")
	}
	h.check()
}

// The limit on bytes is replicated, bounded, and beats the other rules.
func TestDuplicate_Limit(t *testing.T) {
	h := open(t, 512)
	if d := h.s.Duplicates(); d.Limit != duplicate.DefaultBytes {
		t.Errorf("a new volume has %+v", d)
	}
	for _, n := range []uint64{0, duplicate.MinBytes - 1, duplicate.MaxBytes + 1} {
		if r := h.apply(h.command(vfs.Root, &command.SetLimits{DuplicateBytes: n}))[0]; r.Kind != vfs.Invalid {
			t.Errorf("limit %d: %v, want Invalid", n, r.Kind)
		}
	}
	id := vfs.CallID{XID: 5, Proc: 8}
	h.apply(h.callAs(id, vfs.Root, idle(h)))
	for i := range byte(4) {
		for range 8 {
			var encs [][]byte
			for range 128 {
				h.xid++
				encs = append(encs, h.callAs(vfs.CallID{Client: [16]byte{i, 1}, XID: h.xid, Proc: 8}, vfs.Root, idle(h)))
			}
			h.apply(encs...)
		}
	}
	before := h.s.Duplicates()
	h.apply(h.command(vfs.Root, &command.SetLimits{DuplicateBytes: duplicate.MinBytes}))
	after := h.s.Duplicates()
	want := before.Records + 1 - duplicate.MaxEvict
	if after.Limit != duplicate.MinBytes || after.Records != want || after.Forced != duplicate.MaxEvict {
		t.Errorf("after the limit was lowered %+v, before %+v; want %d records", after, before, want)
	}
	h.reopen()
	many(h, 1)
	if d := h.s.Duplicates(); d.Bytes > d.Limit || d.Limit != duplicate.MinBytes {
		t.Errorf("the limit is not kept: %+v", d)
	}
	h.check()
	if !ran(h, id) {
		t.Error("the oldest call of all is still remembered")
	}
}

// A node that was started anew at any moment, or that fell back and replayed
// its log, evicts what the other evicts: their records are the same.
func TestDuplicate_SameAfterRestarts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	one, two := openOn(t, roomyOptions(), 512), openOn(t, roomyOptions(), 512)
	rounds := roundsOf(60, 20)
	for i := range rounds {
		var encs [][]byte
		one.clock += vfs.Time(rng.Int64N(int64(duplicate.Life / 4)))
		for range rng.IntN(200) {
			one.xid++
			id := vfs.CallID{Client: [16]byte{15: byte(rng.IntN(3) * rng.IntN(30))}, XID: one.xid, Proc: 8}
			encs = append(encs, one.callAs(id, vfs.Root, idle(one)))
		}
		if i%20 == 19 {
			limit := uint64(duplicate.MinBytes + rng.IntN(1<<20))
			encs = append(encs, one.command(vfs.Root, &command.SetLimits{DuplicateBytes: limit}))
		}
		if len(encs) == 0 {
			continue
		}
		one.apply(encs...)
		two.apply(encs...)
		if rng.IntN(3) == 0 {
			two.reopen()
		}
		if one.digest() != two.digest() {
			t.Fatalf("after entry %d the states differ: %+v, %+v", i, one.s.Duplicates(), two.s.Duplicates())
		}
	}
	if d := one.s.Duplicates(); d.Forced == 0 && rounds == 60 {
		t.Errorf("the limit was never reached: %+v", d)
	}
	one.check()
	two.check()
}

// A cache that is not what the volume's record says is damage: with it this
// node would answer otherwise than its peer.
func TestDuplicate_DamageIsFound(t *testing.T) {
	for name, damage := range map[string]func(h *harness, v []byte) (key, value []byte){
		"a record is gone":    func(*harness, []byte) (k, v []byte) { return state.AnswerKey(1), nil },
		"one is too many":     func(_ *harness, v []byte) ([]byte, []byte) { v[20]++; return state.AnswerKey(700), v },
		"one is twice there":  func(_ *harness, v []byte) ([]byte, []byte) { return state.AnswerKey(2), v },
		"one is cut":          func(_ *harness, v []byte) ([]byte, []byte) { return state.AnswerKey(1), v[:47] },
		"one lost its result": func(_ *harness, v []byte) ([]byte, []byte) { return state.AnswerKey(1), v[:48] },
		"one has a long key":  func(_ *harness, v []byte) ([]byte, []byte) { return append(state.AnswerKey(1), 0), v },
		"one is of tomorrow":  func(_ *harness, v []byte) ([]byte, []byte) { v[40] = 0x70; return state.AnswerKey(1), v },
	} {
		h := open(t, 512)
		many(h, 5)
		v, err := h.s.Record(state.AnswerKey(1))
		if err != nil || len(v) == 0 {
			t.Fatal(v, err)
		}
		h.plant(damage(h, v))
		if _, err := state.Open("db", h.opts); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer that does not decode stops the state machine when it is asked for.
func TestDuplicate_DamagedAnswerFailsStop(t *testing.T) {
	h := open(t, 512)
	id := many(h, 3)
	v, err := h.s.Record(state.AnswerKey(0))
	if err != nil {
		t.Fatal(err)
	}
	v[48] = 99 // the version of the result
	if err := h.s.SetRecord(state.AnswerKey(0), v); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tryApply(h.callAs(id, vfs.Root, idle(h))); !errors.Is(err, vfs.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// The log ages by what a leader saw go by in its term. Between two terms there
// may be any difference of clocks, and no answer is forgotten for it; nor does a
// restart change how old the log is.
func TestDuplicate_AgeStandsBetweenTerms(t *testing.T) {
	h := open(t, 512)
	oldest := many(h, duplicate.ClientRecords+1) // with one more than stay by number
	kept := func(term uint64, passes vfs.Time, want bool) {
		t.Helper()
		h.term = term
		h.clock += passes
		h.apply(h.callAs(vfs.CallID{}, vfs.Root, idle(h)))
		h.reopen()
		if got := h.s.Duplicates().Records >= duplicate.ClientRecords+1; got != want {
			t.Fatalf("term %d: the oldest answer is kept: %t, want %t", term, got, want)
		}
	}
	hour := 30 * duplicate.Life
	kept(2, hour, true)                // a leader whose clock is ahead
	kept(3, -hour, true)               // one whose clock is right
	kept(4, hour, true)                // the first again
	kept(4, duplicate.Life*9/10, true) // and what goes by then counts
	kept(5, hour, true)
	kept(5, duplicate.Life/5, false)
	if !ran(h, oldest) {
		t.Error("the oldest call did not run anew")
	}
	h.check()
}
