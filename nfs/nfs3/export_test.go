package nfs3_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"twofold/nfs/export"
	"twofold/nfs/handle"
	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

// What the rules of an export decide: nobody, which port, read-only, as whom.
func TestExports(t *testing.T) {
	model := newModel()
	setup(t, newProgram(t, model))
	const secure = "*(rw,no_root_squash)"
	for _, c := range []struct {
		name    string
		clients string
		client  string
		want    string
	}{
		{"no client", "192.0.2.0/24(rw,insecure)", "10.0.0.9:700", "STALE"},
		{"secure", secure, "10.0.0.9:1024", "PERM"},
		{"mapped address, secure port", secure, "[::ffff:10.0.0.9]:1023", "OK"},
	} {
		p := programFor(t, model, c.clients)
		for proc := uint32(1); proc < procCount; proc++ {
			if c.want == "OK" && proc != procGetattr {
				continue
			}
			k := call(proc, validArgs()[proc][0])
			k.Client = netip.MustParseAddrPort(c.client)
			b, err := serveCall(t, p, k)
			if err != nil {
				t.Errorf("%s, procedure %d: %v", c.name, proc, err)
				continue
			}
			got, err := readable(proc, b)
			if err != nil || c.want == "OK" && !strings.HasPrefix(got, "OK") || c.want != "OK" && got != c.want+empty[proc] {
				t.Errorf("%s, procedure %d: %q, %v, want %s", c.name, proc, got, err, c.want)
			}
		}
	}
}

func TestExports_ReadOnly(t *testing.T) {
	model := newModel()
	setup(t, newProgram(t, model))
	p := programFor(t, model, "*(ro,no_root_squash,insecure)")
	run(t, p, []step{
		{"SETATTR", root(), procSetattr, enc(fileRef, sattr{"mode": 0}, false)},
		{"SETATTR gone", root(), procSetattr, enc(noRef, sattr{"mode": 0}, false)},
		{"WRITE", root(), procWrite, enc(fileRef, uint64(0), 1, 2, []byte("x"))},
		{"WRITE directory", root(), procWrite, enc(dirRef, uint64(0), 1, 2, []byte("x"))},
		{"CREATE", root(), procCreate, enc(dirRef, "x", 0, sattr{})},
		{"CREATE in a file", root(), procCreate, enc(fileRef, "x", 0, sattr{})},
		{"MKDIR", root(), procMkdir, enc(dirRef, "x", sattr{})},
		{"SYMLINK", root(), procSymlink, enc(dirRef, "x", sattr{}, "y")},
		{"MKNOD", root(), procMknod, enc(dirRef, "x", 7, sattr{})},
		{"MKNOD of a bad type", root(), procMknod, enc(dirRef, "x", 9)},
		{"REMOVE", root(), procRemove, enc(rootRef, "f")},
		{"RMDIR", root(), procRmdir, enc(rootRef, "d")},
		{"RENAME", root(), procRename, enc(rootRef, "f", dirRef, "x")},
		{"LINK", root(), procLink, enc(fileRef, dirRef, "x")},
		{"COMMIT", root(), procCommit, enc(fileRef, uint64(0), 0)},
		{"ACCESS file", root(), procAccess, enc(fileRef, 0x3f)},
		{"ACCESS directory", root(), procAccess, enc(dirRef, 0x3f)},
		{"ACCESS device", root(), procAccess, enc(devRef, 0x3f)},
		{"READ", root(), procRead, enc(fileRef, uint64(0), 5)},
	})
}

// Changes and reads act as whom the rule says.
func TestExports_Squash(t *testing.T) {
	model := newModel()
	setup(t, newProgram(t, model))
	p := programFor(t, model, "*(rw,insecure)")
	run(t, p, []step{
		{"READ as root", root(), procRead, enc(fileRef, uint64(0), 5)},
		{"ACCESS as root", root(), procAccess, enc(fileRef, 0x3f)},
		{"CREATE as root", root(), procCreate, enc(rootRef, "x", 0, sattr{})},
		{"READ as the owner", user(7), procRead, enc(fileRef, uint64(0), 5)},
		{"GETATTR without credentials", rpc.Cred{}, procGetattr, enc(fileRef)},
		{"READ without credentials", rpc.Cred{}, procRead, enc(fileRef, uint64(0), 5)},
	})
}

// twoExports is a program over the volume of setup with "/" exported for all and
// "/d", whose root is dirRef, with the given clients.
func twoExports(t *testing.T, clients string) (*nfs3.Program, *export.Exports) {
	t.Helper()
	model := newModel()
	setup(t, newProgram(t, model))
	x := tableOf(t, vfs.Export{Path: "/", Root: rootRef, Clients: open}, vfs.Export{Path: "/d", Root: dirRef, Clients: clients})
	return nfs3.New(nfs3.Config{FS: model, Exports: x}), x
}

// in3 is a handle in the export "/d".
func in3(ref vfs.Ref) in { return in{root: dirRef.Ino, ref: ref} }

// Every call is held against the export that its handle names, and not against
// any other that the same object can be reached by.
func TestExports_EachHandleHasItsExport(t *testing.T) {
	p, x := twoExports(t, "10.0.0.8(rw,no_root_squash)")
	mine, others := netip.MustParseAddrPort("10.0.0.9:700"), netip.MustParseAddrPort("10.0.0.8:700")
	ask := func(from netip.AddrPort, args []byte) string {
		t.Helper()
		k := call(procGetattr, args)
		k.Client = from
		b, err := serveCall(t, p, k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readable(procGetattr, b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(got)[0]
	}
	for _, c := range []struct {
		name string
		from netip.AddrPort
		fh   in
		want string
	}{
		{"a file of / as such", mine, in{vfs.RootIno, fileRef}, "OK"},
		{"the root of /d in /", mine, in{vfs.RootIno, dirRef}, "OK"},
		{"the root of /d in /d, not allowed", mine, in3(dirRef), "STALE"},
		{"the root of /d in /d", others, in3(dirRef), "OK"},
		{"a file of / in /d", others, in3(fileRef), "OK"}, // as if moved out of it
		{"an export that never was", others, in{fileRef.Ino, fileRef}, "STALE"},
		{"wrong port", netip.MustParseAddrPort("10.0.0.8:7000"), in3(dirRef), "PERM"},
	} {
		if got := ask(c.from, enc(c.fh)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if err := x.Set(vfs.ExportTable{Exports: []vfs.Export{{Path: "/", Root: rootRef, Clients: open}}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(others, enc(in3(dirRef))); got != "STALE" {
		t.Errorf("an export that was taken away: %s, want STALE", got)
	}
	if got := ask(others, enc(in{vfs.RootIno, dirRef})); got != "OK" {
		t.Errorf("the same directory in another export: %s", got)
	}
}

// Every procedure refuses a handle of an export that is not for the client,
// whichever of its handles that is.
func TestExports_EveryProcedure(t *testing.T) {
	p, _ := twoExports(t, "192.0.2.1(rw)")
	rename := enc(rootRef, "f", in3(dirRef), "x")
	link := enc(in3(fileRef), dirRef, "x")
	for proc := uint32(1); proc < procCount; proc++ {
		for _, args := range validArgs()[proc] {
			foreign := append(enc(in3(dirRef)), args[4+handle.Size:]...)
			if proc == procLink { // the directory, which is looked at first, comes second
				foreign = enc(fileRef, in3(dirRef), "new")
			}
			b, err := serve(t, p, root(), proc, foreign)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := readable(proc, b); err != nil || got != "STALE"+empty[proc] {
				t.Errorf("procedure %d: %q, %v", proc, got, err)
			}
		}
	}
	for proc, args := range map[uint32][]byte{procRename: rename, procLink: link} {
		b, err := serve(t, p, root(), proc, args)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readable(proc, b); err != nil || !strings.HasPrefix(got, "STALE ") {
			t.Errorf("procedure %d, second handle: %q, %v", proc, got, err)
		}
	}
}

// The root of an export is its own parent, handles stay within their export, and
// a directory that was moved out of it keeps its handles.
func TestExports_BelowARoot(t *testing.T) {
	p, _ := twoExports(t, open)
	sub, made := ref(7), ref(8)
	run(t, p, []step{
		{"LOOKUP .. of the root", root(), procLookup, enc(in3(dirRef), "..")},
		{"LOOKUP .. of the root by a user", user(9), procLookup, enc(in3(dirRef), "..")},
		{"LOOKUP .. through the other export", root(), procLookup, enc(dirRef, "..")},
		{"LOOKUP . of the root", root(), procLookup, enc(in3(dirRef), ".")},
		{"MKDIR", root(), procMkdir, enc(in3(dirRef), "sub", sattr{})},
		{"CREATE", root(), procCreate, enc(in3(dirRef), "file", 0, sattr{})},
		{"SYMLINK", root(), procSymlink, enc(in3(dirRef), "link", sattr{}, "x")},
		{"MKNOD", root(), procMknod, enc(in3(dirRef), "fifo", 7, sattr{})},
		{"LOOKUP", root(), procLookup, enc(in3(dirRef), "sub")},
		{"LOOKUP .. below", root(), procLookup, enc(in3(sub), "..")},
		{"READDIR of the root", root(), procReaddir, enc(in3(dirRef), uint64(0), verf, 400)},
		{"READDIR after .", root(), procReaddir, enc(in3(dirRef), uint64(1), verf, 160)},
		{"READDIR through the other export", root(), procReaddir, enc(dirRef, uint64(0), verf, 400)},
		{"READDIRPLUS of the root", root(), procReaddirplus, enc(in3(dirRef), uint64(0), verf, 512, 1000)},
		{"READDIRPLUS below", root(), procReaddirplus, enc(in3(sub), uint64(0), verf, 512, 1000)},

		{"RENAME in one export", root(), procRename, enc(in3(dirRef), "file", in3(sub), "f")},
		{"LINK in one export", root(), procLink, enc(in3(made), in3(dirRef), "g")},
		{"a directory leaves the export", root(), procRename, enc(dirRef, "sub", rootRef, "out")},
		{"GETATTR of it", root(), procGetattr, enc(in3(sub))},
		{"READDIR of it", root(), procReaddir, enc(in3(sub), uint64(0), verf, 400)},
		{"LOOKUP in it", root(), procLookup, enc(in3(sub), "f")},
		{"CREATE in it", root(), procCreate, enc(in3(sub), "new", 0, sattr{})},
		{"LOOKUP .. of it", root(), procLookup, enc(in3(sub), "..")},
	})
}

// RENAME and LINK between two exports are XDEV, once both sides would allow them.
func TestExports_AcrossTwo(t *testing.T) {
	p, x := twoExports(t, open)
	steps := []step{
		{"RENAME out", root(), procRename, enc(in3(dirRef), "f", rootRef, "x")},
		{"RENAME in", root(), procRename, enc(rootRef, "f", in3(dirRef), "x")},
		{"RENAME to the same directory by another export", root(), procRename, enc(dirRef, "f", in3(dirRef), "x")},
		{"RENAME forbidden", user(9), procRename, enc(rootRef, "f", in3(dirRef), "x")},
		{"RENAME of no directory", root(), procRename, enc(fileRef, "f", in3(dirRef), "x")},
		{"RENAME into no directory", root(), procRename, enc(rootRef, "f", in3(fileRef), "x")},
		{"RENAME into what is gone", root(), procRename, enc(rootRef, "f", in3(noRef), "x")},
		{"RENAME of dots", root(), procRename, enc(rootRef, "..", in3(dirRef), "x")},
		{"RENAME to a name too long", root(), procRename, enc(rootRef, "f", in3(dirRef), long(256))},
		{"LINK", root(), procLink, enc(fileRef, in3(dirRef), "x")},
		{"LINK the other way", root(), procLink, enc(in3(fileRef), rootRef, "x")},
		{"LINK of a directory", root(), procLink, enc(dirRef, in3(dirRef), "x")},
		{"LINK of what is gone", root(), procLink, enc(noRef, in3(dirRef), "x")},
		{"LINK forbidden", user(9), procLink, enc(fileRef, in3(dirRef), "x")},
	}
	readOnly := vfs.ExportTable{Exports: []vfs.Export{{Path: "/", Root: rootRef, Clients: open}, {Path: "/d", Root: dirRef, Clients: "*(no_root_squash)"}}}
	squashed := vfs.ExportTable{Exports: []vfs.Export{{Path: "/", Root: rootRef, Clients: open}, {Path: "/d", Root: dirRef, Clients: "*(rw)"}}}
	run(t, p, steps)
	for _, c := range []struct {
		name  string
		table vfs.ExportTable
		args  []byte
		want  string
	}{
		{"into a read-only one", readOnly, enc(rootRef, "f", in3(dirRef), "x"), "ROFS "},
		{"out of a read-only one", readOnly, enc(in3(dirRef), "f", rootRef, "x"), "ROFS "},
		{"where root is nobody", squashed, enc(rootRef, "f", in3(dirRef), "x"), "ACCES "},
	} {
		if err := x.Set(c.table); err != nil {
			t.Fatal(err)
		}
		b, err := serve(t, p, root(), procRename, c.args)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readable(procRename, b); err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// A user who is not squashed has the groups that the node finds out; they are
// mapped by the rule, and bounded. The identity of the call stays that of the
// wire.
func TestGroups(t *testing.T) {
	fs := &oddFS{}
	var asked []uint32
	answer := []uint32{4, 0, 5}
	groups := func(_ context.Context, uid uint32, wire []uint32) []uint32 {
		asked = append(asked, uid)
		return append(slices.Clone(answer), wire...)
	}
	mutate := func(hook nfs3.Groups, clients string, cred rpc.Cred) vfs.Call {
		t.Helper()
		p := nfs3.New(nfs3.Config{FS: fs, Exports: table(t, clients), Groups: hook})
		if _, err := serve(t, p, cred, procRemove, enc(rootRef, "f")); err != nil {
			t.Fatal(err)
		}
		return fs.last
	}
	seven := rpc.Cred{Flavor: rpc.AuthSys, UID: 7, GID: 8, Groups: []uint32{9}}
	plain := mutate(nil, "*(rw)", seven)
	got := mutate(groups, "*(rw)", seven)
	if want := []uint32{4, 65534, 5, 9}; !slices.Equal(got.Cred.Groups, want) || got.Cred.UID != 7 || got.Cred.GID != 8 {
		t.Errorf("%+v, want groups %d", got.Cred, want)
	}
	if got.ID != plain.ID {
		t.Error("the identity of the call depends on the groups that were found")
	}
	if !slices.Equal(asked, []uint32{7}) {
		t.Errorf("asked for %d", asked)
	}
	for name, c := range map[string]struct {
		clients string
		cred    rpc.Cred
	}{
		"root": {"*(rw)", root()}, "all": {"*(rw,all_squash)", seven}, "AUTH_NONE": {"*(rw)", rpc.Cred{}}, "id -1": {"*(rw)", user(1<<32 - 1)},
	} {
		if mutate(groups, c.clients, c.cred); len(asked) != 1 {
			t.Errorf("a squashed user is looked up: %s", name)
		}
	}
	answer = make([]uint32, vfs.MaxGroups+7)
	if got := mutate(groups, "*(rw)", seven); len(got.Cred.Groups) != vfs.MaxGroups {
		t.Errorf("%d groups", len(got.Cred.Groups))
	}
}
