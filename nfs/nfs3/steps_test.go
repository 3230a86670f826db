package nfs3_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write what the calls answer to testdata, to be read before it is committed")

// step is one call. Its whole reply, or the error of the RPC layer, is in
// testdata, one line a step.
type step struct {
	name string
	cred rpc.Cred
	proc uint32
	args []byte
}

// run makes the calls one after another. Several in a row see what the ones
// before them did.
func run(t *testing.T, p *nfs3.Program, steps []step) {
	t.Helper()
	file := filepath.Join("testdata", t.Name()+".txt")
	var got []string
	for _, s := range steps {
		b, err := serve(t, p, s.cred, s.proc, s.args)
		line := ""
		if err != nil {
			line = err.Error()
		} else if line, err = readable(s.proc, b); err != nil {
			t.Errorf("%s: the reply does not decode: %v", s.name, err)
		}
		got = append(got, s.name+": "+line)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(want) != len(got) {
		t.Fatalf("%d steps, %d lines in %s", len(got), len(want), file)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("\n got %s\nwant %s", got[i], want[i])
		}
	}
}

// long is a name of n bytes.
func long(n int) string { return strings.Repeat("x", n) }

var verf = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}

// The inodes that the first calls of scenario make.
var (
	fileRef = ref(2) // "f", 0640, owner 7
	dirRef  = ref(3) // "d"
	linkRef = ref(4) // "l" -> "f"
	fifoRef = ref(5) // "p", 0600
	devRef  = ref(6) // "c", 0666
	shutRef = ref(7) // "s" in "d", 0702; made by TestReads alone
)

// setup makes the objects above.
func setup(t *testing.T, p *nfs3.Program) {
	t.Helper()
	for _, s := range []step{
		{"", root(), procCreate, enc(rootRef, "f", 0, sattr{"mode": 0o640, "uid": 7, "gid": 7})},
		{"", root(), procMkdir, enc(rootRef, "d", sattr{"mode": 0o755})},
		{"", root(), procSymlink, enc(rootRef, "l", sattr{}, "f")},
		{"", root(), procMknod, enc(rootRef, "p", 7, sattr{"mode": 0o600})},
		{"", root(), procMknod, enc(rootRef, "c", 4, sattr{"mode": 0o666}, 1, 3)},
		{"", root(), procWrite, enc(fileRef, uint64(0), 5, 2, []byte("hello"))},
	} {
		b, err := serve(t, p, s.cred, s.proc, s.args)
		if err != nil || len(b) < 4 || string(b[:4]) != "\x00\x00\x00\x00" {
			t.Fatalf("setup, procedure %d: %v, %x", s.proc, err, b)
		}
	}
}

func TestReads(t *testing.T) {
	p := newProgram(t, newModel())
	setup(t, p)
	if _, err := serve(t, p, root(), procMkdir, enc(dirRef, "s", sattr{"mode": 0o702})); err != nil {
		t.Fatal(err)
	}
	bad := make([]byte, 36)
	run(t, p, []step{
		{"NULL", root(), procNull, nil},
		{"NULL with arguments", root(), procNull, enc(5)},
		{"GETATTR", root(), procGetattr, enc(fileRef)},
		{"GETATTR root", user(9), procGetattr, enc(rootRef)},
		{"GETATTR device", user(9), procGetattr, enc(devRef)},
		{"GETATTR symlink", user(9), procGetattr, enc(linkRef)},
		{"GETATTR gone", root(), procGetattr, enc(noRef)},
		{"GETATTR other generation", root(), procGetattr, enc(vfs.Ref{Ino: 2, Gen: 77})},
		{"GETATTR forged handle", root(), procGetattr, enc(bad)},
		{"GETATTR empty handle", root(), procGetattr, enc("")},
		{"GETATTR handle of 64 bytes", root(), procGetattr, enc(long(64))},
		{"GETATTR handle of 65 bytes", root(), procGetattr, enc(long(65))},
		{"GETATTR trailing bytes", root(), procGetattr, append(enc(linkRef), 1, 2, 3, 4)},

		{"LOOKUP", user(9), procLookup, enc(rootRef, "f")},
		{"LOOKUP dot", user(9), procLookup, enc(dirRef, ".")},
		{"LOOKUP dot dot", user(9), procLookup, enc(dirRef, "..")},
		{"LOOKUP dot dot of the root", user(9), procLookup, enc(rootRef, "..")},
		{"LOOKUP missing", user(9), procLookup, enc(rootRef, "nope")},
		{"LOOKUP in a file", user(9), procLookup, enc(fileRef, "x")},
		{"LOOKUP in a removed directory", user(9), procLookup, enc(noRef, "x")},
		{"LOOKUP forged", user(9), procLookup, enc(bad, "x")},
		{"LOOKUP empty", user(9), procLookup, enc(rootRef, "")},
		{"LOOKUP slash", user(9), procLookup, enc(rootRef, "a/b")},
		{"LOOKUP NUL", user(9), procLookup, enc(rootRef, "a\x00")},
		{"LOOKUP 255", user(9), procLookup, enc(rootRef, long(255))},
		{"LOOKUP 256", user(9), procLookup, enc(rootRef, long(256))},
		{"LOOKUP 256 in a file", user(9), procLookup, enc(fileRef, long(256))},
		{"LOOKUP 256 in a removed directory", user(9), procLookup, enc(noRef, long(256))},
		{"LOOKUP in a directory that may not be searched", user(9), procLookup, enc(shutRef, "f")},
		{"LOOKUP 256 in a directory that may not be searched", user(9), procLookup, enc(shutRef, long(256))},
		{"LOOKUP any bytes", user(9), procLookup, enc(rootRef, "\xff\xfe \n")},

		{"ACCESS file, owner", user(7), procAccess, enc(fileRef, 0x3f)},
		{"ACCESS file, other", user(9), procAccess, enc(fileRef, 0x3f)},
		{"ACCESS file, root", root(), procAccess, enc(fileRef, 0x3f)},
		{"ACCESS directory, other", user(9), procAccess, enc(dirRef, 0x3f)},
		{"ACCESS directory, root", root(), procAccess, enc(dirRef, 0xff)},
		{"ACCESS directory that may be written but not searched", user(9), procAccess, enc(shutRef, 0x3f)},
		{"ACCESS asked for less", root(), procAccess, enc(dirRef, 0x12)},
		{"ACCESS device", user(9), procAccess, enc(devRef, 0x3f)},
		{"ACCESS gone", root(), procAccess, enc(noRef, 0x3f)},

		{"READLINK", user(9), procReadlink, enc(linkRef)},
		{"READLINK of a file", user(9), procReadlink, enc(fileRef)},
		{"READLINK gone", user(9), procReadlink, enc(noRef)},

		{"READ", user(7), procRead, enc(fileRef, uint64(0), 3)},
		{"READ to the end", user(7), procRead, enc(fileRef, uint64(3), 2)},
		{"READ over the end", user(7), procRead, enc(fileRef, uint64(1), 4096)},
		{"READ at the end", user(7), procRead, enc(fileRef, uint64(5), 10)},
		{"READ past all ends", user(7), procRead, enc(fileRef, uint64(1<<64-1), 1<<31)},
		{"READ nothing", user(7), procRead, enc(fileRef, uint64(0), 0)},
		{"READ forbidden", user(9), procRead, enc(fileRef, uint64(0), 3)},
		{"READ directory", root(), procRead, enc(dirRef, uint64(0), 3)},
		{"READ fifo", root(), procRead, enc(fifoRef, uint64(0), 3)},
		{"READ gone", root(), procRead, enc(noRef, uint64(0), 3)},

		{"READDIR", user(9), procReaddir, enc(rootRef, uint64(0), verf, 4096)},
		{"READDIR from a cookie", user(9), procReaddir, enc(rootRef, uint64(4), verf, 4096)},
		{"READDIR past the end", user(9), procReaddir, enc(rootRef, uint64(1<<63), verf, 4096)},
		{"READDIR room for the frame only", user(9), procReaddir, enc(rootRef, uint64(0), verf, 104)},
		{"READDIR room for nothing", user(9), procReaddir, enc(rootRef, uint64(0), verf, 0)},
		{"READDIR frame at the end", user(9), procReaddir, enc(rootRef, uint64(99), verf, 104)},
		{"READDIR less than the frame at the end", user(9), procReaddir, enc(rootRef, uint64(99), verf, 103)},
		{"READDIR of a file", user(9), procReaddir, enc(fileRef, uint64(0), verf, 4096)},
		{"READDIR gone", user(9), procReaddir, enc(noRef, uint64(0), verf, 4096)},
		{"READDIRPLUS", user(9), procReaddirplus, enc(rootRef, uint64(6), verf, 1, 4096)},
		{"READDIRPLUS too small", user(9), procReaddirplus, enc(rootRef, uint64(0), verf, 4096, 104+159)},

		{"FSSTAT", user(9), procFsstat, enc(rootRef)},
		{"FSSTAT gone", user(9), procFsstat, enc(noRef)},
		{"FSINFO", user(9), procFsinfo, enc(rootRef)},
		{"FSINFO gone", user(9), procFsinfo, enc(noRef)},
		{"PATHCONF", user(9), procPathconf, enc(fileRef)},
		{"PATHCONF gone", user(9), procPathconf, enc(noRef)},

		{"COMMIT", user(7), procCommit, enc(fileRef, uint64(0), 0)},
		{"COMMIT beyond all offsets", user(7), procCommit, enc(fileRef, uint64(1<<64-1), 1<<31)},
		{"COMMIT forbidden", user(9), procCommit, enc(fileRef, uint64(0), 0)},
		{"COMMIT directory", root(), procCommit, enc(dirRef, uint64(0), 0)},
		{"COMMIT fifo", root(), procCommit, enc(fifoRef, uint64(0), 0)},
		{"COMMIT gone", root(), procCommit, enc(noRef, uint64(0), 0)},
	})
}

func TestMakes(t *testing.T) {
	p := newProgram(t, newModel())
	setup(t, p)
	const client2001 = 978307200 * 1_000_000_000 // a time that a client sets
	run(t, p, []step{
		{"CREATE unchecked", root(), procCreate, enc(dirRef, "a", 0, sattr{"mode": 0o106755, "size": 5000})},
		{"CREATE unchecked again", root(), procCreate, enc(dirRef, "a", 0, sattr{"mode": 0o600, "size": 3})},
		{"CREATE guarded", root(), procCreate, enc(dirRef, "a", 1, sattr{"mode": 0o600})},
		{"CREATE without a mode", root(), procCreate, enc(dirRef, "b", 1, sattr{})},
		{"CREATE exclusive", root(), procCreate, enc(dirRef, "e", 2, verf)},
		{"CREATE exclusive again", root(), procCreate, enc(dirRef, "e", 2, verf)},
		{"CREATE exclusive, other verifier", root(), procCreate, enc(dirRef, "e", 2, [8]byte{9})},
		{"CREATE over a directory", root(), procCreate, enc(rootRef, "d", 0, sattr{})},
		{"CREATE how 3", root(), procCreate, enc(dirRef, "x", 3, sattr{})},
		{"CREATE forbidden", user(9), procCreate, enc(dirRef, "x", 0, sattr{})},
		{"CREATE in a file", root(), procCreate, enc(fileRef, "x", 0, sattr{})},
		{"CREATE gone", root(), procCreate, enc(noRef, "x", 0, sattr{})},
		{"CREATE dot", root(), procCreate, enc(dirRef, ".", 0, sattr{})},
		{"CREATE dot dot", root(), procCreate, enc(dirRef, "..", 2, verf)},
		{"CREATE empty", root(), procCreate, enc(dirRef, "", 0, sattr{})},
		{"CREATE slash", root(), procCreate, enc(dirRef, "a/b", 0, sattr{})},
		{"CREATE NUL", root(), procCreate, enc(dirRef, "\x00", 0, sattr{})},
		{"CREATE 256", root(), procCreate, enc(dirRef, long(256), 0, sattr{})},
		{"CREATE 256 in a file", root(), procCreate, enc(fileRef, long(256), 0, sattr{})},
		{"CREATE 256 gone", root(), procCreate, enc(noRef, long(256), 0, sattr{})},
		{"CREATE too many nanoseconds", root(), procCreate, append(enc(dirRef, "x", 0, false, false, false, false, 0, 2, 1), 0x3b, 0x9a, 0xca, 0)},
		{"CREATE time_how 3", root(), procCreate, enc(dirRef, "x", 0, false, false, false, false, 3, 0)},
		{"CREATE bool of 2", root(), procCreate, enc(dirRef, "x", 0, 2, false, false, false, 0, 0)},

		{"MKDIR", root(), procMkdir, enc(dirRef, "s", sattr{"mode": 0o40750, "uid": 7, "gid": 8, "size": 99, "atime": client2001, "mtime": -1})},
		{"MKDIR again", root(), procMkdir, enc(dirRef, "s", sattr{})},
		{"MKDIR dot", root(), procMkdir, enc(dirRef, ".", sattr{})},
		{"MKDIR empty", root(), procMkdir, enc(dirRef, "", sattr{})},
		{"MKDIR forbidden", user(9), procMkdir, enc(dirRef, "x", sattr{})},

		{"SYMLINK", root(), procSymlink, enc(dirRef, "y", sattr{"mode": 0o600, "size": 99}, "../some where")},
		{"SYMLINK again", root(), procSymlink, enc(dirRef, "y", sattr{}, "z")},
		{"SYMLINK dot dot", root(), procSymlink, enc(dirRef, "..", sattr{}, "z")},
		{"SYMLINK to nothing", root(), procSymlink, enc(dirRef, "x", sattr{}, "")},
		{"SYMLINK to NUL", root(), procSymlink, enc(dirRef, "x", sattr{}, "a\x00b")},
		{"SYMLINK to 4096 bytes", root(), procSymlink, enc(dirRef, "x", sattr{}, long(4096))},
		{"SYMLINK long name", root(), procSymlink, enc(dirRef, long(300), sattr{}, "z")},

		{"MKNOD fifo", root(), procMknod, enc(dirRef, "q", 7, sattr{"mode": 0o644})},
		{"MKNOD socket", user(0), procMknod, enc(dirRef, "k", 6, sattr{"mode": 0o600})},
		{"MKNOD block device", root(), procMknod, enc(dirRef, "v", 3, sattr{"mode": 0o600}, 8, 17)},
		{"MKNOD again", root(), procMknod, enc(dirRef, "v", 3, sattr{}, 8, 17)},
		{"MKNOD dot", root(), procMknod, enc(dirRef, ".", 7, sattr{})},
		{"MKNOD regular file", root(), procMknod, enc(dirRef, "x", 1)},
		{"MKNOD directory", root(), procMknod, enc(dirRef, "x", 2)},
		{"MKNOD symlink", root(), procMknod, enc(dirRef, "x", 5)},
		{"MKNOD type 0", root(), procMknod, enc(dirRef, "x", 0)},
		{"MKNOD type 8", root(), procMknod, enc(dirRef, "x", 8)},
		{"MKNOD type 8, gone", root(), procMknod, enc(noRef, "x", 8)},

		{"LINK", root(), procLink, enc(fileRef, dirRef, "h")},
		{"LINK again", root(), procLink, enc(fileRef, dirRef, "h")},
		{"LINK dot", root(), procLink, enc(fileRef, dirRef, ".")},
		{"LINK directory", root(), procLink, enc(dirRef, dirRef, "x")},
		{"LINK into a file", root(), procLink, enc(fileRef, fileRef, "x")},
		{"LINK file gone", root(), procLink, enc(noRef, dirRef, "x")},
		{"LINK directory gone", root(), procLink, enc(fileRef, noRef, "x")},
		{"LINK file forged", root(), procLink, enc("forged", dirRef, "x")},
		{"LINK directory forged", root(), procLink, enc(fileRef, "forged", "x")},
		{"LINK empty", root(), procLink, enc(fileRef, dirRef, "")},
		{"LINK 256, directory gone", root(), procLink, enc(fileRef, noRef, long(256))},
		{"LINK 256, file gone", root(), procLink, enc(noRef, dirRef, long(256))},
		{"LINK 256, into a file", root(), procLink, enc(fileRef, fileRef, long(256))},
		{"LINK forbidden", user(9), procLink, enc(fileRef, dirRef, "x")},
	})
}

func TestChanges(t *testing.T) {
	p := newProgram(t, newModel())
	setup(t, p)
	const when = int64(epoch) + 77
	ctime := epoch + 6 // of the file after setup
	run(t, p, []step{
		{"SETATTR other guard", root(), procSetattr, enc(fileRef, sattr{"mode": 0o600}, true, ctime+1)},
		{"SETATTR guard", root(), procSetattr, enc(fileRef, sattr{"mode": 0o600}, true, ctime)},
		{"SETATTR size and times", user(7), procSetattr, enc(fileRef, sattr{"size": 2, "atime": when, "mtime": when}, false)},
		{"SETATTR owner, not owner", user(9), procSetattr, enc(fileRef, sattr{"uid": 9}, false)},
		{"SETATTR owner -1 is left alone", root(), procSetattr, enc(fileRef, sattr{"uid": 1<<32 - 1, "gid": 1<<32 - 1}, false)},
		{"SETATTR nothing", root(), procSetattr, enc(fileRef, sattr{}, false)},
		{"SETATTR size of a directory", root(), procSetattr, enc(dirRef, sattr{"size": 0}, false)},
		{"SETATTR size over the limit", root(), procSetattr, enc(fileRef, sattr{"size": 1 << 60}, false)},
		{"SETATTR too many nanoseconds", root(), procSetattr, append(enc(fileRef, sattr{}, true, 0), 0x3b, 0x9a, 0xca, 0)},
		{"SETATTR gone", root(), procSetattr, enc(noRef, sattr{"mode": 1}, false)},

		{"WRITE", user(7), procWrite, enc(fileRef, uint64(1), 3, 0, []byte("abc"))},
		{"WRITE DATA_SYNC over a hole", root(), procWrite, enc(fileRef, uint64(10000), 1, 1, []byte("z"))},
		{"WRITE nothing", root(), procWrite, enc(fileRef, uint64(0), 0, 2, []byte{})},
		{"WRITE count too big", root(), procWrite, enc(fileRef, uint64(0), 4, 2, []byte("abc"))},
		{"WRITE count too small", root(), procWrite, enc(fileRef, uint64(0), 2, 2, []byte("abc"))},
		{"WRITE stable 3", root(), procWrite, enc(fileRef, uint64(0), 3, 3, []byte("abc"))},
		{"WRITE forbidden", user(9), procWrite, enc(fileRef, uint64(0), 3, 2, []byte("abc"))},
		{"WRITE directory", root(), procWrite, enc(dirRef, uint64(0), 3, 2, []byte("abc"))},
		{"WRITE fifo", root(), procWrite, enc(fifoRef, uint64(0), 3, 2, []byte("abc"))},
		{"WRITE beyond the largest file", root(), procWrite, enc(fileRef, uint64(1<<43-3), 3, 2, []byte("abc"))},
		{"WRITE beyond all offsets", root(), procWrite, enc(fileRef, uint64(1<<63-3), 3, 2, []byte("abc"))},
		{"WRITE around zero", root(), procWrite, enc(fileRef, uint64(1<<64-2), 3, 2, []byte("abc"))},
		{"WRITE gone", root(), procWrite, enc(noRef, uint64(0), 3, 2, []byte("abc"))},

		{"RENAME in one directory", root(), procRename, enc(rootRef, "f", rootRef, "g")},
		{"RENAME to another", root(), procRename, enc(rootRef, "g", dirRef, "g")},
		{"RENAME missing", root(), procRename, enc(rootRef, "g", dirRef, "g")},
		{"RENAME into itself", root(), procRename, enc(rootRef, "d", dirRef, "x")},
		{"RENAME dot", root(), procRename, enc(dirRef, ".", dirRef, "x")},
		{"RENAME to dot dot", root(), procRename, enc(dirRef, "g", dirRef, "..")},
		{"RENAME empty", root(), procRename, enc(dirRef, "", dirRef, "x")},
		{"RENAME to 256", root(), procRename, enc(dirRef, "g", rootRef, long(256))},
		{"RENAME to slash, first gone", root(), procRename, enc(noRef, "g", rootRef, "/")},
		{"RENAME to slash, second a file", root(), procRename, enc(rootRef, "g", fileRef, "/")},
		{"RENAME second gone", root(), procRename, enc(dirRef, "g", noRef, "x")},
		{"RENAME first forged", root(), procRename, enc("forged", "g", dirRef, "x")},
		{"RENAME second forged", root(), procRename, enc(dirRef, "g", "forged", "x")},
		{"RENAME forbidden", user(9), procRename, enc(dirRef, "g", dirRef, "x")},

		{"REMOVE directory", root(), procRemove, enc(rootRef, "d")},
		{"REMOVE missing", root(), procRemove, enc(rootRef, "nope")},
		{"REMOVE dot", root(), procRemove, enc(dirRef, ".")},
		{"REMOVE dot dot", root(), procRemove, enc(dirRef, "..")},
		{"REMOVE empty", root(), procRemove, enc(dirRef, "")},
		{"REMOVE 256", root(), procRemove, enc(dirRef, long(256))},
		{"REMOVE in a file", root(), procRemove, enc(fileRef, "x")},
		{"REMOVE gone", root(), procRemove, enc(noRef, "x")},
		{"REMOVE forbidden", user(9), procRemove, enc(dirRef, "g")},
		{"RMDIR not empty", root(), procRmdir, enc(rootRef, "d")},
		{"REMOVE", root(), procRemove, enc(dirRef, "g")},
		{"RMDIR file", root(), procRmdir, enc(rootRef, "l")},
		{"RMDIR dot", root(), procRmdir, enc(rootRef, ".")},
		{"RMDIR dot dot", root(), procRmdir, enc(rootRef, "..")},
		{"RMDIR slash", root(), procRmdir, enc(rootRef, "d/")},
		{"RMDIR", root(), procRmdir, enc(rootRef, "d")},
		{"GETATTR of the removed directory", root(), procGetattr, enc(dirRef)},
		{"GETATTR of the removed file", root(), procGetattr, enc(fileRef)},
	})
}
