package nfs3_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"twofold/nfs/xdr"
)

// The handles of the root and of "f", as they are on the wire with their length.
const (
	hexRootFH = "00000024 01000000 00000003 0000000000000001 0000000000000001 00000000 412f08f5f25f5773"
	hexFileFH = "00000024 01000000 00000003 0000000000000001 0000000000000002 00000001 ceccf47cda8eaacd"
)

// Attributes of the root, of "f", and of the directory "d", after setup.
const (
	hexRootAttr = "00000002 000001ed 00000003 00000000 00000000 0000000000001000 0000000000001000 00000000 00000000" +
		"f0f1f2f3f4f5f6f7 0000000000000001 3b9aca00 00000000 3b9aca00 00000005 3b9aca00 00000005"
	hexFileAttr = "00000001 000001a0 00000001 00000007 00000007 0000000000000005 0000000000001000 00000000 00000000" +
		"f0f1f2f3f4f5f6f7 0000000000000002 3b9aca00 00000001 3b9aca00 00000006 3b9aca00 00000006"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Calls and replies byte by byte, written by hand from RFC 1813, so that an
// encoder and a decoder that share a mistake do not pass.
func TestWire(t *testing.T) {
	p := newProgram(t, newModel())
	setup(t, p)
	for _, c := range []struct {
		name        string
		proc        uint32
		args, reply string
	}{
		{"GETATTR", procGetattr, hexFileFH, "00000000" + hexFileAttr},
		{"GETATTR of garbage", procGetattr, "00000003 61626300", "00002711"},
		{"LOOKUP", procLookup, hexRootFH + "00000001 66000000",
			"00000000" + hexFileFH + "00000001" + hexFileAttr + "00000001" + hexRootAttr},
		{"ACCESS", procAccess, hexFileFH + "0000001f", "00000000 00000001" + hexFileAttr + "0000000d"},
		{"READ", procRead, hexFileFH + "0000000000000001 00000400",
			"00000000 00000001" + hexFileAttr + "00000004 00000001 00000004 656c6c6f"},
		{"READ with padding", procRead, hexFileFH + "0000000000000000 00000003",
			"00000000 00000001" + hexFileAttr + "00000003 00000000 00000003 68656c00"},
		{"REMOVE missing", procRemove, hexRootFH + "00000002 7a7a0000",
			"00000002 00000001 0000000000001000 3b9aca00 00000005 3b9aca00 00000005 00000001" + hexRootAttr},
		{"READDIRPLUS", procReaddirplus, hexRootFH + "0000000000000002 0000000000000000 00000400 00000108",
			"00000000 00000001" + hexRootAttr + "e0e1e2e3e4e5e6e7" +
				"00000001 0000000000000002 00000001 66000000 0000000000000003 00000001" + hexFileAttr + "00000001" + hexFileFH +
				"00000000 00000000"},
		{"COMMIT", procCommit, hexFileFH + "0000000000000000 00000000",
			"00000000 00000001 0000000000000005 3b9aca00 00000006 3b9aca00 00000006 00000001" + hexFileAttr + "e0e1e2e3e4e5e6e7"},
		{"SETATTR to times", procSetattr, hexFileFH +
			"00000001 000001ff 00000000 00000000 00000000 00000002 ffffffff 3b9ac9ff 00000001 00000000",
			"00000000 00000001 0000000000000005 3b9aca00 00000006 3b9aca00 00000006 00000001" +
				"00000001 000001ff 00000001 00000007 00000007 0000000000000005 0000000000001000 00000000 00000000" +
				"f0f1f2f3f4f5f6f7 0000000000000002 ffffffff 3b9ac9ff 3b9aca00 00000008 3b9aca00 00000008"},
	} {
		b, err := serve(t, p, root(), c.proc, unhex(t, c.args))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, want := hex.EncodeToString(b), hex.EncodeToString(unhex(t, c.reply)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
		}
	}
}

// A reply buffer that is used again holds old bytes; none of them may show.
func TestWire_DirtyBuffer(t *testing.T) {
	p := newProgram(t, newModel())
	setup(t, p)
	clean, err := serve(t, p, root(), procRead, enc(fileRef, uint64(0), 3))
	if err != nil {
		t.Fatal(err)
	}
	w := xdr.Writer{B: []byte(strings.Repeat("\xee", 8192))[:0]}
	if err := p.ServeRPC(t.Context(), call(procRead, enc(fileRef, uint64(0), 3)), &w); err != nil {
		t.Fatal(err)
	}
	if string(w.B) != string(clean) {
		t.Errorf("%x, with a new buffer %x", w.B, clean)
	}
}
