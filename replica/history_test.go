package replica_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"twofold/replica/vfs"
)

// A history is checked against one register per file (its first eight bytes, or its
// size) and one bit per name (there or not).
type (
	opInput struct {
		key   string // partition
		kind  string // write read resize size create remove lookup
		value uint64
	}
	opOutput struct {
		unknown bool // no answer: it may have happened, at any later time
		value   uint64
		kind    vfs.Kind
	}
)

// historyModel says what each operation may answer in which state.
var historyModel = porcupine.Model{
	Partition: func(h []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range h {
			k := op.Input.(opInput).key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(uint64), input.(opInput), output.(opOutput)
		switch in.kind {
		case "write", "resize":
			return out.unknown || out.kind == vfs.OK, in.value
		case "read", "size":
			return out.unknown || out.value == s, s
		case "create":
			if s == 1 {
				return out.unknown || out.kind == vfs.Exist, s
			}
			return out.unknown || out.kind == vfs.OK, uint64(1)
		case "remove":
			if s == 0 {
				return out.unknown || out.kind == vfs.NotExist, s
			}
			return out.unknown || out.kind == vfs.OK, uint64(0)
		case "own": // it is looked at by itself
			return true, s
		default: // lookup
			want := vfs.NotExist
			if s == 1 {
				want = vfs.OK
			}
			return out.unknown || out.kind == want, s
		}
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v -> %+v", input, output)
	},
}

// recorder runs operations against either node and keeps what happened when.
type recorder struct {
	start time.Time
	files []vfs.Ref
	sized []vfs.Ref // files of which only the size is changed

	mu  sync.Mutex
	ops []porcupine.Operation
}

// do runs one operation and records it. Errors other than verdicts are unknown
// outcomes; for reads they are left out, since they say nothing.
func (r *recorder) do(client int, fs vfs.FS, in opInput, run func(context.Context) (opOutput, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	call := r.now()
	out, err := run(ctx)
	end := r.now()
	if err != nil {
		if vfs.NeverProposed(err) || in.kind == "read" || in.kind == "size" || in.kind == "lookup" {
			return
		}
		out, end = opOutput{unknown: true}, math.MaxInt64
	}
	r.add(client, in, out, call, end)
}

func (r *recorder) now() int64 { return time.Since(r.start).Nanoseconds() }

func (r *recorder) add(client int, in opInput, out opOutput, call, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

// work runs eight clients until stop is closed, each at the file system that at
// gives for it.
func (r *recorder) work(wg *sync.WaitGroup, stop <-chan struct{}, seed uint64, at func(client int) vfs.FS) {
	for c := range 8 {
		rng, fs := rand.New(rand.NewPCG(seed, uint64(c))), at(c)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					r.step(c, fs, rng)
					time.Sleep(time.Duration(rng.IntN(4)) * time.Millisecond)
				}
			}
		})
	}
}

func (r *recorder) step(client int, fs vfs.FS, rng *rand.Rand) {
	switch n := rng.IntN(10); {
	case len(r.sized) > 0 && rng.IntN(2) == 0:
		r.size(client, fs, rng)
	case n < 3:
		r.write(client, fs, rng)
	case n < 6:
		r.read(client, fs, rng)
	default:
		r.name(client, fs, rng)
	}
}

func (r *recorder) write(client int, fs vfs.FS, rng *rand.Rand) {
	f := rng.IntN(len(r.files))
	in := opInput{key: fmt.Sprint("file", f), kind: "write", value: rng.Uint64() | 1}
	r.do(client, fs, in, func(ctx context.Context) (opOutput, error) {
		data := binary.BigEndian.AppendUint64(nil, in.value)
		res, err := fs.Mutate(ctx, &vfs.Call{}, &vfs.OpWrite{Ref: r.files[f], Data: data})
		return opOutput{kind: res.Kind}, err
	})
}

func (r *recorder) read(client int, fs vfs.FS, rng *rand.Rand) {
	f := rng.IntN(len(r.files))
	in := opInput{key: fmt.Sprint("file", f), kind: "read"}
	r.do(client, fs, in, func(ctx context.Context) (opOutput, error) {
		var buf [8]byte
		_, err := fs.Read(ctx, vfs.Root, r.files[f], 0, buf[:])
		return opOutput{value: binary.BigEndian.Uint64(buf[:])}, err
	})
}

// sizedName is the name, in the root, of a file whose size is changed.
func sizedName(i int) string { return fmt.Sprint("sized", i) }

// size sets the size of a file, or asks for it in one of several ways.
func (r *recorder) size(client int, fs vfs.FS, rng *rand.Rand) {
	f := rng.IntN(len(r.sized))
	in := opInput{key: sizedName(f), kind: "size"}
	way := rng.IntN(5)
	if way < 2 {
		in.kind, in.value = "resize", 1+rng.Uint64N(1<<40)
	}
	r.do(client, fs, in, func(ctx context.Context) (opOutput, error) {
		switch way {
		case 0, 1:
			set := vfs.SetAttr{Mask: vfs.SetSize, Size: in.value}
			res, err := fs.Mutate(ctx, &vfs.Call{}, &vfs.OpSetAttr{Ref: r.sized[f], Set: set})
			return opOutput{kind: res.Kind}, err
		case 2:
			res, err := fs.GetAttr(ctx, r.sized[f])
			return opOutput{value: res.Attr.Size}, err
		case 3:
			res, err := fs.Lookup(ctx, vfs.Root, rootRef(fs), in.key)
			return opOutput{value: res.Attr.Size}, err
		default:
			res, err := fs.ReadDir(ctx, vfs.Root, rootRef(fs), 0, true, 100)
			for _, e := range res.Entries {
				if e.Name == in.key {
					return opOutput{value: e.Attr.Size}, err
				}
			}
			return opOutput{value: math.MaxUint64}, err
		}
	})
}

func (r *recorder) name(client int, fs vfs.FS, rng *rand.Rand) {
	root := rootRef(fs)
	name := fmt.Sprint("name", rng.IntN(4))
	switch rng.IntN(3) {
	case 0:
		r.do(client, fs, opInput{key: name, kind: "create"}, func(ctx context.Context) (opOutput, error) {
			res, err := fs.Mutate(ctx, &vfs.Call{}, &vfs.OpCreate{Dir: root, Name: name, Mode: vfs.CreateGuarded})
			return opOutput{kind: res.Kind}, err
		})
	case 1:
		r.do(client, fs, opInput{key: name, kind: "remove"}, func(ctx context.Context) (opOutput, error) {
			res, err := fs.Mutate(ctx, &vfs.Call{}, &vfs.OpRemove{Dir: root, Name: name})
			return opOutput{kind: res.Kind}, err
		})
	default:
		r.do(client, fs, opInput{key: name, kind: "lookup"}, func(ctx context.Context) (opOutput, error) {
			res, err := fs.Lookup(ctx, vfs.Root, root, name)
			return opOutput{kind: res.Kind}, err
		})
	}
}

// check fails the test if the history is not linearizable.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	answered := 0
	for _, op := range r.ops {
		if !op.Output.(opOutput).unknown {
			answered++
		}
	}
	t.Logf("%d operations, %d answered", len(r.ops), answered)
	if answered < len(r.ops)/2 {
		t.Errorf("only %d of %d operations were answered", answered, len(r.ops))
	}
	switch porcupine.CheckOperationsTimeout(historyModel, r.ops, 60*time.Second) {
	case porcupine.Illegal:
		t.Error("the history is not linearizable")
	case porcupine.Unknown:
		t.Error("the history could not be checked in time")
	}
}

// The model itself must refuse a stale read, or the tests could not fail.
func TestHistoryModel_RefusesAStaleRead(t *testing.T) {
	op := func(client int, kind string, value uint64, call, end int64) porcupine.Operation {
		return porcupine.Operation{
			ClientId: client, Call: call, Return: end,
			Input:  opInput{key: "f", kind: kind, value: value},
			Output: opOutput{value: value},
		}
	}
	stale := []porcupine.Operation{op(0, "write", 1, 0, 1), op(0, "write", 2, 2, 3), op(1, "read", 1, 4, 5)}
	if porcupine.CheckOperations(historyModel, stale) {
		t.Error("a stale read passes")
	}
	fresh := []porcupine.Operation{op(0, "write", 1, 0, 1), op(0, "write", 2, 2, 5), op(1, "read", 1, 3, 4)}
	if !porcupine.CheckOperations(historyModel, fresh) {
		t.Error("a concurrent read is refused")
	}
}
