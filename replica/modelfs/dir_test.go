package modelfs_test

import (
	"fmt"
	"strings"
	"testing"

	"twofold/replica/vfs"
)

func TestNames_RefusedAsTheKernelDoes(t *testing.T) {
	v := newVolume(t)
	file := v.create(vfs.Root, root, "file", 0o644)
	ops := map[string]func(name string) vfs.Op{
		"create":      func(n string) vfs.Op { return &vfs.OpCreate{Dir: root, Name: n} },
		"mkdir":       func(n string) vfs.Op { return &vfs.OpMkdir{Dir: root, Name: n} },
		"symlink":     func(n string) vfs.Op { return &vfs.OpSymlink{Dir: root, Name: n, Target: "x"} },
		"mknod":       func(n string) vfs.Op { return &vfs.OpMknod{Dir: root, Name: n, Type: vfs.TypeFifo} },
		"link":        func(n string) vfs.Op { return &vfs.OpLink{Ref: file, Dir: root, Name: n} },
		"remove":      func(n string) vfs.Op { return &vfs.OpRemove{Dir: root, Name: n} },
		"rmdir":       func(n string) vfs.Op { return &vfs.OpRmdir{Dir: root, Name: n} },
		"rename from": func(n string) vfs.Op { return &vfs.OpRename{FromDir: root, FromName: n, ToDir: root, ToName: "y"} },
		"rename to":   func(n string) vfs.Op { return &vfs.OpRename{FromDir: root, FromName: "file", ToDir: root, ToName: n} },
	}
	names := map[string]string{"empty": "", "dot": ".", "dotdot": "..", "slash": "a/b", "nul": "a\x00b", "long": strings.Repeat("n", vfs.MaxName+1)}
	dots := map[string]vfs.Kind{
		"create": vfs.Exist, "mkdir": vfs.Exist, "symlink": vfs.Exist, "mknod": vfs.Exist, "link": vfs.Exist,
		"remove": vfs.Access, "rmdir": vfs.Access, "rename from": vfs.Perm, "rename to": vfs.Perm,
	}
	empties := map[string]vfs.Kind{"symlink": vfs.NotExist, "link": vfs.Perm, "rename from": vfs.Perm, "rename to": vfs.Perm}
	for opName, op := range ops {
		for nameName, name := range names {
			want := vfs.Access
			switch nameName {
			case "dot", "dotdot":
				want = dots[opName]
			case "long":
				want = vfs.NameTooLong
			case "empty":
				if k, ok := empties[opName]; ok {
					want = k
				}
			}
			if got := v.do(vfs.Root, op(name)); got.Kind != want {
				t.Errorf("%s of %s: got %q, want %q", opName, nameName, got.Kind, want)
			}
		}
	}
	if n := len(v.list(root, 0, 100).Entries); n != 3 {
		t.Errorf("a refused name was made: %d entries", n)
	}
	v.create(vfs.Root, root, strings.Repeat("n", vfs.MaxName), 0)
	v.create(vfs.Root, root, "\xff\xfe not UTF-8", 0)
}

func TestRemove_CountsAndTimes(t *testing.T) {
	v := newVolume(t)
	d := v.mkdir(vfs.Root, root, "d", 0o755)
	f := v.create(vfs.Root, d, "f", 0o644)
	v.want(vfs.Root, &vfs.OpLink{Ref: f, Dir: d, Name: "g"}, vfs.OK)
	if a := v.attr(f); a.Nlink != 2 || a.Ctime != v.attr(d).Mtime {
		t.Errorf("after link: nlink %d, ctime %d, directory's mtime %d", a.Nlink, a.Ctime, v.attr(d).Mtime)
	}
	v.want(vfs.Root, &vfs.OpRmdir{Dir: d, Name: "f"}, vfs.NotDir)
	v.want(vfs.Root, &vfs.OpRemove{Dir: root, Name: "d"}, vfs.IsDir)
	v.want(vfs.Root, &vfs.OpRmdir{Dir: root, Name: "d"}, vfs.NotEmpty)
	old := v.attr(f)
	r := v.want(vfs.Root, &vfs.OpRemove{Dir: d, Name: "f"}, vfs.OK)
	a := v.attr(f)
	if a.Nlink != 1 || a.Ctime <= old.Ctime || a.Mtime != old.Mtime {
		t.Errorf("after remove: %+v", a)
	}
	if w := r.WCC[0]; !w.HasBefore || !w.HasAfter || w.After.Mtime != a.Ctime || w.After.Ctime != a.Ctime || w.Before.Ctime >= a.Ctime {
		t.Errorf("wcc of the directory: %+v", w)
	}
	v.want(vfs.Root, &vfs.OpRemove{Dir: d, Name: "g"}, vfs.OK)
	v.want(vfs.Root, &vfs.OpSetAttr{Ref: f}, vfs.Stale)
	if n := v.attr(root).Nlink; n != 3 {
		t.Errorf("root has %d links", n)
	}
	v.want(vfs.Root, &vfs.OpRmdir{Dir: root, Name: "d"}, vfs.OK)
	if n := v.attr(root).Nlink; n != 2 {
		t.Errorf("root has %d links after rmdir", n)
	}
	v.want(vfs.Root, &vfs.OpCreate{Dir: d, Name: "x"}, vfs.Stale)
	if n := v.mkdir(vfs.Root, root, "e", 0).Ino; n <= f.Ino {
		t.Errorf("inode number %d was reused", n)
	}
}

func TestSticky_OnlyOwnersRemoveAndRename(t *testing.T) {
	v := newVolume(t)
	tmp := v.mkdir(vfs.Root, root, "tmp", 0o1777)
	v.want(vfs.Root, &vfs.OpSetAttr{Ref: tmp, Set: vfs.SetAttr{Mask: vfs.SetUID, UID: carol.UID}}, vfs.OK)
	v.create(alice, tmp, "a", 0o666)
	v.create(bob, tmp, "b", 0o666)
	v.want(bob, &vfs.OpRemove{Dir: tmp, Name: "a"}, vfs.Perm)
	v.want(bob, &vfs.OpRename{FromDir: tmp, FromName: "a", ToDir: root, ToName: "a"}, vfs.Perm)
	v.want(bob, &vfs.OpRename{FromDir: tmp, FromName: "b", ToDir: tmp, ToName: "a"}, vfs.Perm)
	v.want(alice, &vfs.OpRename{FromDir: tmp, FromName: "a", ToDir: tmp, ToName: "a2"}, vfs.OK)
	v.want(carol, &vfs.OpRemove{Dir: tmp, Name: "a2"}, vfs.OK)
	v.want(vfs.Root, &vfs.OpRemove{Dir: tmp, Name: "b"}, vfs.OK)
}

func TestLink_Refusals(t *testing.T) {
	v := newVolume(t)
	d := v.mkdir(vfs.Root, root, "d", 0o755)
	f := v.create(alice, root, "f", 0o600)
	r := v.want(vfs.Root, &vfs.OpLink{Ref: d, Dir: root, Name: "e"}, vfs.IsDir)
	if !r.HasAttr || r.Attr.Ref != d || !r.WCC[0].HasAfter {
		t.Errorf("a failed link must bring attributes of both: %+v", r)
	}
	v.want(vfs.Root, &vfs.OpLink{Ref: f, Dir: root, Name: "d"}, vfs.Exist)
	v.want(bob, &vfs.OpLink{Ref: f, Dir: d, Name: "x"}, vfs.Access)
	v.want(vfs.Root, &vfs.OpLink{Ref: vfs.Ref{Ino: 99}, Dir: d, Name: "x"}, vfs.Stale)
	v.want(vfs.Root, &vfs.OpLink{Ref: f, Dir: f, Name: "x"}, vfs.NotDir)
	v.want(bob, &vfs.OpLink{Ref: f, Dir: root, Name: "x"}, vfs.OK)
}

func TestReadDir_CookiesCountUp(t *testing.T) {
	v := newVolume(t)
	for i := range 5 {
		v.create(vfs.Root, root, fmt.Sprint("f", i), 0)
	}
	v.want(vfs.Root, &vfs.OpRemove{Dir: root, Name: "f1"}, vfs.OK)
	v.want(vfs.Root, &vfs.OpRename{FromDir: root, FromName: "f0", ToDir: root, ToName: "g"}, vfs.OK)
	v.want(vfs.Root, &vfs.OpRename{FromDir: root, FromName: "f4", ToDir: root, ToName: "f2"}, vfs.OK)
	want := []string{". 1", ".. 2", "f2 5", "f3 6", "g 8"}
	var got []string
	for after, eof := vfs.Cookie(0), false; !eof; {
		r := v.list(root, after, 2)
		for _, e := range r.Entries {
			got = append(got, fmt.Sprint(e.Name, " ", e.Cookie))
			after = e.Cookie
			if e.Attr.Ino != e.Ino {
				t.Errorf("entry %q has inode %d and attributes of %d", e.Name, e.Ino, e.Attr.Ino)
			}
		}
		eof = r.EOF
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r := v.list(root, 1<<62, 2); len(r.Entries) != 0 || !r.EOF {
		t.Errorf("past the end: %+v", r)
	}
}

func TestLookup_DotsAndPermission(t *testing.T) {
	v := newVolume(t)
	d := v.mkdir(alice, root, "d", 0o700)
	v.mkdir(alice, d, "e", 0o700)
	if r := v.lookup(vfs.Root, root, ".."); r.Attr.Ino != vfs.RootIno {
		t.Errorf("root/..: %+v", r)
	}
	if r := v.lookup(alice, d, ".."); r.Attr.Ino != vfs.RootIno {
		t.Errorf("d/..: %+v", r)
	}
	if r := v.lookup(alice, d, "."); r.Attr.Ref != d {
		t.Errorf("d/.: %+v", r)
	}
	if r := v.lookup(bob, d, "e"); r.Kind != vfs.Access || !r.HasDir {
		t.Errorf("without permission: %+v", r)
	}
	if r := v.lookup(alice, d, "none"); r.Kind != vfs.NotExist || !r.HasDir {
		t.Errorf("no such name: %+v", r)
	}
	if r := v.lookup(vfs.Root, v.create(vfs.Root, d, "f", 0), "x"); r.Kind != vfs.NotDir {
		t.Errorf("in a file: %+v", r)
	}
}
