package modelfs_test

import (
	"testing"

	"twofold/replica/vfs"
)

func ren(from vfs.Ref, fromName string, to vfs.Ref, toName string) *vfs.OpRename {
	return &vfs.OpRename{FromDir: from, FromName: fromName, ToDir: to, ToName: toName}
}

func TestRename_Verdicts(t *testing.T) {
	v := newVolume(t)
	a := v.mkdir(vfs.Root, root, "a", 0o755)
	b := v.mkdir(vfs.Root, a, "b", 0o755)
	c := v.mkdir(vfs.Root, b, "c", 0o755)
	v.mkdir(vfs.Root, root, "empty", 0o755)
	v.create(vfs.Root, root, "f", 0o644)
	for _, tt := range []struct {
		name string
		op   *vfs.OpRename
		want vfs.Kind
	}{
		{"no source", ren(root, "none", root, "x"), vfs.NotExist},
		{"file over directory", ren(root, "f", root, "empty"), vfs.IsDir},
		{"directory over file", ren(root, "empty", root, "f"), vfs.NotDir},
		{"directory over a full one", ren(root, "empty", a, "b"), vfs.NotEmpty},
		{"over an ancestor", ren(b, "c", root, "a"), vfs.NotEmpty},
		{"into itself", ren(root, "a", a, "x"), vfs.Invalid},
		{"below itself", ren(root, "a", c, "x"), vfs.Invalid},
		{"over itself", ren(root, "a", root, "a"), vfs.OK},
		{"a file over itself", ren(root, "f", root, "f"), vfs.OK},
		{"in no directory", ren(vfs.Ref{Ino: 77}, "f", root, "x"), vfs.Stale},
		{"to no directory", ren(root, "f", vfs.Ref{Ino: 77}, "x"), vfs.Stale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mtime := v.attr(root).Mtime
			volume{t, v.fs}.want(vfs.Root, tt.op, tt.want)
			if got := v.attr(root).Mtime; got != mtime {
				t.Errorf("mtime of the directory moved from %d to %d", mtime, got)
			}
		})
	}
}

func TestRename_DirectoryOverEmptyDirectoryMovesLinks(t *testing.T) {
	v := newVolume(t)
	a := v.mkdir(vfs.Root, root, "a", 0o755)
	b := v.mkdir(vfs.Root, root, "b", 0o755)
	moved := v.mkdir(vfs.Root, a, "moved", 0o755)
	gone := v.mkdir(vfs.Root, b, "gone", 0o755)
	r := v.want(vfs.Root, ren(a, "moved", b, "gone"), vfs.OK)
	if na, nb := v.attr(a).Nlink, v.attr(b).Nlink; na != 2 || nb != 3 {
		t.Errorf("links: a %d, b %d", na, nb)
	}
	v.want(vfs.Root, &vfs.OpSetAttr{Ref: gone}, vfs.Stale)
	if up := v.lookup(vfs.Root, moved, ".."); up.Attr.Ref != b {
		t.Errorf(".. is %v, want %v", up.Attr.Ref, b)
	}
	now := v.attr(moved).Ctime
	for i, w := range r.WCC {
		if !w.HasBefore || !w.HasAfter || w.After.Mtime != now || w.After.Ctime != now {
			t.Errorf("wcc %d: %+v", i, w)
		}
	}
	v.want(vfs.Root, ren(b, "gone", root, "top"), vfs.OK)
	if n := v.attr(root).Nlink; n != 5 {
		t.Errorf("root has %d links, want 5", n)
	}
}

func TestRename_FileOverFile(t *testing.T) {
	v := newVolume(t)
	f := v.create(vfs.Root, root, "f", 0)
	g := v.create(vfs.Root, root, "g", 0)
	v.want(vfs.Root, &vfs.OpLink{Ref: g, Dir: root, Name: "g2"}, vfs.OK)
	old := v.attr(g).Ctime
	v.want(vfs.Root, ren(root, "f", root, "g"), vfs.OK)
	if r := v.lookup(vfs.Root, root, "g"); r.Attr.Ref != f {
		t.Errorf("g is %v, want %v", r.Attr.Ref, f)
	}
	if r := v.lookup(vfs.Root, root, "f"); r.Kind != vfs.NotExist {
		t.Errorf("f: %v", r.Kind)
	}
	if a := v.attr(g); a.Nlink != 1 || a.Ctime <= old {
		t.Errorf("the replaced inode: %+v", a)
	}
}

func TestRename_OverHardLinkToItselfKeepsBoth(t *testing.T) {
	v := newVolume(t)
	f := v.create(vfs.Root, root, "f", 0)
	v.want(vfs.Root, &vfs.OpLink{Ref: f, Dir: root, Name: "g"}, vfs.OK)
	old := v.attr(f)
	v.want(vfs.Root, ren(root, "f", root, "g"), vfs.OK)
	if a := v.attr(f); a != old {
		t.Errorf("changed from %+v to %+v", old, a)
	}
	for _, name := range []string{"f", "g"} {
		if r := v.lookup(vfs.Root, root, name); r.Attr.Ref != f {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRename_MovedDirectoryMustBeWritable(t *testing.T) {
	v := newVolume(t)
	d := v.mkdir(alice, root, "d", 0o777)
	v.mkdir(alice, root, "m", 0o555)
	v.want(alice, ren(root, "m", d, "m"), vfs.Access)
	v.want(alice, ren(root, "m", root, "n"), vfs.OK)
	v.want(vfs.Root, ren(root, "n", d, "n"), vfs.OK)
	closed := v.mkdir(alice, root, "closed", 0o755)
	v.create(bob, root, "f", 0)
	v.want(bob, ren(root, "f", closed, "f"), vfs.Access)
	v.create(alice, closed, "g", 0)
	v.want(bob, ren(closed, "g", root, "g"), vfs.Access)
}
