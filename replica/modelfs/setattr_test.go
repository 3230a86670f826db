package modelfs_test

import (
	"testing"

	"twofold/replica/vfs"
)

func TestSetAttr_Permission(t *testing.T) {
	owner := func(uid uint32) vfs.SetAttr { return vfs.SetAttr{Mask: vfs.SetUID, UID: uid} }
	group := func(gid uint32) vfs.SetAttr { return vfs.SetAttr{Mask: vfs.SetGID, GID: gid} }
	only := func(m vfs.SetMask) vfs.SetAttr { return vfs.SetAttr{Mask: m} }
	for _, tt := range []struct {
		name string
		mode uint32
		by   vfs.Cred
		set  vfs.SetAttr
		want vfs.Kind
	}{
		{"chmod by the owner", 0, alice, withMode(0o777), vfs.OK},
		{"chmod by another", 0o777, bob, withMode(0o777), vfs.Perm},
		{"chown by the owner", 0o777, alice, owner(bob.UID), vfs.Perm},
		{"chown by the owner to himself", 0o777, alice, owner(alice.UID), vfs.OK},
		{"chown by another to the owner", 0o777, bob, owner(alice.UID), vfs.Perm},
		{"chown by root", 0, vfs.Root, owner(bob.UID), vfs.OK},
		{"chgrp by the owner to his group", 0, alice, group(staff), vfs.OK},
		{"chgrp by the owner elsewhere", 0, alice, group(77), vfs.Perm},
		{"chgrp by a member who is not the owner", 0o777, bob, group(staff), vfs.Perm},
		{"chgrp by root", 0, vfs.Root, group(77), vfs.OK},
		{"explicit time by the owner", 0, alice, only(vfs.SetMtime), vfs.OK},
		{"explicit time by a writer", 0o777, bob, only(vfs.SetMtime), vfs.Perm},
		{"server time by the owner", 0, alice, only(vfs.SetAtimeServer | vfs.SetMtimeServer), vfs.OK},
		{"server time by a writer", 0o777, bob, only(vfs.SetAtimeServer | vfs.SetMtimeServer), vfs.OK},
		{"server time by a stranger", 0o744, bob, only(vfs.SetMtimeServer), vfs.Access},
		{"both kinds of time by a writer", 0o777, bob, only(vfs.SetAtime | vfs.SetMtimeServer), vfs.Perm},
		{"server time wins", 0o777, bob, only(vfs.SetMtime | vfs.SetMtimeServer), vfs.OK},
		{"nothing by anybody", 0, carol, only(0), vfs.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVolume(t)
			f := v.create(alice, root, "f", tt.mode)
			old := v.attr(f)
			r := v.want(tt.by, &vfs.OpSetAttr{Ref: f, Set: tt.set}, tt.want)
			if w := r.WCC[0]; !w.HasBefore || !w.HasAfter || w.Before.Ctime != old.Ctime || w.After != v.attr(f) {
				t.Errorf("wcc: %+v", w)
			}
			changes := tt.want == vfs.OK && tt.set.Mask != 0
			if moved := v.attr(f).Ctime > old.Ctime; moved != changes {
				t.Errorf("ctime moved: %v", moved)
			}
			if !changes && v.attr(f) != old {
				t.Errorf("a refused call changed %+v to %+v", old, v.attr(f))
			}
		})
	}
}

func TestSetAttr_SetgidAndSetuid(t *testing.T) {
	chown := vfs.SetAttr{Mask: vfs.SetUID, UID: bob.UID}
	both := vfs.SetAttr{Mask: vfs.SetUID | vfs.SetMode, UID: bob.UID, Mode: 0o6755}
	for _, tt := range []struct {
		name string
		gid  uint32
		mode uint32
		by   vfs.Cred
		set  vfs.SetAttr
		want uint32
	}{
		{"chmod by a member", staff, 0, alice, withMode(0o6755), 0o6755},
		{"chmod by an owner who is no member", 77, 0, alice, withMode(0o6755), 0o4755},
		{"chmod by root", 77, 0, vfs.Root, withMode(0o6755), 0o6755},
		{"chown by root", staff, 0o6755, vfs.Root, chown, 0o0755},
		{"chown without group execute", staff, 0o6745, vfs.Root, chown, 0o2745},
		{"chown and chmod", staff, 0, vfs.Root, both, 0o0755},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVolume(t)
			f := v.create(alice, root, "f", 0)
			v.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetGID, GID: tt.gid}}, vfs.OK)
			v.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: withMode(tt.mode)}, vfs.OK)
			if r := v.want(tt.by, &vfs.OpSetAttr{Ref: f, Set: tt.set}, vfs.OK); r.Attr.Mode != tt.want {
				t.Errorf("mode %o, want %o", r.Attr.Mode, tt.want)
			}
		})
	}
}

func TestSetAttr_Guard(t *testing.T) {
	v := newVolume(t)
	f := v.create(alice, root, "f", 0)
	ctime := v.attr(f).Ctime
	set := vfs.SetAttr{Mask: vfs.SetMtime, Mtime: 5}
	v.want(alice, &vfs.OpSetAttr{Ref: f, Set: set, HasGuard: true, Guard: ctime - 1}, vfs.NotSync)
	v.want(alice, &vfs.OpSetAttr{Ref: f, Set: set, HasGuard: true, Guard: ctime}, vfs.OK)
	if a := v.attr(f); a.Mtime != 5 || a.Ctime <= ctime {
		t.Errorf("%+v", a)
	}
	v.want(alice, &vfs.OpSetAttr{Ref: f, Set: set, HasGuard: true, Guard: ctime}, vfs.NotSync)
}

func TestSetAttr_SymlinkModeIsIgnored(t *testing.T) {
	v := newVolume(t)
	l := v.want(alice, &vfs.OpSymlink{Dir: root, Name: "l", Target: "x"}, vfs.OK).Attr
	v.want(alice, &vfs.OpSetAttr{Ref: l.Ref, Set: withMode(0)}, vfs.OK)
	if a := v.attr(l.Ref); a != l {
		t.Errorf("changed from %+v to %+v", l, a)
	}
}

func TestCtime_AlwaysIncreases(t *testing.T) {
	v := newVolume(t)
	f := v.create(alice, root, "f", 0o666)
	last := v.attr(f).Ctime
	for range 10 { // The clock stands still.
		a := v.want(bob, &vfs.OpWrite{Ref: f, Data: []byte("x")}, vfs.OK).Attr
		if a.Ctime <= last || a.Mtime != a.Ctime {
			t.Fatalf("ctime %d after %d, mtime %d", a.Ctime, last, a.Mtime)
		}
		last = a.Ctime
	}
}
