package state

import "twofold/replica/vfs"

// Field tags of an inode record. They are on disk: append only, ascending.
const (
	tagCore   byte = 1 // every inode: 68 bytes, see appendCore
	tagRdev   byte = 2 // devices: major u32, minor u32
	tagTarget byte = 3 // symlinks: the target
	tagDir    byte = 4 // directories: next cookie u64, number of entries u64
	tagVerf   byte = 5 // files made EXCLUSIVE, until the first SETATTR: 8 bytes
	tagData   byte = 6 // files with data: 16 bytes, see inode.data
)

const coreLen = 68

// usedUnit is what Attr.Used is rounded up to: the unit of st_blocks.
const usedUnit = 512

// inode is one decoded inode record. A *inode that is in the cache or came
// from it is never changed.
type inode struct {
	vfs.Attr // Used counts the stored bytes exactly
	// parent is exact for a directory. Otherwise it is a hint: the directory
	// in which the inode was made or to which it was renamed last.
	parent vfs.Ino
	target string

	nextCookie vfs.Cookie
	entries    uint64

	hasVerf bool
	verf    [8]byte

	// data is the sum of all records of a file's blocks and extents. It lets a
	// file's data leave the digest without being read.
	data Digest

	unknown []byte // fields of a newer version
}

// attr returns the attributes as callers see them.
func (n *inode) attr() vfs.Attr {
	a := n.Attr
	if n.isDir() {
		a.Used = vfs.DirSize
		return a
	}
	a.Used = (a.Used + usedUnit - 1) / usedUnit * usedUnit
	return a
}

func (n *inode) isDir() bool { return n.Type == vfs.TypeDir }

// dense reports that a regular file has no holes: no block can hold more
// bytes than lie in it before the file's end, so equal sums mean equal parts.
func (n *inode) dense() bool { return n.Used == n.Size }

// wcc returns what weak cache consistency keeps.
func (n *inode) wcc() vfs.WCCAttr {
	return vfs.WCCAttr{Size: n.Size, Mtime: n.Mtime, Ctime: n.Ctime}
}

func appendInode(b []byte, n *inode) []byte {
	b = append(b, tagCore, coreLen)
	b = appendCore(b, n)
	if n.Type == vfs.TypeBlk || n.Type == vfs.TypeChr {
		b = append(b, tagRdev, 8)
		b = be.AppendUint32(b, n.Rdev.Major)
		b = be.AppendUint32(b, n.Rdev.Minor)
	}
	if n.Type == vfs.TypeLnk {
		b = appendField(b, tagTarget, []byte(n.target))
	}
	if n.isDir() {
		b = append(b, tagDir, 16)
		b = be.AppendUint64(b, uint64(n.nextCookie))
		b = be.AppendUint64(b, n.entries)
	}
	if n.hasVerf {
		b = appendField(b, tagVerf, n.verf[:])
	}
	if !n.data.IsZero() {
		b = appendField(b, tagData, n.data[:])
	}
	return append(b, n.unknown...)
}

func appendCore(b []byte, n *inode) []byte {
	b = append(b, byte(n.Type), 0)
	b = be.AppendUint16(b, uint16(n.Mode))
	b = be.AppendUint32(b, n.Nlink)
	b = be.AppendUint32(b, n.UID)
	b = be.AppendUint32(b, n.GID)
	b = be.AppendUint32(b, n.Gen)
	b = be.AppendUint64(b, n.Size)
	b = be.AppendUint64(b, n.Used)
	b = be.AppendUint64(b, uint64(n.Atime))
	b = be.AppendUint64(b, uint64(n.Mtime))
	b = be.AppendUint64(b, uint64(n.Ctime))
	return be.AppendUint64(b, uint64(n.parent))
}

func decodeInode(key []byte, ino vfs.Ino, b []byte) (*inode, error) {
	n := &inode{Attr: vfs.Attr{Ref: vfs.Ref{Ino: ino}}}
	unknown, err := fields(key, b, func(tag byte, v []byte) (bool, error) {
		return n.setField(key, tag, v)
	})
	if err != nil {
		return nil, err
	}
	n.unknown = unknown
	if n.Type < vfs.TypeReg || n.Type > vfs.TypeFifo {
		return nil, corrupt(key, "inode of type %d", n.Type)
	}
	if n.isDir() && n.nextCookie < vfs.CookieFirst {
		return nil, corrupt(key, "directory with next cookie %d", n.nextCookie)
	}
	return n, nil
}

// setField reads one field, and reports whether it knows its tag.
func (n *inode) setField(key []byte, tag byte, v []byte) (bool, error) {
	want := 0
	switch tag {
	case tagCore:
		want = coreLen
	case tagRdev, tagVerf:
		want = 8
	case tagTarget:
		want = len(v)
	case tagDir, tagData:
		want = 16
	default:
		return false, nil
	}
	if len(v) != want {
		return true, corrupt(key, "inode field %d of %d bytes", tag, len(v))
	}
	switch tag {
	case tagCore:
		n.decodeCore(v)
	case tagRdev:
		n.Rdev = vfs.Device{Major: be.Uint32(v), Minor: be.Uint32(v[4:])}
	case tagTarget:
		n.target = string(v)
	case tagDir:
		n.nextCookie, n.entries = vfs.Cookie(be.Uint64(v)), be.Uint64(v[8:])
	case tagVerf:
		n.hasVerf, n.verf = true, [8]byte(v)
	case tagData:
		n.data = Digest(v)
	}
	return true, nil
}

func (n *inode) decodeCore(v []byte) {
	n.Type, n.Mode = vfs.FileType(v[0]), uint32(be.Uint16(v[2:]))
	n.Nlink, n.UID, n.GID, n.Gen = be.Uint32(v[4:]), be.Uint32(v[8:]), be.Uint32(v[12:]), be.Uint32(v[16:])
	n.Size, n.Used = be.Uint64(v[20:]), be.Uint64(v[28:])
	n.Atime, n.Mtime = vfs.Time(be.Uint64(v[36:])), vfs.Time(be.Uint64(v[44:]))
	n.Ctime, n.parent = vfs.Time(be.Uint64(v[52:])), vfs.Ino(be.Uint64(v[60:]))
}
