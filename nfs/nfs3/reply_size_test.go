package nfs3_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// serveIn serves a call with a buffer of the size that ReplySize gives, and
// reports whether that was enough.
func serveIn(t testing.TB, p rpc.Handler, call *rpc.Call) (size, used int, enough bool) {
	t.Helper()
	size = p.(rpc.ReplySizer).ReplySize(call)
	w := &xdr.Writer{B: make([]byte, 0, size)}
	first := &w.B[:1][0]
	if err := p.ServeRPC(context.Background(), call, w); err != nil {
		t.Fatal(err)
	}
	return size, w.Len(), &w.B[0] == first
}

// A buffer of the expected size holds the reply at its longest, and is not much
// larger than the count that the client gave.
func TestReplySize_IsEnough(t *testing.T) {
	const slack = 1024
	model := newModel()
	populate(t, model, 150)
	p := newProgram(t, model)
	reader := newProgram(t, still())
	for count := 400; count < 4000; count += 37 {
		for _, c := range []struct {
			name string
			p    rpc.Handler
			call *rpc.Call
		}{
			{"READ", reader, call(procRead, enc(fileRef, uint64(0), count))},
			{"READDIR", p, call(procReaddir, enc(rootRef, uint64(0), verf, count))},
			{"READDIRPLUS", p, call(procReaddirplus, enc(rootRef, uint64(0), verf, 1, count))},
		} {
			size, used, enough := serveIn(t, c.p, c.call)
			if !enough || size > count+slack {
				t.Errorf("%s of %d: %d bytes expected, reply of %d, enough: %v", c.name, count, size, used, enough)
			}
		}
	}
	for _, count := range []int{0, 1, 50} {
		for _, k := range []*rpc.Call{
			call(procRead, enc(fileRef, uint64(0), count)),
			call(procReaddir, enc(rootRef, uint64(0), verf, count)),
			call(procReaddirplus, enc(rootRef, uint64(0), verf, 1, count)),
		} {
			if size, used, enough := serveIn(t, p, k); !enough {
				t.Errorf("procedure %d, count %d: %d bytes expected, reply of %d", k.Proc, count, size, used)
			}
		}
	}
}

// A name of 255 bytes that just does not fit is written all the same, and then
// taken back.
func TestReplySize_HasRoomForTheEntryThatDoesNotFit(t *testing.T) {
	model := newModel()
	for i := range 8 {
		name := fmt.Sprintf("%0*d", vfs.MaxName, i)
		res, err := model.Mutate(t.Context(), &vfs.Call{}, &vfs.OpCreate{Dir: rootRef, Name: name})
		if err != nil || res.Kind != vfs.OK {
			t.Fatal(res.Kind, err)
		}
	}
	p := newProgram(t, model)
	for count := 300; count < 4000; count += 4 {
		for _, k := range []*rpc.Call{
			call(procReaddir, enc(rootRef, uint64(0), verf, count)),
			call(procReaddirplus, enc(rootRef, uint64(0), verf, 1, count)),
		} {
			if size, used, enough := serveIn(t, p, k); !enough {
				t.Errorf("procedure %d, count %d: %d bytes expected, reply of %d", k.Proc, count, size, used)
			}
		}
	}
}

// What a client may ask for is bounded, and so is what is expected of it.
func TestReplySize_IsBounded(t *testing.T) {
	p := newProgram(t, newModel())
	for _, k := range []*rpc.Call{
		call(procRead, enc(fileRef, uint64(0), uint32(math.MaxUint32))),
		call(procReaddir, enc(rootRef, uint64(0), verf, uint32(math.MaxUint32))),
		call(procReaddirplus, enc(rootRef, uint64(0), verf, uint32(math.MaxUint32), uint32(math.MaxUint32))),
	} {
		if n := p.ReplySize(k); n < vfs.MaxIO || n > vfs.MaxIO+4096 {
			t.Errorf("procedure %d: %d bytes", k.Proc, n)
		}
		for cut := range k.Args {
			short := *k
			short.Args = k.Args[:cut]
			if n := p.ReplySize(&short); n != 0 {
				t.Errorf("procedure %d, %d bytes of arguments: %d bytes expected", k.Proc, cut, n)
			}
		}
	}
	for proc := range uint32(procCount + 1) {
		switch proc {
		case procRead, procReaddir, procReaddirplus:
		default:
			if n := p.ReplySize(call(proc, enc(rootRef, uint64(1<<40), verf, uint32(math.MaxUint32), 1<<20))); n != 0 {
				t.Errorf("procedure %d: %d bytes", proc, n)
			}
		}
	}
}
