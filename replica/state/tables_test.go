package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// run applies one command that is no vfs.Op.
func (h *harness) run(op any) vfs.Result {
	h.t.Helper()
	return h.apply(h.command(vfs.Cred{UID: 99}, op))[0]
}

func (h *harness) exports() vfs.ExportTable {
	t, _ := h.s.Exports()
	return t
}

func exportsOf(base uint64, exports ...vfs.Export) *command.SetExports {
	return &command.SetExports{Base: base, By: "a", Source: "test", Exports: exports}
}

func TestSetExports_LooksPathsUp(t *testing.T) {
	h := open(t, 512)
	a := h.mkdir(h.root(), "a", 0o700)
	b := h.mkdir(a, "b", 0)
	_, changed := h.s.Exports()
	r := h.run(exportsOf(0, vfs.Export{Path: "/", Clients: "*"}, vfs.Export{Path: "/a/b", Clients: "host(rw)"}))
	if r.Kind != vfs.OK {
		t.Fatalf("%+v", r)
	}
	select {
	case <-changed:
	default:
		t.Error("the change is not announced")
	}
	want := vfs.ExportTable{
		Version: 1, Time: h.clock, By: "a", Source: "test",
		Exports: []vfs.Export{{Path: "/", Root: h.root(), Clients: "*"}, {Path: "/a/b", Root: b, Clients: "host(rw)"}},
	}
	h.reopen()
	if d := cmp.Diff(want, h.exports()); d != "" {
		t.Errorf("after a restart: %s", d)
	}
	h.check()
}

// An export is its directory, whatever becomes of the path.
func TestSetExports_KeepsADirectoryThatMoved(t *testing.T) {
	h := open(t, 512)
	a := h.mkdir(h.root(), "a", 0o700)
	h.run(exportsOf(0, vfs.Export{Path: "/a"}))
	h.must(vfs.Root, &vfs.OpRename{FromDir: h.root(), FromName: "a", ToDir: h.root(), ToName: "b"})
	kept := vfs.Export{Path: "/a", Root: a, Clients: "new"}
	if r := h.run(exportsOf(1, kept)); r.Kind != vfs.OK || h.exports().Exports[0].Root != a {
		t.Errorf("the export of a directory that moved: %v, %+v", r.Kind, h.exports())
	}
	for _, e := range []vfs.Export{
		{Path: "/a"},                                // there is nothing now
		{Path: "/b", Root: a},                       // known, under another path
		{Path: "/a", Root: vfs.Ref{Ino: a.Ino}},     // another generation
		{Path: "/a", Root: vfs.Ref{Ino: 1, Gen: 1}}, // made up
	} {
		before := h.exports()
		if r := h.run(exportsOf(2, e)); r.Kind == vfs.OK {
			t.Errorf("%+v was taken", e)
		}
		if d := cmp.Diff(before, h.exports()); d != "" {
			t.Errorf("%+v was refused and changed the table: %s", e, d)
		}
	}
	if r := h.run(exportsOf(2, kept, vfs.Export{Path: "/b"})); r.Kind != vfs.Exist || r.Count != 1 {
		t.Errorf("two exports of one directory: %+v", r)
	}
}

func TestSetExports_Refusals(t *testing.T) {
	h := open(t, 512)
	a := h.mkdir(h.root(), "a", 0o755)
	h.create(a, "file", 0o644)
	h.must(vfs.Root, &vfs.OpSymlink{Dir: h.root(), Name: "link", Target: "a"})
	h.run(exportsOf(0, vfs.Export{Path: "/a", Clients: "old"}))
	before := h.exports()
	long := strings.Repeat("/"+strings.Repeat("n", 200), 6)
	for path, kind := range map[string]vfs.Kind{
		"": vfs.Invalid, "a": vfs.Invalid, "./a": vfs.Invalid, "/a/": vfs.Invalid, "//a": vfs.Invalid,
		"/a/../a": vfs.Invalid, "/.": vfs.Invalid, "/a\x00": vfs.Invalid, long: vfs.Invalid,
		"/" + strings.Repeat("n", 256): vfs.Invalid, "/a": vfs.Invalid, // the second of that path
		"/none": vfs.NotExist, "/a/none/x": vfs.NotExist,
		"/a/file": vfs.NotDir, "/a/file/x": vfs.NotDir, "/link": vfs.NotDir, "/link/file": vfs.NotDir,
	} {
		r := h.run(exportsOf(1, vfs.Export{Path: "/"}, vfs.Export{Path: "/a"}, vfs.Export{Path: path}))
		if r.Kind != kind || r.Count != 2 {
			t.Errorf("%q: got %q at entry %d, want %q at 2", path, r.Kind, r.Count, kind)
		}
	}
	for _, base := range []uint64{0, 2, 1 << 63} {
		if r := h.run(exportsOf(base, vfs.Export{Path: "/"})); r.Kind != vfs.NotSync {
			t.Errorf("base %d: %v", base, r.Kind)
		}
	}
	if d := cmp.Diff(before, h.exports()); d != "" {
		t.Errorf("refusals changed the table: %s", d)
	}
	if r := h.run(exportsOf(1)); r.Kind != vfs.OK || len(h.exports().Exports) != 0 || h.exports().Version != 2 {
		t.Errorf("an empty table: %v, %+v", r.Kind, h.exports())
	}
	h.check()
}

// Commands of one entry see each other, and what is dropped leaves no record.
func TestSetExports_ShrinksWithinOneEntry(t *testing.T) {
	h := open(t, 512)
	var all []vfs.Export
	for i := range vfs.MaxExports {
		all = append(all, vfs.Export{Path: fmt.Sprintf("/d%d", i)})
		h.mkdir(h.root(), fmt.Sprintf("d%d", i), 0o755)
	}
	rs := h.apply(
		h.command(vfs.Root, exportsOf(0, all...)),
		h.command(vfs.Root, exportsOf(1, all[:3]...)),
		h.command(vfs.Root, exportsOf(1, all...)),
	)
	if rs[0].Kind != vfs.OK || rs[1].Kind != vfs.OK || rs[2].Kind != vfs.NotSync {
		t.Errorf("%v %v %v", rs[0].Kind, rs[1].Kind, rs[2].Kind)
	}
	h.check()
	if r := h.run(exportsOf(2, all...)); r.Kind != vfs.OK {
		t.Error(r.Kind)
	}
	if r := h.run(exportsOf(3, all[:1]...)); r.Kind != vfs.OK {
		t.Error(r.Kind)
	}
	h.reopen()
	if got := h.exports(); len(got.Exports) != 1 || got.Version != 4 {
		t.Errorf("%+v", got)
	}
	h.check()
}

func member(name string, id byte, addrs ...string) *command.SetMember {
	m := vfs.Member{Name: name, ID: [16]byte{id}}
	for _, a := range addrs {
		m.Addrs = append(m.Addrs, netip.MustParseAddr(a))
	}
	return &command.SetMember{Member: m}
}

func TestSetMember(t *testing.T) {
	h := open(t, 512)
	for i, op := range []*command.SetMember{
		member("b", 1, "192.0.2.1"), member("a", 2), member("b", 3, "192.0.2.2", "2001:db8::1"), member("w", 4, "::1"),
	} {
		if r := h.run(op); r.Kind != vfs.OK {
			t.Errorf("%d: %v", i, r.Kind)
		}
	}
	want := []vfs.Member{member("a", 2).Member, member("b", 3, "192.0.2.2", "2001:db8::1").Member, member("w", 4, "::1").Member}
	h.reopen()
	got, changed := h.s.Members()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	h.run(member("a", 7))
	if got[0].ID != want[0].ID {
		t.Error("what a reader got was changed under its eyes")
	}
	for i := len(want); i < vfs.MaxMembers; i++ {
		h.run(member(fmt.Sprint("m", i), 9))
	}
	select {
	case <-changed:
	default:
		t.Error("the change is not announced")
	}
	if r := h.run(member("one more", 9)); r.Kind != vfs.Quota {
		t.Errorf("one too many: %v", r.Kind)
	}
	if r := h.run(member("a", 77)); r.Kind != vfs.OK {
		t.Errorf("replacing one of a full table: %v", r.Kind)
	}
	if r := h.run(member("", 9)); r.Kind != vfs.Invalid {
		t.Errorf("no name: %v", r.Kind)
	}
	h.check()
}

// Forty members take one another's place in a table with fewer places.
func TestDropMember_Forty(t *testing.T) {
	h := open(t, 512)
	h.run(member("a", 1))
	for i := range 40 {
		name, id := fmt.Sprint("b", i), byte(10+i)
		if r := h.run(member(name, id, "192.0.2.1")); r.Kind != vfs.OK {
			t.Fatalf("member %d: %v", i, r.Kind)
		}
		if i == 0 {
			continue
		}
		last := &command.DropMember{Name: fmt.Sprint("b", i-1), ID: [16]byte{99}}
		h.run(last) // another node's record stays
		if got, _ := h.s.Members(); len(got) != 3 {
			t.Fatalf("%d: %v", i, got)
		}
		last.ID = [16]byte{byte(10 + i - 1)}
		h.run(last)
		h.run(last) // it is gone already
		h.check()
	}
	h.reopen()
	if got, _ := h.s.Members(); len(got) != 2 || got[0].Name != "a" || got[1].Name != "b39" {
		t.Errorf("%v", got)
	}
}

func mountOp(action command.MountAction, host, path string) *command.MountChange {
	return &command.MountChange{Action: action, Mount: vfs.Mount{Host: host, Path: path}}
}

func (h *harness) mounts() []vfs.Mount {
	h.t.Helper()
	all, err := h.s.Mounts()
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// The oldest entry goes when the list is full, also within one entry of the log
// and after a restart.
func TestMounts_OldestGoes(t *testing.T) {
	h := openOn(t, roomyOptions(), 512)
	next := 0
	fill := func(n int) {
		for n > 0 {
			var encs [][]byte
			for range min(n, 200) {
				encs = append(encs, h.command(vfs.Root, mountOp(command.MountAdd, "h", fmt.Sprint("/", next))))
				next++
				n--
			}
			h.apply(encs...)
		}
	}
	fill(vfs.MaxMounts + 10)
	h.reopen()
	fill(5)
	got := h.mounts()
	if len(got) != vfs.MaxMounts || got[0].Path != "/15" || got[len(got)-1].Path != fmt.Sprint("/", next-1) {
		t.Errorf("%d mounts from %v to %v", len(got), got[0], got[len(got)-1])
	}
	h.check()
	if r := h.run(mountOp(command.MountRemoveAll, "h", "")); r.Kind != vfs.OK || len(h.mounts()) != 0 {
		t.Errorf("%v, %d are left", r.Kind, len(h.mounts()))
	}
	h.check()
}

func TestMounts_Refusals(t *testing.T) {
	h := open(t, 512)
	for _, op := range []*command.MountChange{
		mountOp(command.MountAdd, "", "/"), mountOp(command.MountAdd, "h", ""),
		mountOp(command.MountRemove, "h", ""), mountOp(command.MountRemoveAll, "", ""),
		mountOp(command.MountAdd, strings.Repeat("h", vfs.MaxHost+1), "/"),
		mountOp(command.MountAdd, "h", strings.Repeat("/", vfs.MaxPath+1)),
	} {
		if r := h.run(op); r.Kind != vfs.Invalid {
			t.Errorf("%+v: %v", op, r.Kind)
		}
	}
	if got := h.mounts(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// Damage to a table is found when the state is opened.
func TestTables_Damage(t *testing.T) {
	head := func(count byte) []byte {
		return append(append([]byte{1, 20}, make([]byte, 7)...), append([]byte{1}, append(make([]byte, 11), count)...)...)
	}
	for name, r := range map[string]struct{ key, value []byte }{
		"export head":             {state.ExportsKey(), []byte("?")},
		"export head, short":      {state.ExportsKey(), []byte{1, 1, 0}},
		"export head, gone":       {state.ExportsKey(), nil},
		"export head, no entries": {state.ExportsKey(), head(0)},
		"export head, more":       {state.ExportsKey(), head(2)},
		"export entry":            {state.ExportKey(0), []byte("?")},
		"export entry, no path":   {state.ExportKey(0), []byte{2, 12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}},
		"export entry, no root":   {state.ExportKey(0), []byte{1, 1, '/'}},
		"export entry, gone":      {state.ExportKey(0), nil},
		"export entry, place":     {state.ExportKey(2), []byte{1, 1, '/'}},
		"member":                  {state.MemberKey("a"), []byte("?")},
		"member, short id":        {state.MemberKey("a"), []byte{1, 1, 0}},
		"member, half an address": {state.MemberKey("a"), []byte{2, 1, 0}},
		"member, no name":         {state.MemberKey(""), []byte{}},
		"mount":                   {state.MountKey(5), []byte("?")},
		"mount, no path":          {state.MountKey(5), []byte{1, 1, 'h'}},
		"mount, key":              {append(state.MountKey(5), 1), []byte{1, 1, 'h', 2, 1, '/'}},
	} {
		h := open(t, 512)
		h.run(exportsOf(0, vfs.Export{Path: "/"}))
		h.run(member("a", 1, "192.0.2.1"))
		h.plant(r.key, r.value)
		if s, err := state.Open("db", h.opts); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: got %v", name, err)
			if err == nil {
				s.Close()
			}
		}
	}
}

// naiveTables is what the tables ought to hold.
type naiveTables struct {
	exports vfs.ExportTable
	members map[string]vfs.Member
	mounts  []vfs.Mount
}

// change is the rule of each command, put as simply as it goes. dirs has the
// directories that there are; none of them moves.
func (n *naiveTables) change(op any, dirs map[string]vfs.Ref, now vfs.Time) vfs.Kind {
	switch op := op.(type) {
	case *command.SetExports:
		if op.Base != n.exports.Version {
			return vfs.NotSync
		}
		next := vfs.ExportTable{Version: op.Base + 1, Time: now, By: op.By, Source: op.Source, Exports: []vfs.Export{}}
		for i, e := range op.Exports {
			if e.Root != (vfs.Ref{}) {
				if !slices.ContainsFunc(n.exports.Exports, func(o vfs.Export) bool { return o.Path == e.Path && o.Root == e.Root }) {
					return vfs.Invalid
				}
			} else if e.Root = dirs[e.Path]; e.Root == (vfs.Ref{}) {
				return vfs.NotExist
			}
			if slices.ContainsFunc(op.Exports[:i], func(o vfs.Export) bool { return o.Path == e.Path }) {
				return vfs.Invalid
			}
			next.Exports = append(next.Exports, e)
		}
		n.exports = next
	case *command.SetMember:
		n.members[op.Member.Name] = op.Member
	case *command.DropMember:
		if n.members[op.Name].ID == op.ID {
			delete(n.members, op.Name)
		}
	case *command.MountChange:
		has := slices.Index(n.mounts, op.Mount)
		switch {
		case op.Action == command.MountAdd && has < 0:
			n.mounts = append(n.mounts, op.Mount)
		case op.Action == command.MountRemove && has >= 0:
			n.mounts = slices.Delete(n.mounts, has, has+1)
		case op.Action == command.MountRemoveAll:
			n.mounts = slices.DeleteFunc(n.mounts, func(m vfs.Mount) bool { return m.Host == op.Mount.Host })
		}
	}
	return vfs.OK
}

func genTableOp(t *rapid.T, n *naiveTables) any {
	host := rapid.SampledFrom([]string{"h1", "h2", "h3"}).Draw(t, "host")
	path := rapid.SampledFrom([]string{"/", "/a", "/a/b", "/none"}).Draw(t, "path")
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0, 1:
		op := exportsOf(n.exports.Version - uint64(rapid.IntRange(0, 1).Draw(t, "late")))
		for range rapid.IntRange(0, 3).Draw(t, "exports") {
			e := vfs.Export{Path: rapid.SampledFrom([]string{"/", "/a", "/a/b", "/none"}).Draw(t, "export"), Clients: host}
			if len(n.exports.Exports) > 0 && rapid.Bool().Draw(t, "keep") {
				e.Root = rapid.SampledFrom(n.exports.Exports).Draw(t, "root").Root
			}
			op.Exports = append(op.Exports, e)
		}
		return op
	case 2:
		return member(host, byte(rapid.IntRange(0, 2).Draw(t, "id")), "192.0.2.7")
	case 3, 4:
		return mountOp(command.MountAdd, host, path)
	case 5:
		return mountOp(command.MountRemove, host, path)
	default:
		return mountOp(command.MountRemoveAll, host, "")
	}
}

// Any commands, in entries of any size, with restarts between, leave what the
// naive model has; and a second copy of the log gives the same digest.
func TestTables_Model(t *testing.T) {
	fewerChecks(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := openOn(t, testOptions(newMem()), 512)
		defer h.close()
		a := h.mkdir(h.root(), "a", 0o755)
		dirs := map[string]vfs.Ref{"/": h.root(), "/a": a, "/a/b": h.mkdir(a, "b", 0o755)}
		n := &naiveTables{members: map[string]vfs.Member{}}
		for range rapid.IntRange(1, 15).Draw(rt, "entries") {
			var encs [][]byte
			var want []vfs.Kind
			for range rapid.IntRange(1, 5).Draw(rt, "commands") {
				op := genTableOp(rt, n)
				encs = append(encs, h.command(vfs.Root, op))
				want = append(want, n.change(op, dirs, h.clock))
			}
			for i, r := range h.apply(encs...) {
				if r.Kind != want[i] {
					rt.Fatalf("command %d: got %q, want %q", i, r.Kind, want[i])
				}
			}
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				h.reopen()
			}
			h.compare(rt, n)
		}
		again := openOn(t, testOptions(newMem()), 0)
		defer again.close()
		replayFrom(t, again.s, h.log)
		if got, _, _ := again.s.RunningDigest(); got != h.digest() {
			rt.Errorf("a replay of the log gives another digest")
		}
	})
}

func (h *harness) compare(rt *rapid.T, n *naiveTables) {
	h.check()
	members, _ := h.s.Members()
	want := make([]vfs.Member, 0, len(n.members))
	for _, m := range n.members {
		want = append(want, m)
	}
	slices.SortFunc(want, func(a, b vfs.Member) int { return strings.Compare(a.Name, b.Name) })
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})}
	for _, d := range []string{
		cmp.Diff(n.exports, h.exports(), opts), cmp.Diff(want, members, opts), cmp.Diff(n.mounts, h.mounts(), opts),
	} {
		if d != "" {
			rt.Fatal(d)
		}
	}
}

// Two states that differ in nothing but a table's record differ in the digest.
func TestTables_DigestCoversThem(t *testing.T) {
	seen := map[state.Digest]any{}
	for _, op := range []any{
		exportsOf(0, vfs.Export{Path: "/", Clients: "x"}), exportsOf(0, vfs.Export{Path: "/", Clients: "y"}), exportsOf(0),
		member("a", 1), member("a", 2), member("b", 1), member("b", 1, "192.0.2.1"),
		mountOp(command.MountAdd, "h", "/"), mountOp(command.MountAdd, "h", "/b"), mountOp(command.MountAdd, "i", "/"),
		mountOp(command.MountRemove, "h", "/"), // the state without any
	} {
		h := open(t, 512) // its clock and its calls are those of the others
		if r := h.run(op); r.Kind != vfs.OK {
			t.Fatalf("%+v: %v", op, r.Kind)
		}
		if was, ok := seen[h.digest()]; ok {
			t.Errorf("%+v and %+v have one digest", op, was)
		}
		seen[h.digest()] = op
	}
}

func BenchmarkMounts(b *testing.B) {
	h := openOn(b, roomyOptions(), 512)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		h.run(mountOp(command.MountAdd, fmt.Sprint(rng.IntN(100)), fmt.Sprint("/", rng.IntN(1000))))
	}
}
