package modelfs_test

import (
	"context"
	"testing"

	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

// The callers of the tests. Alice and Bob share the group staff.
var (
	alice = vfs.Cred{UID: 1000, GID: 1000, Groups: []uint32{staff}}
	bob   = vfs.Cred{UID: 1001, GID: 1001, Groups: []uint32{staff}}
	carol = vfs.Cred{UID: 1002, GID: 1002}
	root  = vfs.Ref{Ino: vfs.RootIno}
)

const staff uint32 = 50

// volume is a model with helpers that fail the test.
type volume struct {
	*testing.T
	fs *modelfs.FS
}

// newVolume makes a volume whose clock stands still at 1000 ns, so that every
// time seen in a test is the model's own count of changes. Anybody may write
// to the root directory.
func newVolume(t *testing.T) volume {
	t.Helper()
	clock := func() vfs.Time { return 1000 }
	return volume{t, modelfs.New(modelfs.WithClock(clock), modelfs.WithRoot(0, 0, 0o777))}
}

func (v volume) do(cred vfs.Cred, op vfs.Op) vfs.Result {
	v.Helper()
	r, err := v.fs.Mutate(context.Background(), &vfs.Call{Cred: cred}, op)
	if err != nil {
		v.Fatalf("Mutate(%T): %v", op, err)
	}
	return r
}

// want runs op and compares the verdict.
func (v volume) want(cred vfs.Cred, op vfs.Op, kind vfs.Kind) vfs.Result {
	v.Helper()
	r := v.do(cred, op)
	if r.Kind != kind {
		v.Fatalf("%T %+v by %d: got %q, want %q", op, op, cred.UID, r.Kind, kind)
	}
	return r
}

func (v volume) create(cred vfs.Cred, dir vfs.Ref, name string, mode uint32) vfs.Ref {
	v.Helper()
	return v.want(cred, &vfs.OpCreate{Dir: dir, Name: name, Mode: vfs.CreateGuarded, Set: withMode(mode)}, vfs.OK).Attr.Ref
}

func (v volume) mkdir(cred vfs.Cred, dir vfs.Ref, name string, mode uint32) vfs.Ref {
	v.Helper()
	return v.want(cred, &vfs.OpMkdir{Dir: dir, Name: name, Set: withMode(mode)}, vfs.OK).Attr.Ref
}

func (v volume) attr(ref vfs.Ref) vfs.Attr {
	v.Helper()
	r, err := v.fs.GetAttr(context.Background(), ref)
	if err != nil || r.Kind != vfs.OK {
		v.Fatalf("GetAttr(%v): %v, %v", ref, r.Kind, err)
	}
	return r.Attr
}

func (v volume) lookup(cred vfs.Cred, dir vfs.Ref, name string) vfs.LookupResult {
	v.Helper()
	r, err := v.fs.Lookup(context.Background(), cred, dir, name)
	if err != nil {
		v.Fatalf("Lookup: %v", err)
	}
	return r
}

func (v volume) read(cred vfs.Cred, ref vfs.Ref, off uint64, n int) (string, vfs.ReadResult) {
	v.Helper()
	buf := make([]byte, n)
	r, err := v.fs.Read(context.Background(), cred, ref, off, buf)
	if err != nil {
		v.Fatalf("Read: %v", err)
	}
	return string(buf[:r.N]), r
}

func (v volume) list(dir vfs.Ref, after vfs.Cookie, limit int) vfs.ReadDirResult {
	v.Helper()
	r, err := v.fs.ReadDir(context.Background(), vfs.Root, dir, after, true, limit)
	if err != nil || r.Kind != vfs.OK {
		v.Fatalf("ReadDir: %v, %v", r.Kind, err)
	}
	return r
}

func withMode(mode uint32) vfs.SetAttr { return vfs.SetAttr{Mask: vfs.SetMode, Mode: mode} }
