package state_test

import (
	"strings"
	"testing"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

var (
	alice = vfs.Cred{UID: 1000, GID: 100, Groups: []uint32{150}}
	bob   = vfs.Cred{UID: 1001, GID: 200}
)

// A name that cannot be one gets the kernel server's verdict per procedure.
func TestNames_Refused(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	long := strings.Repeat("n", vfs.MaxName+1)
	ops := map[string]func(name string) vfs.Op{
		"create":  func(n string) vfs.Op { return &vfs.OpCreate{Dir: h.root(), Name: n} },
		"mkdir":   func(n string) vfs.Op { return &vfs.OpMkdir{Dir: h.root(), Name: n} },
		"symlink": func(n string) vfs.Op { return &vfs.OpSymlink{Dir: h.root(), Name: n, Target: "t"} },
		"mknod":   func(n string) vfs.Op { return &vfs.OpMknod{Dir: h.root(), Name: n, Type: vfs.TypeFifo} },
		"remove":  func(n string) vfs.Op { return &vfs.OpRemove{Dir: h.root(), Name: n} },
		"rmdir":   func(n string) vfs.Op { return &vfs.OpRmdir{Dir: h.root(), Name: n} },
		"from": func(n string) vfs.Op {
			return &vfs.OpRename{FromDir: h.root(), FromName: n, ToDir: h.root(), ToName: "x"}
		},
		"to": func(n string) vfs.Op {
			return &vfs.OpRename{FromDir: h.root(), FromName: "f", ToDir: h.root(), ToName: n}
		},
		"link": func(n string) vfs.Op { return &vfs.OpLink{Ref: f, Dir: h.root(), Name: n} },
	}
	dots := map[string]vfs.Kind{
		"create": vfs.Exist, "mkdir": vfs.Exist, "symlink": vfs.Exist, "mknod": vfs.Exist, "link": vfs.Exist,
		"remove": vfs.Access, "rmdir": vfs.Access, "from": vfs.Perm, "to": vfs.Perm,
	}
	empty := map[string]vfs.Kind{"symlink": vfs.NotExist, "link": vfs.Perm, "from": vfs.Perm, "to": vfs.Perm}
	for what, op := range ops {
		h.want(vfs.Root, op("."), dots[what])
		h.want(vfs.Root, op(".."), dots[what])
		h.want(vfs.Root, op(long), vfs.NameTooLong)
		h.want(vfs.Root, op("a/b"), vfs.Access)
		h.want(vfs.Root, op("a\x00b"), vfs.Access)
		kind, special := empty[what]
		if !special {
			kind = vfs.Access
		}
		h.want(vfs.Root, op(""), kind)
	}
	for _, name := range []string{strings.Repeat("n", vfs.MaxName), "\xff\xfe", "...", " "} {
		h.create(h.root(), name, 0o644)
		if _, kind := h.lookup(h.root(), name); kind != vfs.OK {
			t.Errorf("name %q: %v", name, kind)
		}
	}
	h.check()
}

// The three modes of CREATE over what is there.
func TestCreate_Over(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	h.write(f, 0, "0123456789")
	h.mkdir(h.root(), "d", 0o755)
	h.want(vfs.Root, &vfs.OpCreate{Dir: h.root(), Name: "f", Mode: vfs.CreateGuarded}, vfs.Exist)
	h.want(vfs.Root, &vfs.OpCreate{Dir: h.root(), Name: "f", Mode: vfs.CreateExclusive}, vfs.Exist)
	for _, mode := range []vfs.CreateMode{vfs.CreateGuarded, vfs.CreateExclusive} {
		h.want(vfs.Root, &vfs.OpCreate{Dir: h.root(), Name: "d", Mode: mode}, vfs.Exist)
	}
	found := h.must(alice, &vfs.OpCreate{Dir: h.root(), Name: "d", Set: vfs.SetAttr{Mask: vfs.SetSize}})
	if found.Attr.Type != vfs.TypeDir || found.Attr.Size != vfs.DirSize {
		t.Errorf("unchecked over a directory: %+v", found.Attr)
	}
	// UNCHECKED takes nothing but the size, and needs leave for that only.
	set := vfs.SetAttr{Mask: vfs.SetMode | vfs.SetUID, Mode: 0o777, UID: 9}
	r := h.must(alice, &vfs.OpCreate{Dir: h.root(), Name: "f", Set: set})
	if r.Attr.Ref != f || r.Attr.Mode != 0o644 || r.Attr.UID != 0 || r.Attr.Size != 10 {
		t.Errorf("unchecked changed %+v", r.Attr)
	}
	set = vfs.SetAttr{Mask: vfs.SetSize, Size: 4}
	h.want(alice, &vfs.OpCreate{Dir: h.root(), Name: "f", Set: set}, vfs.Access)
	if r := h.must(vfs.Root, &vfs.OpCreate{Dir: h.root(), Name: "f", Set: set}); r.Attr.Size != 4 {
		t.Errorf("unchecked left %+v", r.Attr)
	}
}

// An EXCLUSIVE create that is sent again succeeds until the first SETATTR.
func TestCreate_Exclusive(t *testing.T) {
	h := open(t, 512)
	op := &vfs.OpCreate{Dir: h.root(), Name: "x", Mode: vfs.CreateExclusive, Verf: [8]byte{1, 2}}
	first := h.must(vfs.Root, op)
	h.write(first.Attr.Ref, 0, "early data")
	h.reopen()
	again := h.must(vfs.Root, op)
	if again.Attr.Ref != first.Attr.Ref || again.Attr.Size != 10 {
		t.Errorf("again: %+v", again.Attr)
	}
	other := *op
	other.Verf[7] = 1
	h.want(vfs.Root, &other, vfs.Exist)
	h.must(vfs.Root, &vfs.OpSetAttr{Ref: first.Attr.Ref, Set: modeSet(0o600)})
	h.want(vfs.Root, op, vfs.Exist)
}

// Owner, group and mode of a new object.
func TestCreate_Ownership(t *testing.T) {
	h := open(t, 512)
	plain := h.mkdir(h.root(), "plain", 0o777)
	inherit := h.mkdir(h.root(), "inherit", 0o777)
	h.must(vfs.Root, &vfs.OpSetAttr{Ref: inherit, Set: vfs.SetAttr{Mask: vfs.SetMode | vfs.SetGID, Mode: 0o2777, GID: 200}})
	chosen := vfs.SetAttr{Mask: vfs.SetMode | vfs.SetUID | vfs.SetGID, Mode: 0o6775, UID: 7, GID: 8}
	type owner struct{ uid, gid, mode uint32 }
	for _, tc := range []struct {
		name string
		cred vfs.Cred
		op   vfs.Op
		want owner
	}{
		{"own group", alice, &vfs.OpCreate{Dir: plain, Name: "1", Set: chosen}, owner{1000, 100, 0o6775}},
		{"root chooses", vfs.Root, &vfs.OpCreate{Dir: plain, Name: "2", Set: chosen}, owner{7, 8, 0o775}},
		{"inherited, setgid lost", alice, &vfs.OpCreate{Dir: inherit, Name: "1", Set: chosen}, owner{1000, 200, 0o4775}},
		{"inherited, in group", bob, &vfs.OpCreate{Dir: inherit, Name: "2", Set: chosen}, owner{1001, 200, 0o6775}},
		{"directory inherits the bit", alice, &vfs.OpMkdir{Dir: inherit, Name: "3", Set: chosen}, owner{1000, 200, 0o2775}},
		{"directory without", alice, &vfs.OpMkdir{Dir: plain, Name: "3", Set: chosen}, owner{1000, 100, 0o775}},
		{"no mode", alice, &vfs.OpCreate{Dir: plain, Name: "4"}, owner{1000, 100, 0}},
		{"symlink", alice, &vfs.OpSymlink{Dir: plain, Name: "5", Target: "t", Set: chosen}, owner{1000, 100, 0o777}},
	} {
		a := h.must(tc.cred, tc.op).Attr
		if got := (owner{a.UID, a.GID, a.Mode}); got != tc.want {
			t.Errorf("%s: got %o, want %o", tc.name, got, tc.want)
		}
	}
	h.want(alice, &vfs.OpMknod{Dir: plain, Name: "dev", Type: vfs.TypeChr}, vfs.Perm)
	h.want(alice, &vfs.OpMknod{Dir: plain, Name: "reg", Type: vfs.TypeReg}, vfs.BadType)
	h.must(alice, &vfs.OpMknod{Dir: plain, Name: "fifo", Type: vfs.TypeFifo})
	a := h.must(vfs.Root, &vfs.OpMknod{Dir: plain, Name: "dev", Type: vfs.TypeBlk, Rdev: vfs.Device{Major: 8, Minor: 1}}).Attr
	h.reopen()
	if got := h.attr(a.Ref); got.Rdev != (vfs.Device{Major: 8, Minor: 1}) || got != a {
		t.Errorf("device: %+v", got)
	}
}

// Removal: verdicts in the kernel's order, and what becomes of the inode.
func TestRemove(t *testing.T) {
	h := open(t, 512)
	sticky := h.mkdir(h.root(), "tmp", 0o1777)
	f := h.createAs(alice, sticky, "f", 0o644)
	d := h.mkdir(sticky, "d", 0o777)
	h.createAs(bob, d, "inner", 0o644)
	h.want(bob, &vfs.OpRemove{Dir: h.root(), Name: "nothing"}, vfs.Access)
	h.want(bob, &vfs.OpRemove{Dir: sticky, Name: "nothing"}, vfs.NotExist)
	h.want(bob, &vfs.OpRemove{Dir: sticky, Name: "f"}, vfs.Perm)
	h.want(bob, &vfs.OpRmdir{Dir: sticky, Name: "d"}, vfs.Perm)
	h.want(vfs.Root, &vfs.OpRemove{Dir: sticky, Name: "d"}, vfs.IsDir)
	h.want(vfs.Root, &vfs.OpRmdir{Dir: sticky, Name: "f"}, vfs.NotDir)
	h.want(vfs.Root, &vfs.OpRmdir{Dir: sticky, Name: "d"}, vfs.NotEmpty)
	h.want(vfs.Root, &vfs.OpRemove{Dir: f, Name: "f"}, vfs.NotDir)

	h.must(vfs.Root, &vfs.OpLink{Ref: f, Dir: h.root(), Name: "second"})
	before := h.attr(f)
	h.must(alice, &vfs.OpRemove{Dir: sticky, Name: "f"})
	if a := h.attr(f); a.Nlink != 1 || a.Ctime <= before.Ctime || a.Mtime != before.Mtime {
		t.Errorf("one name left: %+v", a)
	}
	h.must(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: "second"})
	if r, err := h.s.GetAttr(f); err != nil || r.Kind != vfs.Stale {
		t.Errorf("no name left: %v, %v", r.Kind, err)
	}
	h.must(vfs.Root, &vfs.OpRemove{Dir: d, Name: "inner"})
	up := h.attr(sticky)
	h.must(vfs.Root, &vfs.OpRmdir{Dir: sticky, Name: "d"})
	if a := h.attr(sticky); a.Nlink != up.Nlink-1 || a.Mtime <= up.Mtime || a.Ctime <= up.Ctime {
		t.Errorf("parent after rmdir: %+v", a)
	}
	h.want(vfs.Root, &vfs.OpCreate{Dir: d, Name: "in the dead"}, vfs.Stale)
	h.check()
}

func TestLink(t *testing.T) {
	h := open(t, 512)
	open := h.mkdir(h.root(), "open", 0o777)
	f := h.create(open, "f", 0o600)
	h.want(vfs.Root, &vfs.OpLink{Ref: open, Dir: h.root(), Name: "x"}, vfs.IsDir)
	h.want(vfs.Root, &vfs.OpLink{Ref: vfs.Ref{Ino: 99}, Dir: open, Name: "x"}, vfs.Stale)
	h.want(alice, &vfs.OpLink{Ref: f, Dir: h.root(), Name: "x"}, vfs.Access)
	h.want(alice, &vfs.OpLink{Ref: f, Dir: open, Name: "f"}, vfs.Exist)
	r := h.must(alice, &vfs.OpLink{Ref: f, Dir: open, Name: "g"})
	if !r.HasAttr || r.Attr.Nlink != 2 {
		t.Errorf("link: %+v", r)
	}
	if a, kind := h.lookup(open, "g"); kind != vfs.OK || a != r.Attr {
		t.Errorf("lookup: %+v, %v", a, kind)
	}
}

// The link limit holds for names of a file, in entries of many commands.
func TestLink_TooMany(t *testing.T) {
	h := openOn(t, roomyOptions(), 512)
	f := h.create(h.root(), "f", 0o600)
	var buf [4]byte
	for n := uint32(1); n < vfs.MaxLink; {
		var encs [][]byte
		for ; n < vfs.MaxLink && len(encs) < command.MaxBatchOps; n++ {
			name := "l" + string(append(buf[:0], 'a'+byte(n>>12&15), 'a'+byte(n>>8&15), 'a'+byte(n>>4&15), 'a'+byte(n&15)))
			encs = append(encs, h.command(vfs.Root, &vfs.OpLink{Ref: f, Dir: h.root(), Name: name}))
		}
		h.apply(encs...)
	}
	if a := h.attr(f); a.Nlink != vfs.MaxLink {
		t.Fatalf("nlink %d", a.Nlink)
	}
	h.want(vfs.Root, &vfs.OpLink{Ref: f, Dir: h.root(), Name: "more"}, vfs.TooManyLinks)
}

// Every case of RENAME that is refused, and that nothing then changes.
func TestRename_Refused(t *testing.T) {
	h := open(t, 512)
	a := h.mkdir(h.root(), "a", 0o777)
	b := h.mkdir(a, "b", 0o777)
	sticky := h.mkdir(h.root(), "tmp", 0o1777)
	h.create(h.root(), "f", 0o666)
	h.mkdir(h.root(), "empty", 0o755)
	h.create(sticky, "roots", 0o666)
	h.createAs(alice, sticky, "alices", 0o666)
	h.mkdir(a, "roots dir", 0o755)
	shut := h.mkdir(h.root(), "shut", 0o755)
	root := h.root()
	for _, tc := range []struct {
		name     string
		cred     vfs.Cred
		from     vfs.Ref
		fromName string
		to       vfs.Ref
		toName   string
		want     vfs.Kind
	}{
		{"no such name", vfs.Root, root, "none", root, "x", vfs.NotExist},
		{"into itself", vfs.Root, root, "a", a, "x", vfs.Invalid},
		{"into its own child", vfs.Root, root, "a", b, "x", vfs.Invalid},
		{"over its ancestor", vfs.Root, a, "b", root, "a", vfs.NotEmpty},
		{"file over ancestor", vfs.Root, root, "f", root, "a", vfs.IsDir},
		{"dir over full dir", vfs.Root, root, "empty", root, "a", vfs.NotEmpty},
		{"dir over file", vfs.Root, root, "empty", root, "f", vfs.NotDir},
		{"file over dir", vfs.Root, root, "f", root, "empty", vfs.IsDir},
		{"from where not allowed", alice, root, "f", a, "f", vfs.Access},
		{"to where not allowed", alice, a, "b", shut, "b", vfs.Access},
		{"sticky source", alice, sticky, "roots", a, "x", vfs.Perm},
		{"sticky target", bob, a, "b", sticky, "roots", vfs.Perm},
		{"sticky, before the type", bob, a, "b", sticky, "alices", vfs.Perm},
		{"dir not writable by the mover", alice, a, "roots dir", b, "x", vfs.Access},
		{"stale", vfs.Root, vfs.Ref{Ino: 99}, "a", root, "x", vfs.Stale},
		{"stale to", vfs.Root, root, "a", vfs.Ref{Ino: 99}, "x", vfs.Stale},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := h.tree()
			h.want(tc.cred, &vfs.OpRename{FromDir: tc.from, FromName: tc.fromName, ToDir: tc.to, ToName: tc.toName}, tc.want)
			if after := h.tree(); after != before {
				t.Errorf("changed:\n%s\n%s", before, after)
			}
		})
	}
	// Without a change of parent ".." stays, so the directory's mode does not matter.
	h.must(alice, &vfs.OpRename{FromDir: a, FromName: "roots dir", ToDir: a, ToName: "renamed"})
	h.check()
}

// Every case of RENAME that succeeds.
func TestRename_Done(t *testing.T) {
	h := open(t, 512)
	root := h.root()
	a, b := h.mkdir(root, "a", 0o755), h.mkdir(root, "b", 0o755)
	f, g := h.create(a, "f", 0o644), h.create(b, "g", 0o644)
	h.write(g, 0, "freed")
	rename := func(from vfs.Ref, name string, to vfs.Ref, toName string) vfs.Result {
		t.Helper()
		return h.must(vfs.Root, &vfs.OpRename{FromDir: from, FromName: name, ToDir: to, ToName: toName})
	}
	before := h.attr(f)
	r := rename(a, "f", b, "g")
	if x, _ := h.s.GetAttr(g); x.Kind != vfs.Stale {
		t.Errorf("replaced file: %v", x.Kind)
	}
	if x := h.attr(f); x.Ctime <= before.Ctime || x.Mtime != before.Mtime {
		t.Errorf("moved file: %+v", x)
	}
	for i := range r.WCC {
		if w := r.WCC[i]; !w.HasBefore || !w.HasAfter || w.After.Mtime <= w.Before.Mtime || w.After.Ctime <= w.Before.Ctime {
			t.Errorf("WCC[%d]: %+v", i, w)
		}
	}
	// Over itself and over another name of the same inode: nothing happens.
	h.must(vfs.Root, &vfs.OpLink{Ref: f, Dir: a, Name: "h"})
	tree := h.tree()
	rename(b, "g", b, "g")
	rename(b, "g", a, "h")
	if h.tree() != tree {
		t.Error("a rename of one inode over itself changed something")
	}
	// A directory moves, and replaces an empty one.
	sub, empty := h.mkdir(a, "sub", 0o755), h.mkdir(b, "empty", 0o755)
	h.create(sub, "inner", 0o644)
	rename(a, "sub", b, "empty")
	if x, _ := h.s.GetAttr(empty); x.Kind != vfs.Stale {
		t.Errorf("replaced directory: %v", x.Kind)
	}
	if up, _ := h.lookup(sub, ".."); up.Ino != b.Ino {
		t.Errorf("the moved directory's parent is %d, want %d", up.Ino, b.Ino)
	}
	if x, y := h.attr(a), h.attr(b); x.Nlink != 2 || y.Nlink != 3 {
		t.Errorf("nlink %d and %d, want 2 and 3", x.Nlink, y.Nlink)
	}
	h.check()
}

// tree describes every name and inode that can be reached.
func (h *harness) tree() string {
	var b strings.Builder
	var walk func(dir vfs.Ref, path string)
	walk = func(dir vfs.Ref, path string) {
		r, err := h.s.ReadDir(vfs.Root, dir, 0, true, 1000)
		if err != nil || r.Kind != vfs.OK {
			h.t.Fatal(r.Kind, err)
		}
		for _, e := range r.Entries {
			b.WriteString(strings.Join([]string{path, e.Name, attrString(e)}, " ") + "\n")
			if e.Attr.Type == vfs.TypeDir && e.Cookie >= vfs.CookieFirst {
				walk(e.Attr.Ref, path+"/"+e.Name)
			}
		}
	}
	walk(h.root(), "")
	return b.String()
}
