package nfs3_test

import (
	"net/netip"
	"strings"
	"testing"

	"twofold/nfs/rpc"
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
