package state_test

import (
	"fmt"
	"strings"
	"testing"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

func attrString(e vfs.Dirent) string { return fmt.Sprintf("%d %+v", e.Cookie, e.Attr) }

// Writes around block boundaries read back with zeros in between.
func TestWrite_Placement(t *testing.T) {
	for _, bs := range []uint32{512, 16384} {
		h := open(t, bs)
		n := uint64(bs)
		f := h.create(h.root(), "f", 0o644)
		want := make([]byte, 5*n)
		for i, w := range []struct{ off, size uint64 }{
			{0, 10}, {5, 10}, {n - 3, 6}, {3 * n, n}, {2*n + 7, 1}, {n, n}, {0, 3 * n}, {4*n + 1, n - 1}, {n + 5, 2 * n},
		} {
			data := strings.Repeat(string(rune('a'+i)), int(w.size))
			copy(want[w.off:], data)
			r := h.write(f, w.off, data)
			size := r.Attr.Size
			if r.Count != uint32(w.size) || size < w.off+w.size {
				t.Errorf("write %+v: %+v", w, r)
			}
			if got := h.read(f, 0, int(6*n)); got != string(want[:size]) {
				t.Fatalf("block size %d, after %+v the content differs", bs, w)
			}
			h.check()
		}
		h.reopen()
		if got := h.read(f, 0, int(6*n)); got != string(want) {
			t.Error("after a restart the content differs")
		}
	}
}

// A hole costs nothing, and far offsets work up to the limit.
func TestWrite_HolesAndLimit(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	r := h.write(f, vfs.MaxFileSize-1, "x")
	if r.Attr.Size != vfs.MaxFileSize || r.Attr.Used != 512 {
		t.Errorf("size %d, used %d", r.Attr.Size, r.Attr.Used)
	}
	h.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: vfs.MaxFileSize, Data: []byte("y")}, vfs.TooBig)
	h.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: 1<<64 - 1, Data: []byte("y")}, vfs.TooBig)
	h.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: vfs.MaxFileSize + 1}}, vfs.TooBig)
	if got := h.read(f, vfs.MaxFileSize-4, 100); got != "\x00\x00\x00x" {
		t.Errorf("read %q", got)
	}
	h.truncate(f, 1<<40+1)
	if _, bytes := h.s.Stats(); bytes != 0 {
		t.Errorf("%d bytes stored after the only block was cut", bytes)
	}
	h.check()
}

// Cutting a file inside a block hides its tail for good.
func TestTruncate_TailIsZero(t *testing.T) {
	for _, sparse := range []bool{false, true} {
		h := open(t, 512)
		f := h.create(h.root(), "f", 0o644)
		h.write(f, 0, strings.Repeat("x", 2000))
		if sparse {
			h.write(f, 5000, "y")
		}
		h.truncate(f, 700)
		h.truncate(f, 1500)
		want := strings.Repeat("x", 700) + strings.Repeat("\x00", 800)
		if got := h.read(f, 0, 3000); got != want {
			t.Errorf("sparse %t: wrong content", sparse)
		}
		if _, bytes := h.s.Stats(); bytes != 700 {
			t.Errorf("sparse %t: %d bytes stored", sparse, bytes)
		}
		h.check()
		h.truncate(f, 0)
		if _, bytes := h.s.Stats(); bytes != 0 {
			t.Errorf("sparse %t: %d bytes stored at the end", sparse, bytes)
		}
		h.check()
	}
}

// Within one entry each command sees those before it: data that was cut does
// not come back, an inode that went is stale, a name can be used again.
func TestApply_LaterCommandsSeeEarlier(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	h.write(f, 0, strings.Repeat("old", 1000))
	size := func(n uint64) vfs.Op {
		return &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: n}}
	}
	ops := []vfs.Op{
		size(100), size(2000), &vfs.OpWrite{Ref: f, Offset: 1500, Data: []byte("new")}, size(1502), size(1600),
		&vfs.OpCreate{Dir: h.root(), Name: "g", Set: modeSet(0o600)},
		&vfs.OpRename{FromDir: h.root(), FromName: "g", ToDir: h.root(), ToName: "k"},
		&vfs.OpRemove{Dir: h.root(), Name: "k"},
		&vfs.OpMkdir{Dir: h.root(), Name: "g", Set: modeSet(0o700)},
	}
	var encs [][]byte
	for _, op := range ops {
		encs = append(encs, h.command(vfs.Root, op))
	}
	for i, r := range h.apply(encs...) {
		if r.Kind != vfs.OK {
			t.Errorf("%T: %v", ops[i], r.Kind)
		}
	}
	want := strings.Repeat("old", 34)[:100] + strings.Repeat("\x00", 1400) + "ne" + strings.Repeat("\x00", 98)
	if got := h.read(f, 0, 4000); got != want {
		t.Error("wrong content")
	}
	if a, kind := h.lookup(h.root(), "g"); kind != vfs.OK || a.Type != vfs.TypeDir {
		t.Errorf("g is %+v, %v", a, kind)
	}
	h.check()
	rs := h.apply(
		h.command(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: "f"}),
		h.command(vfs.Root, &vfs.OpWrite{Ref: f, Data: []byte("x")}))
	if rs[0].Kind != vfs.OK || rs[1].Kind != vfs.Stale {
		t.Errorf("write after remove: %v, %v", rs[0].Kind, rs[1].Kind)
	}
	h.check()
}

// Who may write, and what a write takes away.
func TestWrite_Permission(t *testing.T) {
	h := open(t, 512)
	dir := h.mkdir(h.root(), "d", 0o777)
	f := h.createAs(alice, dir, "f", 0o4750)
	data := func(ref vfs.Ref) vfs.Op { return &vfs.OpWrite{Ref: ref, Data: []byte("x")} }
	h.want(bob, data(f), vfs.Access)
	h.want(bob, data(dir), vfs.IsDir)
	link := h.must(vfs.Root, &vfs.OpSymlink{Dir: dir, Name: "l", Target: "t"}).Attr.Ref
	h.want(bob, data(link), vfs.Invalid)
	if r := h.must(vfs.Root, data(f)); r.Attr.Mode != 0o4750 {
		t.Errorf("root's write left mode %o", r.Attr.Mode)
	}
	if r := h.must(alice, data(f)); r.Attr.Mode != 0o750 {
		t.Errorf("the owner's write left mode %o", r.Attr.Mode)
	}
	for mode, want := range map[uint32]uint32{0o2770: 0o770, 0o2760: 0o2760, 0o6777: 0o777, 0o1777: 0o1777} {
		h.must(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: modeSet(mode)})
		if r := h.must(alice, data(f)); r.Attr.Mode != want {
			t.Errorf("mode %o became %o, want %o", mode, r.Attr.Mode, want)
		}
	}
	// The owner of an open file writes on, whatever the mode is now.
	h.must(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: modeSet(0)})
	h.must(alice, data(f))
	before := h.attr(f)
	if r := h.must(alice, &vfs.OpWrite{Ref: f, Offset: 50}); r.Attr != before {
		t.Errorf("a write of nothing changed %+v to %+v", before, r.Attr)
	}
}

// SETATTR's rules, one by one.
func TestSetAttr_Rules(t *testing.T) {
	const mine, other = 1000, 1001
	set := func(mask vfs.SetMask, mode, uid, gid uint32) vfs.SetAttr {
		return vfs.SetAttr{Mask: mask, Mode: mode, UID: uid, GID: gid, Atime: 1, Mtime: 2}
	}
	for _, tc := range []struct {
		name string
		cred vfs.Cred
		mode uint32 // of the file, which is alice's, group 100
		set  vfs.SetAttr
		want vfs.Kind
		left uint32 // mode after it
	}{
		{"chmod by owner", alice, 0o644, set(vfs.SetMode, 0o2755, 0, 0), vfs.OK, 0o2755},
		{"chmod by another", bob, 0o666, set(vfs.SetMode, 0o777, 0, 0), vfs.Perm, 0o666},
		{"chown by owner", alice, 0o644, set(vfs.SetUID, 0, other, 0), vfs.Perm, 0o644},
		{"chown to oneself clears", alice, 0o6755, set(vfs.SetUID, 0, mine, 0), vfs.OK, 0o755},
		{"chown by root clears", vfs.Root, 0o6755, set(vfs.SetUID, 0, other, 0), vfs.OK, 0o755},
		{"chown keeps lone setgid", vfs.Root, 0o6745, set(vfs.SetUID, 0, other, 0), vfs.OK, 0o2745},
		{"chgrp to own group", alice, 0o644, set(vfs.SetGID, 0, 0, 150), vfs.OK, 0o644},
		{"chgrp to foreign group", alice, 0o644, set(vfs.SetGID, 0, 0, 200), vfs.Perm, 0o644},
		{"chgrp by another", bob, 0o666, set(vfs.SetGID, 0, 0, 200), vfs.Perm, 0o666},
		{"utimes by another", bob, 0o666, set(vfs.SetAtime|vfs.SetMtime, 0, 0, 0), vfs.Perm, 0o666},
		{"touch by another who may write", bob, 0o666, set(vfs.SetAtimeServer|vfs.SetMtimeServer, 0, 0, 0), vfs.OK, 0o666},
		{"touch by another who may not", bob, 0o644, set(vfs.SetMtimeServer, 0, 0, 0), vfs.Access, 0o644},
		{"touch by owner", alice, 0, set(vfs.SetMtimeServer, 0, 0, 0), vfs.OK, 0},
		{"mixed times by another", bob, 0o666, set(vfs.SetAtime|vfs.SetMtimeServer, 0, 0, 0), vfs.Perm, 0o666},
		{"cut by another who may write", bob, 0o666, set(vfs.SetSize, 0, 0, 0), vfs.OK, 0o666},
		{"cut by another who may not", bob, 0o644, set(vfs.SetSize, 0, 0, 0), vfs.Access, 0o644},
		{"cut by owner", alice, 0, set(vfs.SetSize, 0, 0, 0), vfs.OK, 0},
		{"all or nothing", bob, 0o666, set(vfs.SetSize|vfs.SetMode, 0, 0, 0), vfs.Perm, 0o666},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := open(t, 512)
			dir := h.mkdir(h.root(), "d", 0o777)
			f := h.createAs(alice, dir, "f", tc.mode)
			h.must(vfs.Root, &vfs.OpWrite{Ref: f, Data: []byte("data")})
			before := h.attr(f)
			h.want(tc.cred, &vfs.OpSetAttr{Ref: f, Set: tc.set}, tc.want)
			after := h.attr(f)
			if after.Mode != tc.left {
				t.Errorf("mode %o, want %o", after.Mode, tc.left)
			}
			if changed := after.Ctime > before.Ctime; changed != (tc.want == vfs.OK) {
				t.Errorf("ctime went from %d to %d", before.Ctime, after.Ctime)
			}
			if tc.want != vfs.OK && after != before {
				t.Errorf("refused and changed:\n%+v\n%+v", before, after)
			}
		})
	}
}

// A mode loses setgid if its setter is not of the group the file then has.
func TestSetAttr_SetgidNeedsGroup(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	h.must(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetUID | vfs.SetGID, UID: 1000, GID: 200}})
	if r := h.must(alice, &vfs.OpSetAttr{Ref: f, Set: modeSet(0o2755)}); r.Attr.Mode != 0o755 {
		t.Errorf("mode %o", r.Attr.Mode)
	}
	set := vfs.SetAttr{Mask: vfs.SetMode | vfs.SetGID, Mode: 0o2745, GID: 150}
	if r := h.must(alice, &vfs.OpSetAttr{Ref: f, Set: set}); r.Attr.Mode != 0o2745 || r.Attr.GID != 150 {
		t.Errorf("mode %o, group %d", r.Attr.Mode, r.Attr.GID)
	}
}

func TestSetAttr_GuardAndTimes(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	now := h.attr(f).Ctime
	op := &vfs.OpSetAttr{Ref: f, HasGuard: true, Guard: now - 1, Set: vfs.SetAttr{
		Mask: vfs.SetAtime | vfs.SetMtime | vfs.SetMtimeServer, Atime: -9, Mtime: 4,
	}}
	h.want(vfs.Root, op, vfs.NotSync)
	op.Guard = now
	r := h.must(vfs.Root, op)
	if r.Attr.Atime != -9 || r.Attr.Mtime != r.Attr.Ctime || r.Attr.Ctime <= now {
		t.Errorf("times %+v", r.Attr)
	}
	// Nothing to set changes nothing; a size that stays still moves the times.
	if r := h.must(vfs.Root, &vfs.OpSetAttr{Ref: f}); r.WCC[0].After.Ctime != r.WCC[0].Before.Ctime {
		t.Error("an empty SETATTR moved the ctime")
	}
	before := h.attr(f)
	h.truncate(f, 0)
	if a := h.attr(f); a.Mtime <= before.Mtime || a.Ctime <= before.Ctime {
		t.Errorf("times after a truncation to the same size: %+v", a)
	}
	d := h.mkdir(h.root(), "d", 0o755)
	h.want(vfs.Root, &vfs.OpSetAttr{Ref: d, Set: vfs.SetAttr{Mask: vfs.SetSize}}, vfs.IsDir)
	l := h.must(vfs.Root, &vfs.OpSymlink{Dir: d, Name: "l", Target: "t"}).Attr
	if r := h.must(vfs.Root, &vfs.OpSetAttr{Ref: l.Ref, Set: modeSet(0)}); r.Attr != l {
		t.Errorf("chmod of a symlink changed %+v", r.Attr)
	}
}

// Time comes from the command, and never stands still or goes back.
func TestTime_Monotonic(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	last := h.attr(f).Ctime
	for _, clock := range []vfs.Time{t0 + 1_000_000, t0 + 1_000_000, t0 - 5_000_000, 0} {
		h.clock = clock
		a := h.write(f, 0, "x").Attr
		if a.Ctime <= last || a.Mtime != a.Ctime {
			t.Errorf("clock %d: ctime %d after %d", clock, a.Ctime, last)
		}
		last = a.Ctime
		h.reopen()
	}
	if last != t0+1_000_000+1+3 {
		t.Errorf("time came to %d", last)
	}
}

// With the proposer's verdict of no space, what needs space is refused and
// what frees it goes on.
func TestNoSpace(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	h.write(f, 0, strings.Repeat("x", 1000))
	sparse := h.create(h.root(), "sparse", 0o644)
	h.write(sparse, 1000, "tail")
	h.mkdir(h.root(), "d", 0o755)
	h.flags = command.FlagNoSpace
	root, size := h.root(), func(n uint64) vfs.Op {
		return &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: n}}
	}
	h.want(vfs.Root, &vfs.OpCreate{Dir: root, Name: "new"}, vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpMkdir{Dir: root, Name: "new"}, vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpSymlink{Dir: root, Name: "new", Target: "t"}, vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpMknod{Dir: root, Name: "new", Type: vfs.TypeFifo}, vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpLink{Ref: f, Dir: root, Name: "new"}, vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: 990, Data: make([]byte, 11)}, vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpWrite{Ref: sparse, Offset: 0, Data: []byte("hole")}, vfs.NoSpace)
	h.want(vfs.Root, size(1001), vfs.NoSpace)
	h.want(vfs.Root, &vfs.OpCreate{Dir: root, Name: "f", Mode: vfs.CreateGuarded}, vfs.Exist)
	h.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: 10, Data: make([]byte, 990)}, vfs.OK)
	h.want(vfs.Root, size(10), vfs.OK)
	h.want(vfs.Root, &vfs.OpCreate{Dir: root, Name: "f"}, vfs.OK)
	h.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: modeSet(0o600)}, vfs.OK)
	h.want(vfs.Root, &vfs.OpRename{FromDir: root, FromName: "f", ToDir: root, ToName: "g"}, vfs.OK)
	h.want(vfs.Root, &vfs.OpRemove{Dir: root, Name: "g"}, vfs.OK)
	h.want(vfs.Root, &vfs.OpRmdir{Dir: root, Name: "d"}, vfs.OK)
	h.check()
}

func TestSymlink(t *testing.T) {
	h := open(t, 512)
	link := func(target string) vfs.Op { return &vfs.OpSymlink{Dir: h.root(), Name: "l", Target: target} }
	h.want(vfs.Root, link(""), vfs.Invalid)
	h.want(vfs.Root, link("a\x00b"), vfs.Invalid)
	h.want(vfs.Root, link(strings.Repeat("t", vfs.MaxTarget+1)), vfs.NameTooLong)
	target := strings.Repeat("t", vfs.MaxTarget)
	l := h.must(vfs.Root, link(target)).Attr
	h.reopen()
	r, err := h.s.Readlink(bob, l.Ref)
	if err != nil || r.Kind != vfs.OK || r.Target != target || r.Attr.Size != vfs.MaxTarget || r.Attr.Mode != 0o777 {
		t.Errorf("readlink: %v, %v, %d bytes", r.Kind, err, len(r.Target))
	}
}

// A command for another volume must not touch this one.
func TestApply_OtherVolume(t *testing.T) {
	h := open(t, 512)
	enc, err := command.Append(nil, &command.Command{
		Header: command.Header{Volume: testVolume + 1}, Op: &vfs.OpMkdir{Dir: h.root(), Name: "d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	command.Seal(enc, t0, 1)
	if r := h.apply(enc)[0]; r.Kind != vfs.BadHandle {
		t.Errorf("got %v", r.Kind)
	}
}
