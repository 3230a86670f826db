package nfs3_test

import (
	"errors"
	"testing"

	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

// maxOverhead is the most that a reply has besides the data that was asked for.
const maxOverhead = 4096

// fuzz gives one procedure arbitrary arguments on a small volume. It may refuse
// them, and else must answer with a reply that decodes to its last byte.
func fuzz(f *testing.F, proc uint32) {
	for _, args := range validArgs()[proc] {
		f.Add(args)
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		p := newProgram(t, newModel())
		setup(t, p)
		if n := p.ReplySize(call(proc, args)); n < 0 || n > vfs.MaxIO+maxOverhead {
			t.Fatalf("%d bytes of reply expected", n)
		}
		b, err := serve(t, p, root(), proc, args)
		if err != nil {
			if !errors.Is(err, rpc.ErrGarbageArgs) || len(b) != 0 {
				t.Fatalf("%v, %d bytes of reply", err, len(b))
			}
			return
		}
		if _, err := readable(proc, b); err != nil {
			t.Fatal(err)
		}
		if len(b) > maxOverhead+len(args) {
			t.Fatalf("%d bytes of reply", len(b))
		}
	})
}

func FuzzGetattr(f *testing.F)     { fuzz(f, procGetattr) }
func FuzzSetattr(f *testing.F)     { fuzz(f, procSetattr) }
func FuzzLookup(f *testing.F)      { fuzz(f, procLookup) }
func FuzzAccess(f *testing.F)      { fuzz(f, procAccess) }
func FuzzReadlink(f *testing.F)    { fuzz(f, procReadlink) }
func FuzzRead(f *testing.F)        { fuzz(f, procRead) }
func FuzzWrite(f *testing.F)       { fuzz(f, procWrite) }
func FuzzCreate(f *testing.F)      { fuzz(f, procCreate) }
func FuzzMkdir(f *testing.F)       { fuzz(f, procMkdir) }
func FuzzSymlink(f *testing.F)     { fuzz(f, procSymlink) }
func FuzzMknod(f *testing.F)       { fuzz(f, procMknod) }
func FuzzRemove(f *testing.F)      { fuzz(f, procRemove) }
func FuzzRmdir(f *testing.F)       { fuzz(f, procRmdir) }
func FuzzRename(f *testing.F)      { fuzz(f, procRename) }
func FuzzLink(f *testing.F)        { fuzz(f, procLink) }
func FuzzReaddir(f *testing.F)     { fuzz(f, procReaddir) }
func FuzzReaddirplus(f *testing.F) { fuzz(f, procReaddirplus) }
func FuzzFsstat(f *testing.F)      { fuzz(f, procFsstat) }
func FuzzFsinfo(f *testing.F)      { fuzz(f, procFsinfo) }
func FuzzPathconf(f *testing.F)    { fuzz(f, procPathconf) }
func FuzzCommit(f *testing.F)      { fuzz(f, procCommit) }
