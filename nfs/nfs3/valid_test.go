package nfs3_test

import (
	"errors"
	"fmt"
	"testing"

	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

// validArgs has arguments of good calls for every procedure but NULL, all of
// which work on the volume that setup makes.
func validArgs() map[uint32][][]byte {
	all := sattr{"mode": 0o640, "uid": 1, "gid": 2, "size": 3, "atime": int64(epoch), "mtime": -1}
	return map[uint32][][]byte{
		procGetattr:     {enc(fileRef)},
		procSetattr:     {enc(fileRef, all, true, epoch), enc(fileRef, sattr{}, false)},
		procLookup:      {enc(rootRef, "f"), enc(dirRef, "..")},
		procAccess:      {enc(fileRef, 0x3f)},
		procReadlink:    {enc(linkRef)},
		procRead:        {enc(fileRef, uint64(1), 100)},
		procWrite:       {enc(fileRef, uint64(1), 5, 2, []byte("abcde"))},
		procCreate:      {enc(dirRef, "new", 0, all), enc(dirRef, "n", 1, sattr{}), enc(dirRef, "excl", 2, verf)},
		procMkdir:       {enc(dirRef, "new", all)},
		procSymlink:     {enc(dirRef, "new", all, "target")},
		procMknod:       {enc(dirRef, "new", 4, all, 1, 3), enc(dirRef, "new", 7, sattr{}), enc(dirRef, "new", 1)},
		procRemove:      {enc(rootRef, "f")},
		procRmdir:       {enc(rootRef, "d")},
		procRename:      {enc(rootRef, "f", dirRef, "new")},
		procLink:        {enc(fileRef, dirRef, "new")},
		procReaddir:     {enc(rootRef, uint64(0), verf, 400)},
		procReaddirplus: {enc(rootRef, uint64(2), verf, 512, 1000)},
		procFsstat:      {enc(rootRef)},
		procFsinfo:      {enc(rootRef)},
		procPathconf:    {enc(rootRef)},
		procCommit:      {enc(fileRef, uint64(0), 0)},
	}
}

// Every call that ends early is refused as garbage, writes nothing and changes
// nothing.
func TestTruncated(t *testing.T) {
	model := newModel()
	p := newProgram(t, model)
	setup(t, p)
	before, err := model.GetAttr(t.Context(), rootRef)
	if err != nil {
		t.Fatal(err)
	}
	for proc := uint32(1); proc < procCount; proc++ {
		calls := validArgs()[proc]
		if len(calls) == 0 {
			t.Errorf("no valid call of procedure %d", proc)
		}
		for _, args := range calls {
			for n := range args {
				b, err := serve(t, p, root(), proc, args[:n])
				if !errors.Is(err, rpc.ErrGarbageArgs) || len(b) != 0 {
					t.Fatalf("procedure %d, %d of %d bytes: %v, %d bytes of reply", proc, n, len(args), err, len(b))
				}
			}
		}
	}
	if after, err := model.GetAttr(t.Context(), rootRef); err != nil || after != before {
		t.Errorf("truncated calls changed the root: %+v, then %+v (%v)", before, after, err)
	}
}

// The valid calls are valid: each is answered OK on a volume of its own, but
// for the MKNOD of a type that has no arguments.
func TestValidCallsAreAnswered(t *testing.T) {
	for proc, calls := range validArgs() {
		for i, args := range calls {
			p := newProgram(t, newModel())
			setup(t, p)
			b, err := serve(t, p, root(), proc, args)
			if err != nil {
				t.Errorf("procedure %d: %v", proc, err)
				continue
			}
			got, err := readable(proc, b)
			switch {
			case err != nil:
				t.Errorf("procedure %d: %v", proc, err)
			case proc == procMknod && i == 2, proc == procSetattr && i == 0: // a type, a guard that do not fit
			case got[:3] != "OK ":
				t.Errorf("procedure %d, call %d: %s", proc, i, got)
			}
		}
	}
}

func TestUnknownProcedure(t *testing.T) {
	p := newProgram(t, newModel())
	for _, proc := range []uint32{procCount, 100, 1<<32 - 1} {
		if b, err := serve(t, p, root(), proc, nil); !errors.Is(err, rpc.ErrProcUnavail) || len(b) != 0 {
			t.Errorf("procedure %d: %v, %d bytes", proc, err, len(b))
		}
	}
}

// Lengths that promise more than there is must cost nothing and be refused.
func TestHugeLengths(t *testing.T) {
	p := newProgram(t, newModel())
	for _, c := range []struct {
		proc uint32
		args []byte
	}{
		{procGetattr, enc(-1)},
		{procLookup, enc(rootRef, -1)},
		{procWrite, enc(fileRef, uint64(0), -1, 2, -1)},
		{procSymlink, enc(rootRef, "x", sattr{}, -1)},
		{procLookup, enc(rootRef, 1<<31-1, 0)},
	} {
		if _, err := serve(t, p, root(), c.proc, c.args); !errors.Is(err, rpc.ErrGarbageArgs) {
			t.Errorf("procedure %d: %v", c.proc, err)
		}
	}
}

// A WRITE of more than wtmax is cut, and the count tells; a READ of more than
// rtmax is short.
func TestLargestTransfers(t *testing.T) {
	p := newProgram(t, newModel())
	setup(t, p)
	data := make([]byte, vfs.MaxIO+5)
	for i := range data {
		data[i] = byte(i % 251)
	}
	b, err := serve(t, p, root(), procWrite, enc(fileRef, uint64(0), len(data), 0, data))
	if err != nil {
		t.Fatal(err)
	}
	const want = "OK before=5B,6,6 after={reg 0640 n1 7:7 1048576B used1048576 dev0,0 #2 1/7/7} count=1048576 committed=2 verf=e0e1e2e3e4e5e6e7"
	if got, err := readable(procWrite, b); got != want || err != nil {
		t.Errorf("WRITE: %s, %v", got, err)
	}
	b, err = serve(t, p, root(), procRead, enc(fileRef, uint64(0), 1<<31))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readable(procRead, b)
	if want := fmt.Sprintf("OK obj={reg 0640 n1 7:7 1048576B used1048576 dev0,0 #2 1/7/7} count=1048576 eof=true data=%q", data[:vfs.MaxIO]); got != want || err != nil {
		t.Errorf("READ: %.200s, %v", got, err)
	}
}
