package nfs3_test

import (
	"context"
	"testing"

	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// stillFS answers at once and alike, so that a benchmark sees this package only.
type stillFS struct {
	vfs.FS
	attr vfs.Attr
}

func (s *stillFS) Volume() (vfs.Volume, error) { return volume, nil }

func (s *stillFS) GetAttr(context.Context, vfs.Ref) (vfs.AttrResult, error) {
	return vfs.AttrResult{Attr: s.attr}, nil
}

func (s *stillFS) Lookup(context.Context, vfs.Cred, vfs.Ref, string) (vfs.LookupResult, error) {
	return vfs.LookupResult{Attr: s.attr, HasDir: true, Dir: s.attr}, nil
}

func (s *stillFS) Read(_ context.Context, _ vfs.Cred, _ vfs.Ref, _ uint64, buf []byte) (vfs.ReadResult, error) {
	return vfs.ReadResult{N: len(buf), HasAttr: true, Attr: s.attr}, nil
}

func (s *stillFS) Mutate(_ context.Context, _ *vfs.Call, op vfs.Op) (vfs.Result, error) {
	return vfs.Result{HasAttr: true, Attr: s.attr, Count: uint32(len(op.(*vfs.OpWrite).Data)),
		WCC: [2]vfs.WCC{{HasBefore: true, HasAfter: true, After: s.attr}}}, nil
}

func still() *stillFS {
	return &stillFS{attr: vfs.Attr{Ref: fileRef, Type: vfs.TypeReg, Mode: 0o644, Nlink: 1, Size: 1 << 30}}
}

// hotCalls are the calls that a busy client makes most, and how many
// allocations each may cost.
var hotCalls = []struct {
	name   string
	proc   uint32
	args   []byte
	allocs float64
}{
	{"Getattr", procGetattr, enc(fileRef), 0},
	{"Lookup", procLookup, enc(dirRef, "some-longer-name.html"), 1},
	{"Access", procAccess, enc(fileRef, 0x3f), 0},
	{"Read4K", procRead, enc(fileRef, uint64(0), 4096), 0},
	{"Write4K", procWrite, enc(fileRef, uint64(0), 4096, 2, make([]byte, 4096)), 1},
}

// The busiest procedures allocate no more than the table says.
func TestAllocations(t *testing.T) {
	p := newProgram(t, still())
	for _, c := range hotCalls {
		k := call(c.proc, c.args)
		w := &xdr.Writer{B: make([]byte, 0, 8192)}
		n := testing.AllocsPerRun(200, func() {
			w.Truncate(0)
			p.ReplySize(k)
			if err := p.ServeRPC(t.Context(), k, w); err != nil {
				t.Fatal(err)
			}
		})
		// The race detector makes sync.Pool forget things on purpose.
		if n > c.allocs && !raceEnabled {
			t.Errorf("%s: %v allocations, at most %v are allowed", c.name, n, c.allocs)
		}
	}
}

func BenchmarkServe(b *testing.B) {
	p := newProgram(b, still())
	for _, c := range hotCalls {
		b.Run(c.name, func(b *testing.B) {
			k := call(c.proc, c.args)
			w := &xdr.Writer{B: make([]byte, 0, 8192)}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				w.Truncate(0)
				if err := p.ServeRPC(ctx, k, w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
