package modelfs_test

import (
	"strings"
	"testing"

	"twofold/replica/vfs"
)

func TestWrite_PastEndAndHoles(t *testing.T) {
	v := newVolume(t)
	f := v.create(vfs.Root, root, "f", 0o644)
	const far = 1 << 40
	r := v.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: far - 2, Data: []byte("abcd")}, vfs.OK)
	if r.Count != 4 || r.Attr.Size != far+2 || r.Attr.Used != 2*4096 {
		t.Errorf("after the write: %+v", r)
	}
	if got, r := v.read(vfs.Root, f, far-3, 10); got != "\x00abcd" || !r.EOF {
		t.Errorf("read %q, eof %v", got, r.EOF)
	}
	if got, r := v.read(vfs.Root, f, 5, 3); got != "\x00\x00\x00" || r.EOF {
		t.Errorf("hole: %q, eof %v", got, r.EOF)
	}
	if got, r := v.read(vfs.Root, f, far*2, 3); got != "" || !r.EOF {
		t.Errorf("past the end: %q, eof %v", got, r.EOF)
	}
	v.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: vfs.MaxFileSize, Data: []byte("x")}, vfs.TooBig)
	v.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: 1<<64 - 1, Data: []byte("xy")}, vfs.TooBig)
	v.want(vfs.Root, &vfs.OpWrite{Ref: f, Offset: vfs.MaxFileSize - 1, Data: []byte("x")}, vfs.OK)
	v.want(vfs.Root, &vfs.OpWrite{Ref: f, Data: make([]byte, vfs.MaxIO+1)}, vfs.Invalid)
	old := v.attr(f)
	v.want(vfs.Root, &vfs.OpWrite{Ref: f}, vfs.OK)
	if v.attr(f) != old {
		t.Error("a write of nothing changed attributes")
	}
}

func TestTruncate_ShrinkThenGrowReadsZeros(t *testing.T) {
	v := newVolume(t)
	f := v.create(vfs.Root, root, "f", 0o644)
	v.want(vfs.Root, &vfs.OpWrite{Ref: f, Data: []byte(strings.Repeat("x", 10000))}, vfs.OK)
	for _, size := range []uint64{5000, 5010, 8192} {
		v.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: size}}, vfs.OK)
	}
	got, _ := v.read(vfs.Root, f, 4998, 20)
	if want := "xx" + strings.Repeat("\x00", 18); got != want {
		t.Errorf("got %q", got)
	}
	a := v.attr(f)
	if a.Size != 8192 || a.Used != 2*4096 {
		t.Errorf("size %d, used %d", a.Size, a.Used)
	}
	r := v.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: 8192}}, vfs.OK)
	if r.Attr.Mtime <= a.Mtime || r.WCC[0].Before.Mtime != a.Mtime {
		t.Error("setting the size it has must move mtime")
	}
	v.want(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: vfs.MaxFileSize + 1}}, vfs.TooBig)
	v.want(vfs.Root, &vfs.OpSetAttr{Ref: root, Set: vfs.SetAttr{Mask: vfs.SetSize}}, vfs.IsDir)
}

func TestIO_Permission(t *testing.T) {
	v := newVolume(t)
	f := v.create(alice, root, "f", 0)
	write := &vfs.OpWrite{Ref: f, Data: []byte("x")}
	v.want(alice, write, vfs.OK) // The owner passes, as an open file would.
	v.want(bob, write, vfs.Access)
	v.want(bob, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize}}, vfs.Access)
	if _, r := v.read(bob, f, 0, 1); r.Kind != vfs.Access || !r.HasAttr {
		t.Errorf("read: %+v", r)
	}
	v.want(alice, &vfs.OpSetAttr{Ref: f, Set: withMode(0o611)}, vfs.OK)
	if got, r := v.read(bob, f, 0, 1); got != "x" {
		t.Errorf("whoever may execute may read: %+v", r)
	}
	fifo := v.want(alice, &vfs.OpMknod{Dir: root, Name: "p", Type: vfs.TypeFifo, Set: withMode(0o666)}, vfs.OK).Attr
	if _, r := v.read(alice, fifo.Ref, 0, 1); r.Kind != vfs.Invalid {
		t.Errorf("read of a fifo: %v", r.Kind)
	}
	v.want(alice, &vfs.OpWrite{Ref: fifo.Ref, Data: []byte("x")}, vfs.Invalid)
	v.want(alice, &vfs.OpWrite{Ref: root, Data: []byte("x")}, vfs.IsDir)
}

func TestWrite_DropsPrivileges(t *testing.T) {
	for _, tt := range []struct {
		by         vfs.Cred
		mode, want uint32
	}{
		{alice, 0o6777, 0o0777},
		{alice, 0o6767, 0o2767},
		{bob, 0o4777, 0o0777},
		{vfs.Root, 0o6777, 0o6777},
	} {
		v := newVolume(t)
		f := v.create(alice, root, "f", tt.mode)
		if r := v.want(tt.by, &vfs.OpWrite{Ref: f, Data: []byte("x")}, vfs.OK); r.Attr.Mode != tt.want {
			t.Errorf("mode %o written by %d: got %o, want %o", tt.mode, tt.by.UID, r.Attr.Mode, tt.want)
		}
	}
}

func TestCreate_Modes(t *testing.T) {
	v := newVolume(t)
	verf, other := [8]byte{1}, [8]byte{2}
	exclusive := func(name string, verf [8]byte) *vfs.OpCreate {
		return &vfs.OpCreate{Dir: root, Name: name, Mode: vfs.CreateExclusive, Verf: verf}
	}
	made := v.want(alice, exclusive("x", verf), vfs.OK).Attr
	if again := v.want(alice, exclusive("x", verf), vfs.OK).Attr; again != made {
		t.Errorf("the same verifier: %+v, then %+v", made, again)
	}
	v.want(alice, exclusive("x", other), vfs.Exist)
	v.want(alice, &vfs.OpSetAttr{Ref: made.Ref, Set: withMode(0o600)}, vfs.OK)
	v.want(alice, exclusive("x", verf), vfs.Exist)

	f := v.create(alice, root, "f", 0o640)
	v.want(alice, &vfs.OpWrite{Ref: f, Data: []byte("data")}, vfs.OK)
	v.want(alice, &vfs.OpCreate{Dir: root, Name: "f", Mode: vfs.CreateGuarded}, vfs.Exist)
	old := v.attr(f)
	r := v.want(bob, &vfs.OpCreate{Dir: root, Name: "f", Set: withMode(0o777)}, vfs.OK)
	if r.Attr != old {
		t.Errorf("UNCHECKED without size changed %+v to %+v", old, r.Attr)
	}
	size := vfs.SetAttr{Mask: vfs.SetSize | vfs.SetMode, Size: 1, Mode: 0o777}
	v.want(bob, &vfs.OpCreate{Dir: root, Name: "f", Set: size}, vfs.Access)
	r = v.want(alice, &vfs.OpCreate{Dir: root, Name: "f", Set: size}, vfs.OK)
	if r.Attr.Size != 1 || r.Attr.Mode != 0o640 {
		t.Errorf("UNCHECKED with size: %+v", r.Attr)
	}
	v.mkdir(alice, root, "d", 0o755)
	v.want(alice, &vfs.OpCreate{Dir: root, Name: "d", Mode: vfs.CreateGuarded}, vfs.Exist)
	if r := v.want(bob, &vfs.OpCreate{Dir: root, Name: "d", Set: size}, vfs.OK); r.Attr.Type != vfs.TypeDir {
		t.Errorf("UNCHECKED over a directory: %+v", r.Attr)
	}
	v.want(alice, &vfs.OpMkdir{Dir: root, Name: "f"}, vfs.Exist)
}

func TestCreate_SetgidDirectory(t *testing.T) {
	v := newVolume(t)
	d := v.mkdir(vfs.Root, root, "d", 0o777)
	v.want(vfs.Root, &vfs.OpSetAttr{Ref: d, Set: vfs.SetAttr{Mask: vfs.SetGID | vfs.SetMode, GID: staff, Mode: 0o2777}}, vfs.OK)
	sub := v.attr(v.mkdir(carol, d, "sub", 0o755))
	if sub.GID != staff || sub.Mode != 0o2755 {
		t.Errorf("subdirectory: gid %d, mode %o", sub.GID, sub.Mode)
	}
	file := v.attr(v.create(carol, d, "file", 0o2775))
	if file.GID != staff || file.Mode != 0o775 {
		t.Errorf("file by a stranger: gid %d, mode %o", file.GID, file.Mode)
	}
	file = v.attr(v.create(alice, d, "file2", 0o2775))
	if file.GID != staff || file.Mode != 0o2775 {
		t.Errorf("file by a member: gid %d, mode %o", file.GID, file.Mode)
	}
	plain := v.attr(v.mkdir(alice, root, "plain", 0o6755))
	if plain.GID != alice.GID || plain.Mode != 0o755 {
		t.Errorf("elsewhere: gid %d, mode %o", plain.GID, plain.Mode)
	}
}

func TestMknodAndSymlink(t *testing.T) {
	v := newVolume(t)
	dev := &vfs.OpMknod{Dir: root, Name: "dev", Type: vfs.TypeChr, Set: withMode(0o600), Rdev: vfs.Device{Major: 1, Minor: 3}}
	v.want(alice, dev, vfs.Perm)
	if r := v.want(vfs.Root, dev, vfs.OK); r.Attr.Rdev != dev.Rdev || r.Attr.Type != vfs.TypeChr {
		t.Errorf("device: %+v", r.Attr)
	}
	v.want(vfs.Root, &vfs.OpMknod{Dir: root, Name: "r", Type: vfs.TypeReg}, vfs.BadType)
	link := v.want(alice, &vfs.OpSymlink{Dir: root, Name: "l", Target: "to", Set: withMode(0o600)}, vfs.OK)
	if link.Attr.Mode != 0o777 || link.Attr.Size != 2 {
		t.Errorf("symlink: %+v", link.Attr)
	}
	long := strings.Repeat("t", vfs.MaxTarget+1)
	v.want(alice, &vfs.OpSymlink{Dir: root, Name: "m", Target: long}, vfs.NameTooLong)
	v.want(alice, &vfs.OpSymlink{Dir: root, Name: "m", Target: long[1:]}, vfs.OK)
	v.want(alice, &vfs.OpSymlink{Dir: root, Name: "n"}, vfs.Invalid)
	r, err := v.fs.Readlink(t.Context(), bob, link.Attr.Ref)
	if err != nil || r.Target != "to" {
		t.Errorf("readlink: %+v, %v", r, err)
	}
	if r, _ := v.fs.Readlink(t.Context(), bob, root); r.Kind != vfs.IsDir {
		t.Errorf("readlink of a directory: %v", r.Kind)
	}
}
