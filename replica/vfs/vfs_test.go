package vfs_test

import (
	"fmt"
	"testing"

	"twofold/replica/vfs"
)

func TestAllowed(t *testing.T) {
	owner, member, other := vfs.Cred{UID: 1, GID: 9}, vfs.Cred{UID: 2, GID: 9, Groups: []uint32{7}}, vfs.Cred{UID: 3, GID: 8}
	for _, c := range []struct {
		who  vfs.Cred
		typ  vfs.FileType
		mode uint32
		want vfs.Want
		ok   bool
		io   bool // for an open file
	}{
		{owner, vfs.TypeReg, 0o400, vfs.WantRead, true, true},
		{owner, vfs.TypeReg, 0o077, vfs.WantRead, false, true}, // the owner's class decides, but for I/O
		{owner, vfs.TypeDir, 0o077, vfs.WantRead, false, false},
		{member, vfs.TypeReg, 0o040, vfs.WantRead, true, true},
		{member, vfs.TypeReg, 0o704, vfs.WantRead, false, false}, // the group's class decides
		{member, vfs.TypeReg, 0o010, vfs.WantRead, false, true},  // who may execute may read
		{member, vfs.TypeReg, 0o010, vfs.WantWrite, false, false},
		{other, vfs.TypeReg, 0o006, vfs.WantRead | vfs.WantWrite, true, true},
		{other, vfs.TypeReg, 0o004, vfs.WantRead | vfs.WantWrite, false, false},
		{vfs.Root, vfs.TypeReg, 0, vfs.WantRead | vfs.WantWrite, true, true},
		{vfs.Root, vfs.TypeReg, 0o666, vfs.WantExec, false, false}, // root executes what somebody may
		{vfs.Root, vfs.TypeReg, 0o001, vfs.WantExec, true, true},
		{vfs.Root, vfs.TypeDir, 0, vfs.WantExec, true, true},
	} {
		a := &vfs.Attr{Type: c.typ, Mode: c.mode, UID: 1, GID: 7}
		if got := vfs.Allowed(c.who, a, c.want); got != c.ok {
			t.Errorf("Allowed(%+v, %o, %d) is %v", c.who, c.mode, c.want, got)
		}
		if got := vfs.AllowedIO(c.who, a, c.want); got != c.io {
			t.Errorf("AllowedIO(%+v, %o, %d) is %v", c.who, c.mode, c.want, got)
		}
	}
}

func TestKind_EachHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range vfs.Kinds() {
		if s := k.String(); s == "" || seen[s] || !k.Valid() {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if k := vfs.Kind(len(vfs.Kinds())); k.Valid() || k.String() != "unknown kind" {
		t.Errorf("kind %d is valid", k)
	}
}

func TestNeverProposed(t *testing.T) {
	for err, want := range map[error]bool{
		vfs.ErrBusy: true, vfs.ErrNoQuorum: true, vfs.ErrNotReady: true,
		vfs.ErrUnknownOutcome: false, vfs.ErrShutdown: false, vfs.ErrCorrupt: false,
	} {
		if got := vfs.NeverProposed(fmt.Errorf("store: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
