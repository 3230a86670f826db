package handle_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/dchest/siphash"

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
	got := hex.EncodeToString(handle.Encode(volume(), vfs.Ref{Ino: 0x1122334455667788, Gen: 0x99aabbcc}))
	const want = "0100000000000007" + // version, flags, zero, volume
		"0000000000000001" + // root
		"1122334455667788" + "99aabbcc" + // inode, generation
		"ac94995a11c3ce71"
	if got != want {
		t.Errorf("handle is\n%s, want\n%s", got, want)
	}
}

func TestDecode_RoundTrip(t *testing.T) {
	v := volume()
	for _, ref := range []vfs.Ref{
		{Ino: vfs.RootIno, Gen: 0},
		{Ino: vfs.RootIno, Gen: 1},
		{Ino: 1<<63 + 5, Gen: 1<<32 - 1},
	} {
		fh := handle.Encode(v, ref)
		if len(fh) != handle.Size {
			t.Fatalf("%d bytes, want %d", len(fh), handle.Size)
		}
		got, kind := handle.Decode(v, fh)
		if kind != vfs.OK || got != ref {
			t.Errorf("%v came back as %v, %v", ref, got, kind)
		}
	}
}

func TestDecode_Refuses(t *testing.T) {
	v := volume()
	other := v
	other.ID++
	rekeyed := v
	rekeyed.HandleKey[0] ^= 1
	good := handle.Encode(v, vfs.Ref{Ino: 9, Gen: 3})
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
		{"other key", handle.Encode(rekeyed, vfs.Ref{Ino: 9, Gen: 3}), vfs.BadHandle},
		{"other volume", handle.Encode(other, vfs.Ref{Ino: 9, Gen: 3}), vfs.Stale},
	} {
		ref, kind := handle.Decode(v, c.fh)
		if kind != c.want || ref != (vfs.Ref{}) {
			t.Errorf("%s: %v, %v, want %v", c.name, ref, kind, c.want)
		}
	}
}

// An export root that this version does not know, under a right code, is what
// a later version may hand out for a subtree: an export that is not here.
func TestDecode_OtherRootIsStale(t *testing.T) {
	v := volume()
	fh := handle.Encode(v, vfs.Ref{Ino: 9, Gen: 3})
	fh[15] = 2
	k0 := binary.LittleEndian.Uint64(v.HandleKey[:8])
	k1 := binary.LittleEndian.Uint64(v.HandleKey[8:])
	binary.BigEndian.PutUint64(fh[28:], siphash.Hash(k0, k1, fh[:28]))
	if _, kind := handle.Decode(v, fh); kind != vfs.Stale {
		t.Errorf("kind %v, want %v", kind, vfs.Stale)
	}
}

// Whatever is accepted must be what Encode makes of the same inode.
func FuzzDecode(f *testing.F) {
	v := volume()
	f.Add(handle.Encode(v, vfs.Ref{Ino: vfs.RootIno}))
	f.Add(handle.Encode(v, vfs.Ref{Ino: 1 << 40, Gen: 12}))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, fh []byte) {
		ref, kind := handle.Decode(v, fh)
		switch kind {
		case vfs.OK:
			if !bytes.Equal(handle.Encode(v, ref), fh) {
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
	fh := handle.Encode(v, vfs.Ref{Ino: 9, Gen: 3})
	b.ReportAllocs()
	for b.Loop() {
		if _, kind := handle.Decode(v, fh); kind != vfs.OK {
			b.Fatal(kind)
		}
	}
}
