package state_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

const testVolume = 1

// t0 is the time at which test volumes are formatted.
const t0 vfs.Time = 1_700_000_000_000_000_000

func newMem() pebblevfs.FS { return pebblevfs.NewMem() }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// testOptions keep a state small and in memory.
func testOptions(fs pebblevfs.FS) state.Options {
	return state.Options{FS: fs, Logger: quiet(), CacheBytes: 1 << 20, MemTableBytes: 1 << 20, InodeCache: 64}
}

// roundsOf says how often one goroutine does the same: fewer times under the race
// detector, which finds nothing there and makes it ten times slower. make
// test-unit runs all of it without.
func roundsOf(all, raced int) int {
	if raceDetector {
		return raced
	}
	return all
}

// fewerChecks lets rapid draw a tenth of the histories under the race detector,
// unless the command line says how many. Call it before rapid.Check.
func fewerChecks(t *testing.T) {
	t.Helper()
	const name = "rapid.checks"
	f := flag.Lookup(name)
	if !raceDetector || f.Value.String() != f.DefValue {
		return
	}
	was := f.Value.String()
	n, err := strconv.Atoi(was)
	if err == nil {
		err = flag.Set(name, strconv.Itoa(max(1, n/10)))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(name, was); err != nil {
			t.Error(err)
		}
	})
}

// roomyOptions are for tests with many records: with small memory tables they
// would mostly test Pebble's compactions, which check themselves at length in
// a race build.
func roomyOptions() state.Options {
	o := testOptions(newMem())
	o.MemTableBytes, o.CacheBytes, o.InodeCache = 64<<20, 64<<20, 4096
	return o
}

// harness drives a State as the log would: every change is encoded, sealed,
// decoded and applied as one entry. It implements vfs.FS.
type harness struct {
	t     testing.TB
	fs    pebblevfs.FS
	opts  state.Options
	s     *state.State
	index uint64
	term  uint64 // of the next entry
	clock vfs.Time
	xid   uint32 // of the last command: each is a call of its own
	flags command.Flags
	log   [][]byte // batches, by index - 1
}

func open(t testing.TB, blockSize uint32) *harness {
	return openOn(t, testOptions(pebblevfs.NewMem()), blockSize)
}

// openOn opens a new state and formats a volume. A block size of zero leaves
// it unformatted.
func openOn(t testing.TB, o state.Options, blockSize uint32) *harness {
	t.Helper()
	h := &harness{t: t, fs: o.FS, opts: o, term: 1, clock: t0}
	h.reopen()
	t.Cleanup(func() { h.close() })
	if blockSize != 0 {
		r := h.apply(h.command(vfs.Root, formatOp(blockSize)))[0]
		if r.Kind != vfs.OK {
			t.Fatalf("format: %v", r.Kind)
		}
	}
	return h
}

func formatOp(blockSize uint32) *command.Format {
	return &command.Format{UUID: [16]byte{1, 2, 3}, HandleKey: [16]byte{9}, BlockSize: blockSize, RootMode: 0o755}
}

func (h *harness) close() {
	if h.s == nil {
		return
	}
	if err := h.s.Close(); err != nil {
		h.t.Errorf("close: %v", err)
	}
	h.s = nil
}

// reopen opens the state, after closing it if it is open.
func (h *harness) reopen() {
	h.t.Helper()
	h.close()
	s, err := state.Open("db", h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = s
}

func (h *harness) command(cred vfs.Cred, op any) []byte {
	h.t.Helper()
	h.xid++
	return h.callAs(vfs.CallID{Client: [16]byte{15: 7}, XID: h.xid, Proc: 1, Sum: 99}, cred, op)
}

// callAs encodes a command that bears a given identity.
func (h *harness) callAs(id vfs.CallID, cred vfs.Cred, op any) []byte {
	h.t.Helper()
	enc, err := command.Append(nil, &command.Command{
		Header: command.Header{Volume: testVolume, Flags: h.flags, ID: id, Cred: cred}, Op: op,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.clock++
	command.Seal(enc, h.clock, uint64(h.clock)*0x9e3779b97f4a7c15)
	return enc
}

// apply applies one entry.
func (h *harness) apply(encs ...[]byte) []vfs.Result {
	h.t.Helper()
	rs, err := h.tryApply(encs...)
	if err != nil {
		h.t.Fatal(err)
	}
	return rs
}

func (h *harness) tryApply(encs ...[]byte) ([]vfs.Result, error) {
	batch := command.AppendBatch(nil, encs)
	cmds, err := command.DecodeBatch(batch)
	if err != nil {
		return nil, err
	}
	h.index++
	h.log = append(h.log, batch)
	return h.s.Apply(h.index, h.term, cmds)
}

// do applies one change.
func (h *harness) do(cred vfs.Cred, op vfs.Op) vfs.Result {
	h.t.Helper()
	return h.apply(h.command(cred, op))[0]
}

// must applies one change that has to succeed.
func (h *harness) must(cred vfs.Cred, op vfs.Op) vfs.Result {
	h.t.Helper()
	r := h.do(cred, op)
	if r.Kind != vfs.OK {
		h.t.Fatalf("%T %+v: %v", op, op, r.Kind)
	}
	return r
}

// want applies one change and checks the verdict, and that a refused call
// changed nothing but the clock.
func (h *harness) want(cred vfs.Cred, op vfs.Op, kind vfs.Kind) vfs.Result {
	h.t.Helper()
	r := h.do(cred, op)
	if r.Kind != kind {
		h.t.Errorf("%T %+v: got %q, want %q", op, op, r.Kind, kind)
	}
	if kind != vfs.OK {
		for i, w := range r.WCC {
			if w.HasBefore && (w.Before != vfs.WCCAttr{Size: w.After.Size, Mtime: w.After.Mtime, Ctime: w.After.Ctime}) {
				h.t.Errorf("%T: refused, but WCC[%d] changed", op, i)
			}
		}
	}
	return r
}

func (h *harness) root() vfs.Ref { return vfs.Ref{Ino: vfs.RootIno} }

func (h *harness) attr(ref vfs.Ref) vfs.Attr {
	h.t.Helper()
	r, err := h.s.GetAttr(ref)
	if err != nil || r.Kind != vfs.OK {
		h.t.Fatalf("getattr %v: %v, %v", ref, r.Kind, err)
	}
	return r.Attr
}

func (h *harness) read(ref vfs.Ref, off uint64, n int) string {
	h.t.Helper()
	buf := make([]byte, n)
	for i := range buf {
		buf[i] = 0xee // Whatever Read leaves alone shows.
	}
	r, err := h.s.Read(vfs.Root, ref, off, buf)
	if err != nil || r.Kind != vfs.OK {
		h.t.Fatalf("read %v: %v, %v", ref, r.Kind, err)
	}
	return string(buf[:r.N])
}

// digest returns the digest of the copy, which must be that of its records.
func (h *harness) digest() state.Digest {
	h.t.Helper()
	return digestOf(h.t, h.s, h.index)
}

func digestOf(t testing.TB, s *state.State, index uint64) state.Digest {
	t.Helper()
	r, err := s.ScanDigest()
	if err = errors.Join(err, r.Err()); err != nil || r.Index != index {
		t.Fatalf("digest at %d, want %d: %v", r.Index, index, err)
	}
	return r.Scanned
}

func (h *harness) check() {
	h.t.Helper()
	if err := h.s.Check(); err != nil {
		h.t.Fatal(err)
	}
}

// Shorthands for what most tests need.

func (h *harness) create(dir vfs.Ref, name string, mode uint32) vfs.Ref {
	h.t.Helper()
	return h.createAs(vfs.Root, dir, name, mode)
}

func (h *harness) createAs(cred vfs.Cred, dir vfs.Ref, name string, mode uint32) vfs.Ref {
	h.t.Helper()
	return h.must(cred, &vfs.OpCreate{Dir: dir, Name: name, Mode: vfs.CreateGuarded, Set: modeSet(mode)}).Attr.Ref
}

func (h *harness) mkdir(dir vfs.Ref, name string, mode uint32) vfs.Ref {
	h.t.Helper()
	return h.must(vfs.Root, &vfs.OpMkdir{Dir: dir, Name: name, Set: modeSet(mode)}).Attr.Ref
}

func (h *harness) write(ref vfs.Ref, off uint64, data string) vfs.Result {
	h.t.Helper()
	return h.must(vfs.Root, &vfs.OpWrite{Ref: ref, Offset: off, Data: []byte(data)})
}

func (h *harness) truncate(ref vfs.Ref, size uint64) {
	h.t.Helper()
	h.must(vfs.Root, &vfs.OpSetAttr{Ref: ref, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: size}})
}

func (h *harness) lookup(dir vfs.Ref, name string) (vfs.Attr, vfs.Kind) {
	h.t.Helper()
	r, err := h.s.Lookup(vfs.Root, dir, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Attr, r.Kind
}

func modeSet(mode uint32) vfs.SetAttr { return vfs.SetAttr{Mask: vfs.SetMode, Mode: mode} }

// The rest makes a harness a vfs.FS.

func (h *harness) Volume() (vfs.Volume, error) { return h.s.Volume() }

func (h *harness) Mutate(_ context.Context, call *vfs.Call, op vfs.Op) (vfs.Result, error) {
	rs, err := h.tryApply(h.command(call.Cred, op))
	if err != nil {
		return vfs.Result{}, fmt.Errorf("apply: %w", err)
	}
	return rs[0], nil
}

func (h *harness) GetAttr(_ context.Context, ref vfs.Ref) (vfs.AttrResult, error) {
	return h.s.GetAttr(ref)
}

func (h *harness) Lookup(_ context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	return h.s.Lookup(cred, dir, name)
}

func (h *harness) Readlink(_ context.Context, cred vfs.Cred, ref vfs.Ref) (vfs.ReadlinkResult, error) {
	return h.s.Readlink(cred, ref)
}

func (h *harness) Read(_ context.Context, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	return h.s.Read(cred, ref, off, buf)
}

func (h *harness) ReadDir(_ context.Context, cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, limit int) (vfs.ReadDirResult, error) {
	return h.s.ReadDir(cred, dir, after, plus, limit)
}

func (h *harness) StatFS(_ context.Context, ref vfs.Ref) (vfs.StatFSResult, error) {
	return h.s.StatFS(ref)
}

var _ vfs.FS = (*harness)(nil)
