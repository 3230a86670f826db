package handle_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"twofold/nfs/handle"
	"twofold/replica/vfs"
)

func volume() vfs.Volume {
	v := vfs.Volume{ID: 7, BlockSize: 4096}
	for i := range v.HandleKey {
		v.HandleKey[i] = byte(i)
		v.UUID[i] = byte(0xa0 + i)
	}
	return v
}

// A handle is part of the format that clients keep across upgrades: its bytes
// may not change under the same version.
func TestEncode_Golden(t *testing.T) {
	for root, want := range map[vfs.Ino][2]string{
		vfs.RootIno:        {"0000000000000001", "ac94995a11c3ce71"},
		0x0102030405060708: {"0102030405060708", "9286193ea8a97ff7"},
	} {
		got := hex.EncodeToString(handle.Encode(volume(), root, vfs.Ref{Ino: 0x1122334455667788, Gen: 0x99aabbcc}))
		want := "0100000000000007" + // version, flags, zero, volume
			want[0] + // root
			"1122334455667788" + "99aabbcc" + // inode, generation
			want[1]
		if got != want {
			t.Errorf("handle is\n%s, want\n%s", got, want)
		}
	}
}

func TestDecode_RoundTrip(t *testing.T) {
	v := volume()
	for _, ref := range []vfs.Ref{
		{Ino: vfs.RootIno, Gen: 0},
		{Ino: vfs.RootIno, Gen: 1},
		{Ino: 1<<63 + 5, Gen: 1<<32 - 1},
	} {
		fh := handle.Encode(v, 77, ref)
		if len(fh) != handle.Size {
			t.Fatalf("%d bytes, want %d", len(fh), handle.Size)
		}
		root, got, kind := handle.Decode(v, fh)
		if kind != vfs.OK || got != ref || root != 77 {
			t.Errorf("%v came back as %v, %v, in %d", ref, got, kind, root)
		}
	}
}

func TestDecode_Refuses(t *testing.T) {
	v := volume()
	other := v
	other.ID++
	rekeyed := v
	rekeyed.HandleKey[0] ^= 1
	good := handle.Encode(v, vfs.RootIno, vfs.Ref{Ino: 9, Gen: 3})
	with := func(off int, b byte) []byte {
		fh := bytes.Clone(good)
		fh[off] = b
		return fh
	}
	for _, c := range []struct {
		name string
		fh   []byte
		want vfs.Kind
	}{
		{"empty", nil, vfs.BadHandle},
		{"short", good[:handle.Size-1], vfs.BadHandle},
		{"long", append(bytes.Clone(good), 0), vfs.BadHandle},
		{"64 bytes", make([]byte, 64), vfs.BadHandle},
		{"version 0", with(0, 0), vfs.BadHandle},
		{"version 2", with(0, 2), vfs.BadHandle},
		{"flags", with(1, 1), vfs.BadHandle},
		{"not zero", with(3, 1), vfs.BadHandle},
		{"forged root", with(15, 2), vfs.BadHandle},
		{"forged inode", with(23, 8), vfs.BadHandle},
		{"forged generation", with(27, 4), vfs.BadHandle},
		{"forged code", with(35, good[35]^1), vfs.BadHandle},
		{"other key", handle.Encode(rekeyed, vfs.RootIno, vfs.Ref{Ino: 9, Gen: 3}), vfs.BadHandle},
		{"other volume", handle.Encode(other, vfs.RootIno, vfs.Ref{Ino: 9, Gen: 3}), vfs.Stale},
	} {
		root, ref, kind := handle.Decode(v, c.fh)
		if kind != c.want || ref != (vfs.Ref{}) || root != 0 {
			t.Errorf("%s: %v, %v, want %v", c.name, ref, kind, c.want)
		}
	}
}

// Whatever is accepted must be what Encode makes of the same inode.
func FuzzDecode(f *testing.F) {
	v := volume()
	f.Add(handle.Encode(v, vfs.RootIno, vfs.Ref{Ino: vfs.RootIno}))
	f.Add(handle.Encode(v, vfs.RootIno, vfs.Ref{Ino: 1 << 40, Gen: 12}))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, fh []byte) {
		root, ref, kind := handle.Decode(v, fh)
		switch kind {
		case vfs.OK:
			if !bytes.Equal(handle.Encode(v, root, ref), fh) {
				t.Errorf("%x is accepted as %v, whose handle is another", fh, ref)
			}
		case vfs.BadHandle, vfs.Stale:
		default:
			t.Errorf("%x: kind %v", fh, kind)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	v := volume()
	fh := handle.Encode(v, vfs.RootIno, vfs.Ref{Ino: 9, Gen: 3})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, kind := handle.Decode(v, fh); kind != vfs.OK {
			b.Fatal(kind)
		}
	}
}
