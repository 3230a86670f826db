package state_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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

// An answer lives for DuplicateLife at least, also over a jump of the clock, and
// is gone for good after a bounded number of lives.
func TestDuplicate_Life(t *testing.T) {
	h := open(t, 512)
	op := guarded(h, "f")
	first := h.apply(h.callAs(callID(1), vfs.Root, op))[0]
	h.clock += state.DuplicateLife - 1_000_000
	repeat(t, h, callID(1), op, first)
	h.clock += 100 * state.DuplicateLife // a clock that jumps far ahead
	repeat(t, h, callID(1), op, first)
	records := h.answers()
	h.clock += state.DuplicateLife
	h.do(vfs.Root, guarded(h, "other"))
	if r := h.apply(h.callAs(callID(1), vfs.Root, op))[0]; r.Kind != vfs.Exist {
		t.Errorf("after its life: %v, want Exist by running anew", r.Kind)
	}
	if now := h.answers(); now >= records+2 {
		t.Errorf("%d answers are kept, %d were: the old generation was not dropped", now, records)
	}
}

func (h *harness) answers() int {
	h.t.Helper()
	n, err := h.s.Answers()
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}
