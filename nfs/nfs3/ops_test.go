package nfs3_test

import (
	"math"
	"reflect"
	"testing"

	"twofold/replica/vfs"
)

// What the volume is asked for is what the arguments say, and no more: file
// type bits and sizes that make no sense are gone.
func TestOps(t *testing.T) {
	fs := &oddFS{}
	p := newProgram(t, fs)
	full := sattr{"mode": 0o107777, "uid": 1, "gid": 2, "size": 3, "atime": 5e9 + 6, "mtime": -1}
	set := vfs.SetAttr{
		Mask: vfs.SetMode | vfs.SetUID | vfs.SetGID | vfs.SetSize | vfs.SetAtime | vfs.SetMtimeServer,
		Mode: 0o7777, UID: 1, GID: 2, Size: 3, Atime: 5e9 + 6,
	}
	noSize := set
	noSize.Mask &^= vfs.SetSize
	for _, c := range []struct {
		name string
		proc uint32
		args []byte
		want vfs.Op
	}{
		{"SETATTR", procSetattr, enc(fileRef, full, true, vfs.Time(7e9+8)),
			&vfs.OpSetAttr{Ref: fileRef, Set: set, HasGuard: true, Guard: 7e9 + 8}},
		{"SETATTR of nothing", procSetattr, enc(fileRef, sattr{}, false), &vfs.OpSetAttr{Ref: fileRef}},
		{"WRITE", procWrite, enc(fileRef, uint64(1<<40), 3, 0, "abc"),
			&vfs.OpWrite{Ref: fileRef, Offset: 1 << 40, Data: []byte("abc")}},
		{"CREATE UNCHECKED", procCreate, enc(dirRef, "x", 0, full),
			&vfs.OpCreate{Dir: dirRef, Name: "x", Mode: vfs.CreateUnchecked, Set: set}},
		{"CREATE GUARDED", procCreate, enc(dirRef, "x", 1, sattr{}),
			&vfs.OpCreate{Dir: dirRef, Name: "x", Mode: vfs.CreateGuarded}},
		{"CREATE EXCLUSIVE", procCreate, enc(dirRef, "x", 2, verf),
			&vfs.OpCreate{Dir: dirRef, Name: "x", Mode: vfs.CreateExclusive, Verf: verf}},
		{"MKDIR", procMkdir, enc(dirRef, "x", full), &vfs.OpMkdir{Dir: dirRef, Name: "x", Set: noSize}},
		{"SYMLINK", procSymlink, enc(dirRef, "x", full, "a/b"),
			&vfs.OpSymlink{Dir: dirRef, Name: "x", Set: noSize, Target: "a/b"}},
		{"MKNOD fifo", procMknod, enc(dirRef, "x", 7, full),
			&vfs.OpMknod{Dir: dirRef, Name: "x", Type: vfs.TypeFifo, Set: noSize}},
		{"MKNOD device", procMknod, enc(dirRef, "x", 4, full, 4095, 1<<20-1),
			&vfs.OpMknod{Dir: dirRef, Name: "x", Type: vfs.TypeChr, Set: noSize, Rdev: vfs.Device{Major: 4095, Minor: 1<<20 - 1}}},
		{"REMOVE", procRemove, enc(dirRef, "\xff"), &vfs.OpRemove{Dir: dirRef, Name: "\xff"}},
		{"RMDIR", procRmdir, enc(dirRef, "..."), &vfs.OpRmdir{Dir: dirRef, Name: "..."}},
		{"RENAME", procRename, enc(dirRef, "x", rootRef, "y"),
			&vfs.OpRename{FromDir: dirRef, FromName: "x", ToDir: rootRef, ToName: "y"}},
		{"LINK", procLink, enc(fileRef, dirRef, "x"), &vfs.OpLink{Ref: fileRef, Dir: dirRef, Name: "x"}},
	} {
		if _, err := serve(t, p, user(12), c.proc, c.args); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !reflect.DeepEqual(fs.op, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, fs.op, c.want)
		}
		if want := (vfs.Cred{UID: 12, GID: 12}); !reflect.DeepEqual(fs.last.Cred, want) {
			t.Errorf("%s: as %+v, want %+v", c.name, fs.last.Cred, want)
		}
	}
}

// Offsets and sizes from the wire are bounded before the volume sees them.
func TestReads_Bounded(t *testing.T) {
	fs := &oddFS{}
	p := newProgram(t, fs)
	if _, err := serve(t, p, root(), procRead, enc(fileRef, uint64(math.MaxUint64), -1)); err != nil {
		t.Fatal(err)
	}
	if fs.off != math.MaxInt64 || fs.limit != vfs.MaxIO {
		t.Errorf("READ of %d bytes at %d", fs.limit, fs.off)
	}
	for _, c := range []struct{ count, limit int }{
		{-1, 4096},          // the most that is asked for at once
		{0, 1},              // the directory may be at its end
		{104 + 2*28 + 5, 2}, // two of the smallest entries
	} {
		if _, err := serve(t, p, root(), procReaddir, enc(rootRef, uint64(0), verf, c.count)); err != nil {
			t.Fatal(err)
		}
		if fs.limit != c.limit {
			t.Errorf("READDIR of %d bytes asks for %d entries, want %d", c.count, fs.limit, c.limit)
		}
	}
}

// Times before 1970 have no place on the wire; they lose their upper bits, and
// their nanoseconds stay nanoseconds.
func TestGetattr_TimesOutOfRange(t *testing.T) {
	fs := &oddFS{attr: vfs.Attr{Atime: -1, Mtime: -1e9, Ctime: (1<<32 + 5) * 1e9}}
	b, err := serve(t, newProgram(t, fs), root(), procGetattr, enc(fileRef))
	if err != nil {
		t.Fatal(err)
	}
	want := enc(-1, 999_999_999, -1, 0, 5, 0)
	if got := b[len(b)-24:]; string(got) != string(want) {
		t.Errorf("times %x, want %x", got, want)
	}
}
