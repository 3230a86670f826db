package handle

import (
	"encoding/binary"

	"github.com/dchest/siphash"

	"twofold/replica/vfs"
)

// Size is the length of every handle. RFC 1813 allows 64 bytes (NFS3_FHSIZE).
const Size = 36

// version is the first byte of a handle.
const version = 1

// Offsets of the fields; see the package comment.
const (
	offVersion = 0
	offFlags   = 1
	offZero    = 2
	offVolume  = 4
	offRoot    = 8
	offIno     = 16
	offGen     = 24
	offMAC     = 28
)

// Encode returns the handle of ref on volume v, in the export whose root
// directory is the inode root.
func Encode(v vfs.Volume, root vfs.Ino, ref vfs.Ref) []byte {
	fh := make([]byte, Size)
	Put(fh, &v, root, ref)
	return fh
}

// Put writes the handle of ref on volume v into the first [Size] bytes of dst.
// It is Encode for callers that have the room already.
func Put(dst []byte, v *vfs.Volume, root vfs.Ino, ref vfs.Ref) {
	fh := dst[:Size]
	fh[offVersion] = version
	fh[offFlags] = 0
	binary.BigEndian.PutUint16(fh[offZero:], 0)
	binary.BigEndian.PutUint32(fh[offVolume:], v.ID)
	binary.BigEndian.PutUint64(fh[offRoot:], uint64(root))
	binary.BigEndian.PutUint64(fh[offIno:], uint64(ref.Ino))
	binary.BigEndian.PutUint32(fh[offGen:], ref.Gen)
	binary.BigEndian.PutUint64(fh[offMAC:], mac(v, fh))
}

// Decode returns the inode of the root directory of the export in which fh was
// given out, the inode that fh names, and vfs.OK, vfs.BadHandle or vfs.Stale as
// the package comment says.
func Decode(v vfs.Volume, fh []byte) (root vfs.Ino, ref vfs.Ref, kind vfs.Kind) {
	if len(fh) != Size || fh[offVersion] != version || fh[offFlags] != 0 ||
		binary.BigEndian.Uint16(fh[offZero:]) != 0 {
		return 0, vfs.Ref{}, vfs.BadHandle
	}
	if binary.BigEndian.Uint32(fh[offVolume:]) != v.ID {
		return 0, vfs.Ref{}, vfs.Stale
	}
	// One comparison of two words takes the same time wherever they differ.
	if binary.BigEndian.Uint64(fh[offMAC:]) != mac(&v, fh) {
		return 0, vfs.Ref{}, vfs.BadHandle
	}
	return vfs.Ino(binary.BigEndian.Uint64(fh[offRoot:])), vfs.Ref{
		Ino: vfs.Ino(binary.BigEndian.Uint64(fh[offIno:])),
		Gen: binary.BigEndian.Uint32(fh[offGen:]),
	}, vfs.OK
}

// mac is the code over everything that comes before it. The key is taken as
// the authors of SipHash do it: two little-endian words.
func mac(v *vfs.Volume, fh []byte) uint64 {
	k0 := binary.LittleEndian.Uint64(v.HandleKey[:8])
	k1 := binary.LittleEndian.Uint64(v.HandleKey[8:])
	return siphash.Hash(k0, k1, fh[:offMAC])
}
