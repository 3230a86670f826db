package state_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"twofold/replica/command"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

// machine runs the same operations on a State and on the naive model and
// compares every answer. Inode numbers, cookies and times must be equal; only
// generations and the rounding of Used may differ.
type machine struct {
	h     *harness
	model *modelfs.FS
	gens  map[vfs.Ino]uint32
	inos  []vfs.Ino // every inode that ever was
}

func newMachine(t *rapid.T, tb testing.TB) *machine {
	bs := rapid.SampledFrom([]uint32{512, 4096}).Draw(t, "block size")
	o := testOptions(pebblevfs.NewMem())
	o.InodeCache = rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "inode cache")
	o.NameCacheBytes = rapid.SampledFrom([]int{1, 600, 1 << 20}).Draw(t, "name cache")
	m := &machine{h: openOn(tb, o, 0), gens: map[vfs.Ino]uint32{}}
	format := formatOp(bs)
	format.RootMode = 0o777
	m.h.apply(m.h.command(vfs.Root, format))
	m.model = modelfs.New(
		modelfs.WithClock(func() vfs.Time { return m.h.clock }),
		modelfs.WithVolume(vfs.Volume{ID: testVolume, BlockSize: bs}),
		modelfs.WithRoot(0, 0, format.RootMode),
	)
	m.learn(m.h.root())
	return m
}

func (m *machine) learn(ref vfs.Ref) {
	if _, ok := m.gens[ref.Ino]; !ok {
		m.gens[ref.Ino] = ref.Gen
		m.inos = append(m.inos, ref.Ino)
	}
}

// handles returns the handle of an inode for both sides. The root's is the same.
func (m *machine) handles(ino vfs.Ino) (real, model vfs.Ref) {
	real, model = vfs.Ref{Ino: ino, Gen: m.gens[ino]}, vfs.Ref{Ino: ino, Gen: modelfs.Gen}
	if ino == vfs.RootIno {
		model.Gen = 0
	}
	return real, model
}

// ref draws one inode and returns its handles of one inode for both sides.
func (m *machine) ref(t *rapid.T, what string) (real, model vfs.Ref) {
	ino := m.inos[len(m.inos)-1-rapid.IntRange(0, min(len(m.inos)-1, 12)).Draw(t, what)]
	if rapid.IntRange(0, 2).Draw(t, what+" is root") == 0 {
		ino = vfs.RootIno
	}
	real, model = m.handles(ino)
	if rapid.IntRange(0, 60).Draw(t, what+" forged") == 0 {
		real.Gen, model.Gen = real.Gen+1, model.Gen+1
	}
	return real, model
}

// dir is ref with a preference for directories that live.
func (m *machine) dir(t *rapid.T, what string) (real, model vfs.Ref) {
	for range 4 {
		real, model = m.ref(t, what)
		if r, _ := m.h.s.GetAttr(real); r.Kind == vfs.OK && r.Attr.Type == vfs.TypeDir {
			break
		}
	}
	return real, model
}

var (
	names = []string{"a", "b", "c", "d"}
	odd   = []string{"", ".", "..", "x/y", "nul\x00", strings.Repeat("n", 255), strings.Repeat("n", 256), "\xff"}
	creds = []vfs.Cred{vfs.Root, vfs.Root, {UID: 1000, GID: 100}, {UID: 1001, GID: 100, Groups: []uint32{200}}, {UID: 1002, GID: 300}}
	modes = []uint32{0o777, 0o755, 0o644, 0o700, 0o600, 0, 0o1777, 0o2775, 0o4755, 0o6711, 0o2664, 0o444, 0o111}
)

func genName(t *rapid.T) string {
	if rapid.IntRange(0, 11).Draw(t, "odd name") == 0 {
		return rapid.SampledFrom(odd).Draw(t, "name")
	}
	return rapid.SampledFrom(names).Draw(t, "name")
}

func genCred(t *rapid.T) vfs.Cred { return rapid.SampledFrom(creds).Draw(t, "cred") }

// genOffset is near a block boundary, or far away.
func genOffset(t *rapid.T) uint64 {
	off := rapid.Uint64Range(0, 3).Draw(t, "block")*512*uint64(rapid.IntRange(1, 8).Draw(t, "scale")) +
		rapid.SampledFrom([]uint64{0, 1, 100, 511}).Draw(t, "in block")
	if rapid.IntRange(0, 30).Draw(t, "far") == 0 {
		off = rapid.SampledFrom([]uint64{vfs.MaxFileSize - 100, vfs.MaxFileSize, vfs.MaxFileSize + 1, 1<<64 - 1}).Draw(t, "offset")
	}
	return off
}

func genSet(t *rapid.T) vfs.SetAttr {
	s := vfs.SetAttr{
		Mode: rapid.SampledFrom(modes).Draw(t, "mode"),
		UID:  rapid.SampledFrom([]uint32{0, 1000, 1001}).Draw(t, "uid"),
		GID:  rapid.SampledFrom([]uint32{0, 100, 200, 300}).Draw(t, "gid"),
		Size: genOffset(t), Atime: 5, Mtime: -7,
	}
	for _, bit := range []vfs.SetMask{vfs.SetMode, vfs.SetUID, vfs.SetGID, vfs.SetSize, vfs.SetAtime, vfs.SetMtime, vfs.SetAtimeServer, vfs.SetMtimeServer} {
		if rapid.IntRange(0, 3).Draw(t, "bit") == 0 {
			s.Mask |= bit
		}
	}
	return s
}

// genMake is genSet for a new object, with a mode most of the time.
func genMake(t *rapid.T) vfs.SetAttr {
	s := genSet(t)
	if rapid.IntRange(0, 9).Draw(t, "with mode") > 0 {
		s.Mask |= vfs.SetMode
	}
	return s
}

// both applies an operation to both sides and compares the results.
func (m *machine) both(t *rapid.T, cred vfs.Cred, real, model vfs.Op) {
	call := &vfs.Call{Cred: cred}
	got, err := m.h.Mutate(context.Background(), call, real)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.model.Mutate(context.Background(), call, model)
	if err != nil {
		t.Fatal(err)
	}
	m.compare(t, fmt.Sprintf("%T %+v by %+v", real, real, cred), got, want)
}

func (m *machine) compare(t *rapid.T, what string, got, want vfs.Result) {
	if got.HasAttr {
		m.learn(got.Attr.Ref)
	}
	same(t, what+": attr", &got.Attr, &want.Attr)
	for i := range got.WCC {
		same(t, what+": wcc", &got.WCC[i].After, &want.WCC[i].After)
	}
	if got != want {
		t.Fatalf("%s:\n got %v %+v\nwant %v %+v", what, got.Kind, got, want.Kind, want)
	}
}

// same compares attributes, and then makes equal what may differ.
func same(t *rapid.T, what string, got, want *vfs.Attr) {
	if got.Used > want.Used || (got.Used == 0) != (want.Used == 0) {
		t.Fatalf("%s: used %d, model %d", what, got.Used, want.Used)
	}
	want.Used, want.Gen = got.Used, got.Gen
	if *got != *want {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, *got, *want)
	}
}

func (m *machine) Create(t *rapid.T) {
	d, md := m.dir(t, "dir")
	op := vfs.OpCreate{
		Dir: d, Name: genName(t), Mode: vfs.CreateMode(rapid.IntRange(0, 2).Draw(t, "how")), Set: genMake(t),
		Verf: [8]byte{rapid.ByteRange(0, 1).Draw(t, "verf")},
	}
	mop := op
	mop.Dir = md
	m.both(t, genCred(t), &op, &mop)
}

func (m *machine) Mkdir(t *rapid.T) {
	d, md := m.dir(t, "dir")
	op := vfs.OpMkdir{Dir: d, Name: genName(t), Set: genMake(t)}
	mop := op
	mop.Dir = md
	m.both(t, genCred(t), &op, &mop)
}

func (m *machine) Symlink(t *rapid.T) {
	d, md := m.dir(t, "dir")
	target := rapid.SampledFrom([]string{"a", "../b/c", "", "n\x00l", strings.Repeat("t", 4096)}).Draw(t, "target")
	op := vfs.OpSymlink{Dir: d, Name: genName(t), Set: genMake(t), Target: target}
	mop := op
	mop.Dir = md
	m.both(t, genCred(t), &op, &mop)
}

func (m *machine) Mknod(t *rapid.T) {
	d, md := m.dir(t, "dir")
	op := vfs.OpMknod{Dir: d, Name: genName(t), Type: vfs.FileType(rapid.IntRange(0, 8).Draw(t, "type")), Set: genMake(t), Rdev: vfs.Device{Major: 5, Minor: 1}}
	mop := op
	mop.Dir = md
	m.both(t, genCred(t), &op, &mop)
}

func (m *machine) SetAttr(t *rapid.T) {
	n, mn := m.ref(t, "inode")
	op := vfs.OpSetAttr{Ref: n, Set: genSet(t), HasGuard: rapid.IntRange(0, 4).Draw(t, "guarded") == 0}
	if a, _ := m.h.s.GetAttr(n); a.Kind == vfs.OK && rapid.Bool().Draw(t, "right guard") {
		op.Guard = a.Attr.Ctime
	}
	mop := op
	mop.Ref = mn
	m.both(t, genCred(t), &op, &mop)
}

func (m *machine) Write(t *rapid.T) {
	n, mn := m.ref(t, "inode")
	size := rapid.SampledFrom([]int{0, 1, 100, 512, 513, 2000, 5000}).Draw(t, "bytes")
	data := []byte(strings.Repeat(string(rune('a'+rapid.IntRange(0, 25).Draw(t, "fill"))), size))
	op := vfs.OpWrite{Ref: n, Offset: genOffset(t), Data: data}
	mop := op
	mop.Ref = mn
	m.both(t, genCred(t), &op, &mop)
}

func (m *machine) Remove(t *rapid.T) {
	d, md := m.dir(t, "dir")
	name := genName(t)
	if rapid.Bool().Draw(t, "rmdir") {
		m.both(t, genCred(t), &vfs.OpRmdir{Dir: d, Name: name}, &vfs.OpRmdir{Dir: md, Name: name})
		return
	}
	m.both(t, genCred(t), &vfs.OpRemove{Dir: d, Name: name}, &vfs.OpRemove{Dir: md, Name: name})
}

func (m *machine) Rename(t *rapid.T) {
	from, mfrom := m.dir(t, "from")
	to, mto := m.dir(t, "to")
	a, b := genName(t), genName(t)
	m.both(t, genCred(t),
		&vfs.OpRename{FromDir: from, FromName: a, ToDir: to, ToName: b},
		&vfs.OpRename{FromDir: mfrom, FromName: a, ToDir: mto, ToName: b})
}

func (m *machine) Link(t *rapid.T) {
	n, mn := m.ref(t, "inode")
	d, md := m.dir(t, "dir")
	name := genName(t)
	m.both(t, genCred(t), &vfs.OpLink{Ref: n, Dir: d, Name: name}, &vfs.OpLink{Ref: mn, Dir: md, Name: name})
}

// Reads compares the reading methods on one inode.
func (m *machine) Reads(t *rapid.T) {
	n, mn := m.ref(t, "inode")
	m.readBoth(t, genCred(t), n, mn, genName(t), genOffset(t), rapid.IntRange(0, 9000).Draw(t, "bytes"))
	after := vfs.Cookie(rapid.IntRange(0, 8).Draw(t, "after"))
	m.listBoth(t, genCred(t), n, mn, after, rapid.IntRange(0, 8).Draw(t, "limit"))
}

func (m *machine) readBoth(t *rapid.T, cred vfs.Cred, n, mn vfs.Ref, name string, off uint64, size int) {
	ctx := context.Background()
	ga, _ := m.h.GetAttr(ctx, n)
	wa, _ := m.model.GetAttr(ctx, mn)
	same(t, "getattr", &ga.Attr, &wa.Attr)
	gl, err := m.h.Lookup(ctx, cred, n, name)
	if err != nil {
		t.Fatal(err)
	}
	wl, _ := m.model.Lookup(ctx, cred, mn, name)
	same(t, "lookup", &gl.Attr, &wl.Attr)
	same(t, "lookup dir", &gl.Dir, &wl.Dir)
	gk, _ := m.h.Readlink(ctx, cred, n)
	wk, _ := m.model.Readlink(ctx, cred, mn)
	same(t, "readlink", &gk.Attr, &wk.Attr)
	got, want := make([]byte, size), make([]byte, size)
	gr, err := m.h.Read(ctx, cred, n, off, got)
	if err != nil {
		t.Fatal(err)
	}
	wr, _ := m.model.Read(ctx, cred, mn, off, want)
	same(t, "read", &gr.Attr, &wr.Attr)
	if ga != wa || gl != wl || gk != wk || gr != wr {
		t.Fatalf("inode %d, name %q, off %d, size %d, by %+v:\n got %+v %+v %+v %+v\nwant %+v %+v %+v %+v",
			n.Ino, name, off, size, cred, ga, gl, gk, gr, wa, wl, wk, wr)
	}
	if string(got[:gr.N]) != string(want[:wr.N]) {
		t.Fatalf("inode %d: %d bytes at %d differ", n.Ino, size, off)
	}
}

func (m *machine) listBoth(t *rapid.T, cred vfs.Cred, n, mn vfs.Ref, after vfs.Cookie, limit int) []vfs.Dirent {
	got, err := m.h.ReadDir(context.Background(), cred, n, after, true, limit)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := m.model.ReadDir(context.Background(), cred, mn, after, true, limit)
	same(t, "readdir", &got.Dir, &want.Dir)
	if got.Kind != want.Kind || got.EOF != want.EOF || got.HasDir != want.HasDir || len(got.Entries) != len(want.Entries) {
		t.Fatalf("readdir %d after %d limit %d:\n got %+v\nwant %+v", n.Ino, after, limit, got, want)
	}
	for i := range got.Entries {
		same(t, "entry", &got.Entries[i].Attr, &want.Entries[i].Attr)
		if got.Entries[i] != want.Entries[i] {
			t.Fatalf("readdir %d:\n got %+v\nwant %+v", n.Ino, got.Entries[i], want.Entries[i])
		}
	}
	return got.Entries
}

// Restart closes and opens the state, which must change nothing.
func (m *machine) Restart(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
		m.h.reopen()
	}
}

// Check compares the whole tree, now and then.
func (m *machine) Check(t *rapid.T) {
	if m.h.index%16 == 0 {
		m.wholeTree(t)
	}
}

func (m *machine) wholeTree(t *rapid.T) {
	if err := m.h.s.Check(); err != nil {
		t.Fatal(err)
	}
	for _, ino := range m.inos {
		n, mn := m.handles(ino)
		m.readBoth(t, vfs.Root, n, mn, "a", 0, 20_000)
		m.listBoth(t, vfs.Root, n, mn, 0, 1000)
	}
	gf, err := m.h.s.StatFS(m.h.root())
	if err != nil {
		t.Fatal(err)
	}
	wf, _ := m.model.StatFS(context.Background(), m.h.root())
	if gf.Inodes != wf.Inodes {
		t.Fatalf("%d inodes, model has %d", gf.Inodes, wf.Inodes)
	}
}

// Any history gives the same answers as the naive model.
func TestModel(t *testing.T) {
	fewerChecks(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(rt, t)
		defer m.h.close()
		rt.Repeat(map[string]func(*rapid.T){
			"":        m.Check,
			"create":  m.Create,
			"mkdir":   m.Mkdir,
			"symlink": m.Symlink,
			"mknod":   m.Mknod,
			"setattr": m.SetAttr,
			"write":   m.Write,
			"write2":  m.Write,
			"remove":  m.Remove,
			"rename":  m.Rename,
			"rename2": m.Rename,
			"link":    m.Link,
			"reads":   m.Reads,
			"restart": m.Restart,
		})
		m.wholeTree(rt)
		replay(rt, t, m.h)
	})
}

// replay applies the same commands in entries of other sizes, with other
// caches, flushes and restarts, and expects the same digest.
func replay(t *rapid.T, tb testing.TB, h *harness) {
	want := h.digest()
	o := testOptions(pebblevfs.NewMem())
	o.InodeCache, o.NameCacheBytes = 2, 400
	other := openOn(tb, o, 0)
	defer other.close()
	var cmds []command.Command
	for _, b := range h.log {
		c, err := command.DecodeBatch(b)
		if err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, c...)
	}
	for index := uint64(1); len(cmds) > 0; index++ {
		n := rapid.IntRange(1, min(len(cmds), 60)).Draw(t, "entry")
		if _, err := other.s.Apply(index, 1, cmds[:n]); err != nil {
			t.Fatal(err)
		}
		cmds = cmds[n:]
		if rapid.IntRange(0, 5).Draw(t, "flush") == 0 {
			if err := other.s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, _, _ := other.s.RunningDigest(); got != want {
		t.Fatal("the same commands in other entries give another digest")
	}
	if err := other.s.Check(); err != nil {
		t.Fatal(err)
	}
}
