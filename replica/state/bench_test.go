package state_test

import (
	"fmt"
	"testing"

	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// benchHarness has the default sizes, on a real directory.
func benchHarness(b *testing.B) *harness {
	b.Helper()
	h := &harness{t: b, clock: t0, opts: state.Options{Logger: quiet()}}
	s, err := state.Open(b.TempDir(), h.opts)
	if err != nil {
		b.Fatal(err)
	}
	h.s = s
	b.Cleanup(h.close)
	h.benchApply(h.decoded(formatOp(state.DefaultBlockSize)))
	return h
}

func (h *harness) decoded(op any) command.Command {
	c, err := command.Decode(h.command(vfs.Root, op))
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// benchApply applies one entry. Each command is a call of its own, as from an
// NFS client.
func (h *harness) benchApply(cmds ...command.Command) []vfs.Result {
	h.index++
	for i := range cmds {
		h.xid++
		cmds[i].ID = vfs.CallID{Client: [16]byte{15: 7}, XID: h.xid, Proc: 1, Sum: uint64(h.xid) * 0x9e3779b97f4a7c15}
	}
	rs, err := h.s.Apply(h.index, 1, cmds)
	if err != nil {
		h.t.Fatal(err)
	}
	return rs
}

func BenchmarkApply_Create(b *testing.B) {
	for _, batch := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			h := benchHarness(b)
			cmds := make([]command.Command, 0, batch)
			for i := 0; b.Loop(); i++ {
				cmds = append(cmds, command.Command{
					Header: command.Header{Type: command.TypeCreate, Volume: testVolume, Seed: uint64(i)},
					Op:     &vfs.OpCreate{Dir: h.root(), Name: fmt.Sprintf("file%09d", i), Set: modeSet(0o644)},
				})
				if len(cmds) == batch {
					h.benchApply(cmds...)
					cmds = cmds[:0]
				}
			}
		})
	}
}

// The duplicate request cache at its limit: each call that is remembered drives
// another one out.
func BenchmarkApply_FullDuplicates(b *testing.B) {
	h := benchHarness(b)
	h.benchApply(h.decoded(&command.SetLimits{DuplicateBytes: duplicate.MinBytes}))
	cmds := make([]command.Command, 64)
	for i := 0; b.Loop(); i++ {
		cmds[i%64] = command.Command{Header: command.Header{Volume: testVolume}, Op: idle(h)}
		if i%64 == 63 {
			h.benchApply(cmds...)
		}
	}
}

// Open with a duplicate request cache of the default size, all of it in files.
func BenchmarkOpen_FullDuplicates(b *testing.B) {
	h := &harness{t: b, clock: t0, opts: state.Options{Logger: quiet()}}
	dir := b.TempDir()
	reopen := func() {
		if h.close(); h.s == nil {
			s, err := state.Open(dir, h.opts)
			if err != nil {
				b.Fatal(err)
			}
			h.s = s
		}
	}
	reopen()
	b.Cleanup(h.close)
	h.benchApply(h.decoded(formatOp(state.DefaultBlockSize)))
	cmds := make([]command.Command, command.MaxBatchOps)
	for h.s.Duplicates().Forced < 100_000 {
		for i := range cmds {
			cmds[i] = command.Command{Header: command.Header{Volume: testVolume}, Op: idle(h)}
		}
		h.benchApply(cmds...)
	}
	for b.Loop() {
		reopen()
	}
	b.ReportMetric(float64(h.s.Duplicates().Records), "records")
}

func BenchmarkApply_Write4K(b *testing.B) {
	for _, how := range []string{"append", "overwrite"} {
		b.Run(how, func(b *testing.B) {
			h := benchHarness(b)
			f := h.benchApply(h.decoded(&vfs.OpCreate{Dir: h.root(), Name: "f"}))[0].Attr.Ref
			cmd := h.decoded(&vfs.OpWrite{Ref: f, Data: make([]byte, 4096)})
			b.SetBytes(4096)
			for i := uint64(0); b.Loop(); i++ {
				off := i * 4096
				if how == "overwrite" {
					off %= 64 << 20
				}
				cmd.Op.(*vfs.OpWrite).Offset = off
				h.benchApply(cmd)
			}
		})
	}
}

func BenchmarkApply_Write1M(b *testing.B) {
	h := benchHarness(b)
	f := h.benchApply(h.decoded(&vfs.OpCreate{Dir: h.root(), Name: "f"}))[0].Attr.Ref
	cmd := h.decoded(&vfs.OpWrite{Ref: f, Data: make([]byte, vfs.MaxIO)})
	b.SetBytes(vfs.MaxIO)
	for i := uint64(0); b.Loop(); i++ {
		cmd.Op.(*vfs.OpWrite).Offset = i * vfs.MaxIO % (256 << 20)
		h.benchApply(cmd)
	}
}

// benchTree makes 10,000 files of 4 KiB.
func benchTree(b *testing.B) (*harness, []vfs.Ref) {
	h := benchHarness(b)
	var refs []vfs.Ref
	for i := range 10_000 {
		r := h.benchApply(h.decoded(&vfs.OpCreate{Dir: h.root(), Name: fmt.Sprintf("file%09d", i)}))[0]
		h.benchApply(h.decoded(&vfs.OpWrite{Ref: r.Attr.Ref, Data: make([]byte, 4096)}))
		refs = append(refs, r.Attr.Ref)
	}
	return h, refs
}

func BenchmarkGetAttr(b *testing.B) {
	h, refs := benchTree(b)
	for i := 0; b.Loop(); i++ {
		if r, err := h.s.GetAttr(refs[i%len(refs)]); err != nil || r.Kind != vfs.OK {
			b.Fatal(r.Kind, err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	h, refs := benchTree(b)
	names := make([]string, len(refs))
	for i := range names {
		names[i] = fmt.Sprintf("file%09d", i)
	}
	for i := 0; b.Loop(); i++ {
		if r, err := h.s.Lookup(vfs.Root, h.root(), names[i%len(names)]); err != nil || r.Kind != vfs.OK {
			b.Fatal(r.Kind, err)
		}
	}
}

func BenchmarkRead4K(b *testing.B) {
	h, refs := benchTree(b)
	buf := make([]byte, 4096)
	b.SetBytes(4096)
	for i := 0; b.Loop(); i++ {
		if r, err := h.s.Read(vfs.Root, refs[i%len(refs)], 0, buf); err != nil || r.N != len(buf) {
			b.Fatal(r.N, err)
		}
	}
}
