package state

import (
	"encoding/binary"
	"fmt"

	"twofold/replica/vfs"
)

var be = binary.BigEndian

// A key begins with one table byte and the volume id in four bytes, big
// endian. The numbers are on disk: append only. The reserved ones keep their
// place for what later versions store.
const (
	tableLocal  byte = 0x01 // of this node: state format, applied index; volume id 0
	tableSuper  byte = 0x10 // one record: constants and counters of the volume
	tableInode  byte = 0x11 // inode
	tableDirent byte = 0x12 // directory, name
	tableCookie byte = 0x13 // directory, cookie
	tableBlock  byte = 0x14 // inode, block number
	tableExtent byte = 0x15 // inode, extent number: sums over its blocks (extents.go)

	tableDuplicate byte = 0x20 // sequence number: a call and its answer (duplicate.go)
	tableLock      byte = 0x21 // reserved: NLM locks and who watches whom
	tableQuota     byte = 0x22 // reserved
	tableSnapshot  byte = 0x23 // reserved
	tableACL       byte = 0x24 // reserved
	tableExport    byte = 0x25 // nothing: the head of the export table; place: an entry
	tableMember    byte = 0x26 // name: a member of the cluster
	tableOrphan    byte = 0x27 // reserved: inodes without a name
	tableMount     byte = 0x28 // time of adding: an entry of the list of mounts

	tableEnd byte = 0xff // no table has this number or a higher one
)

// Records of tableLocal.
const (
	localFormat  byte = 1 // u32: state format
	localApplied byte = 2 // index, term, digests (sums.go)
	localBucket  byte = 3 // bucket u32: its running digest

	localHalfBuilt byte = 4 // empty: the state is half-built (stage.go)
)

// Lengths of keys and of their parts.
const (
	prefixLen    = 5
	inodeKeyLen  = prefixLen + 8
	entryKeyLen  = prefixLen + 16 // cookie, block and extent keys
	answerKeyLen = prefixLen + 8
	bucketKeyLen = prefixLen + 1 + 4

	exportKeyLen = prefixLen + 4
	mountKeyLen  = prefixLen + 8
)

// reservedTables are those that no code writes yet.
func reservedTables() []byte {
	return []byte{
		tableLock, tableQuota, tableSnapshot,
		tableACL, tableOrphan,
	}
}

func appendPrefix(b []byte, table byte, volume uint32) []byte {
	return be.AppendUint32(append(b, table), volume)
}

func localKey(b []byte, record byte) []byte {
	return append(appendPrefix(b, tableLocal, 0), record)
}

func bucketKey(b []byte, bucket int) []byte {
	return be.AppendUint32(localKey(b, localBucket), uint32(bucket))
}

func superKey(b []byte, volume uint32) []byte { return appendPrefix(b, tableSuper, volume) }

func inodeKey(b []byte, volume uint32, ino vfs.Ino) []byte {
	return be.AppendUint64(appendPrefix(b, tableInode, volume), uint64(ino))
}

func direntKey(b []byte, volume uint32, dir vfs.Ino, name string) []byte {
	b = be.AppendUint64(appendPrefix(b, tableDirent, volume), uint64(dir))
	return append(b, name...)
}

func cookieKey(b []byte, volume uint32, dir vfs.Ino, c vfs.Cookie) []byte {
	b = be.AppendUint64(appendPrefix(b, tableCookie, volume), uint64(dir))
	return be.AppendUint64(b, uint64(c))
}

func blockKey(b []byte, volume uint32, ino vfs.Ino, number uint64) []byte {
	b = be.AppendUint64(appendPrefix(b, tableBlock, volume), uint64(ino))
	return be.AppendUint64(b, number)
}

func extentKey(b []byte, volume uint32, ino vfs.Ino, number uint64) []byte {
	b = be.AppendUint64(appendPrefix(b, tableExtent, volume), uint64(ino))
	return be.AppendUint64(b, number)
}

func exportsKey(b []byte, volume uint32) []byte { return appendPrefix(b, tableExport, volume) }

func exportKey(b []byte, volume, place uint32) []byte {
	return be.AppendUint32(exportsKey(b, volume), place)
}

func memberKey(b []byte, volume uint32, name string) []byte {
	return append(appendPrefix(b, tableMember, volume), name...)
}

func mountKey(b []byte, volume uint32, added vfs.Time) []byte {
	return be.AppendUint64(appendPrefix(b, tableMount, volume), uint64(added))
}

// lastPart returns the last eight bytes of a cookie, block or extent key.
func lastPart(key []byte) (uint64, error) {
	if len(key) != entryKeyLen {
		return 0, corrupt(key, "key of %d bytes", len(key))
	}
	return be.Uint64(key[entryKeyLen-8:]), nil
}

// corrupt makes the error for a record that does not decode. It is a matter of
// integrity: whoever gets it stops.
func corrupt(key []byte, format string, args ...any) error {
	return fmt.Errorf("%w: key %x: %s", vfs.ErrCorrupt, key, fmt.Sprintf(format, args...))
}

// A dirent's value is 16 bytes: inode number and cookie.
type dirent struct {
	ino    vfs.Ino
	cookie vfs.Cookie
}

func (d dirent) exists() bool { return d.ino != 0 }

func appendDirent(b []byte, d dirent) []byte {
	return be.AppendUint64(be.AppendUint64(b, uint64(d.ino)), uint64(d.cookie))
}

func decodeDirent(key, b []byte) (dirent, error) {
	if len(b) != 16 {
		return dirent{}, corrupt(key, "dirent of %d bytes", len(b))
	}
	d := dirent{ino: vfs.Ino(be.Uint64(b)), cookie: vfs.Cookie(be.Uint64(b[8:]))}
	if d.ino == 0 || d.cookie < vfs.CookieFirst {
		return dirent{}, corrupt(key, "dirent for inode %d with cookie %d", d.ino, d.cookie)
	}
	return d, nil
}

// A cookie's value is the inode number in eight bytes and the name.
func appendCookie(b []byte, ino vfs.Ino, name string) []byte {
	return append(be.AppendUint64(b, uint64(ino)), name...)
}

func decodeCookie(key, b []byte) (vfs.Ino, string, error) {
	if len(b) <= 8 || len(b) > 8+vfs.MaxName {
		return 0, "", corrupt(key, "cookie record of %d bytes", len(b))
	}
	return vfs.Ino(be.Uint64(b)), string(b[8:]), nil
}
