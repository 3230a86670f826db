package billyfs_test

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/util"

	"twofold/replica/billyfs"
	"twofold/replica/billyfs/billyfstest"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

func TestBilly_OverTheModel(t *testing.T) { billyfstest.Run(t, modelfs.New()) }

// TestBilly_Conformance runs the whole of go-billy's suite, each test on an
// empty volume, at its root and as an ordinary user.
func TestBilly_Conformance(t *testing.T) {
	for name, fresh := range map[string]func() billy.Filesystem{
		"root": func() billy.Filesystem { return billyfs.New(modelfs.New(), vfs.Root) },
		"user": func() billy.Filesystem {
			return billyfs.New(modelfs.New(modelfs.WithRoot(1000, 1000, 0o700)), vfs.Cred{UID: 1000, GID: 1000})
		},
	} {
		t.Run(name, func(t *testing.T) { billyfstest.Conformance(t, fresh, rounds()) })
	}
}

// rounds keeps the suite's 200,000 temporary files for runs without -short
// and without the race detector, whose finding would be the same after 100.
func rounds() billyfstest.TempFiles {
	if testing.Short() || raceEnabled {
		return 1
	}
	return 0
}

// faulty answers with an error once it is told to.
type faulty struct {
	vfs.FS
	mu     sync.Mutex
	err    error
	writes []int // sizes of the WRITEs
	ops    int
}

func (f *faulty) Mutate(ctx context.Context, call *vfs.Call, op vfs.Op) (vfs.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops++
	if w, ok := op.(*vfs.OpWrite); ok {
		f.writes = append(f.writes, len(w.Data))
	}
	if f.err != nil {
		return vfs.Result{}, f.err
	}
	return f.FS.Mutate(ctx, call, op)
}

func (f *faulty) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func TestFile_DelayedErrorIsReturnedByClose(t *testing.T) {
	store := &faulty{FS: modelfs.New()}
	fs := billyfs.New(store, vfs.Root)
	file, err := fs.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	f := file.(*billyfs.File)
	if _, err := f.Write([]byte("gathered")); err != nil {
		t.Fatal(err)
	}
	store.set(vfs.ErrUnknownOutcome)
	err = f.Sync()
	var pe *iofs.PathError
	if !errors.Is(err, vfs.ErrUnknownOutcome) || !errors.As(err, &pe) || pe.Path != "f" {
		t.Errorf("Sync: %v", err)
	}
	store.set(nil)
	// The store is well again, but what the file holds is not known.
	for what, f := range map[string]func() error{
		"Write":    func() error { _, err := f.Write([]byte("x")); return err },
		"Truncate": func() error { return f.Truncate(0) },
		"Sync":     f.Sync,
		"Read":     func() error { _, err := f.Read(make([]byte, 1)); return err },
	} {
		if err := f(); !errors.Is(err, vfs.ErrUnknownOutcome) {
			t.Errorf("%s after a failed write: %v", what, err)
		}
	}
	if err := f.Close(); !errors.Is(err, vfs.ErrUnknownOutcome) {
		t.Errorf("Close: %v", err)
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestErrors_AvailabilityIsNoVerdict(t *testing.T) {
	store := &faulty{FS: modelfs.New()}
	fs := billyfs.New(store, vfs.Root)
	for _, want := range []error{vfs.ErrBusy, vfs.ErrNoQuorum, vfs.ErrNotReady, vfs.ErrUnknownOutcome, vfs.ErrShutdown, vfs.ErrCorrupt} {
		store.set(want)
		_, create := fs.Create("f")
		for _, err := range []error{create, fs.MkdirAll("d", 0o755), fs.Symlink("x", "l")} {
			var no syscall.Errno
			if !errors.Is(err, want) || errors.As(err, &no) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := billyfs.New(store, vfs.Root, billyfs.WithContext(ctx)).Stat("x"); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestFile_WritesAreGatheredAndBounded(t *testing.T) {
	store := &faulty{FS: modelfs.New()}
	fs := billyfs.New(store, vfs.Root)
	f, err := fs.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	const piece = 1000
	for range 2*vfs.MaxIO/piece + 1 {
		if _, err := f.Write(make([]byte, piece)); err != nil {
			t.Fatal(err)
		}
	}
	if len(store.writes) != 2 { // Streamed: not kept until Close.
		t.Errorf("WRITEs before Close: %v", store.writes)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if len(store.writes) != 3 || store.writes[0] != vfs.MaxIO || store.writes[1] != vfs.MaxIO {
		t.Errorf("WRITEs: %v", store.writes)
	}
}

func TestRenameAndRemove_AreOneCommand(t *testing.T) {
	store := &faulty{FS: modelfs.New()}
	fs := billyfs.New(store, vfs.Root)
	for _, name := range []string{"a", "b", "d/x"} {
		if err := util.WriteFile(fs, name, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []func() error{
		func() error { return fs.Rename("a", "b") },
		func() error { return fs.Remove("b") },
		func() error { return fs.Remove("d/x") },
		func() error { return fs.Remove("d") },
	} {
		before := store.ops
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if n := store.ops - before; n != 1 {
			t.Errorf("%d commands, want 1", n)
		}
	}
}

// TestErrors_EveryVerdictHasANumber fails when a new vfs.Kind has no errno.
func TestErrors_EveryVerdictHasANumber(t *testing.T) {
	for _, kind := range vfs.Kinds() {
		fs := billyfs.New(verdicts{modelfs.New(), kind}, vfs.Root)
		_, err := fs.Stat("/")
		var no syscall.Errno
		switch {
		case kind == vfs.OK:
			if err != nil {
				t.Errorf("OK: %v", err)
			}
		case !errors.As(err, &no):
			t.Errorf("%v: %v", kind, err)
		case no == syscall.EIO && kind != vfs.IO:
			t.Errorf("%v became EIO", kind)
		}
	}
}

type verdicts struct {
	vfs.FS
	kind vfs.Kind
}

func (v verdicts) GetAttr(context.Context, vfs.Ref) (vfs.AttrResult, error) {
	return vfs.AttrResult{Kind: v.kind, Attr: vfs.Attr{Type: vfs.TypeDir}}, nil
}
