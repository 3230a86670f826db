package command_test

import (
	"bytes"
	"testing"

	"twofold/replica/command"
)

// FuzzDecode: no input panics, and what is accepted is canonical.
func FuzzDecode(f *testing.F) {
	for _, c := range golden() {
		f.Add(sealed(f, &c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := command.DecodeUnsealed(b)
		if err != nil {
			return
		}
		enc, err := command.Append(nil, &c)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.Clone(b)
		command.Seal(b, c.Time, c.Seed)
		command.Seal(enc, c.Time, c.Seed)
		if !bytes.Equal(enc, b) {
			t.Fatalf("not canonical:\n in %x\nout %x", b, enc)
		}
		if _, err := command.Decode(b); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDecodeBatch: no input panics, and allocation is bounded by the input.
func FuzzDecodeBatch(f *testing.F) {
	var encs [][]byte
	for _, c := range golden() {
		encs = append(encs, sealed(f, &c))
	}
	f.Add(command.AppendBatch(nil, encs))
	f.Add([]byte{1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		cmds, err := command.DecodeBatch(b)
		if err == nil && len(cmds)*92 > len(b) {
			t.Fatalf("%d commands out of %d bytes", len(cmds), len(b))
		}
	})
}

// FuzzDecodeResult: no input panics, and what is accepted is canonical.
func FuzzDecodeResult(f *testing.F) {
	r := goldenResult()
	f.Add(command.AppendResult(nil, &r))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := command.DecodeResult(b)
		if err == nil && !bytes.Equal(command.AppendResult(nil, &r), b) {
			t.Fatalf("not canonical: %x", b)
		}
	})
}
