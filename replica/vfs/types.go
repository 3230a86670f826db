package vfs

import (
	"encoding/binary"
	"time"
)

// Ino is an inode number. Numbers count up in log order and are never reused.
type Ino uint64

// RootIno is the inode of the volume's root directory. It is there from the
// volume's formatting on and is never removed, so its generation is always 0,
// in every implementation of [FS]: see [RootRef].
const RootIno Ino = 1

// Ref names one inode for its whole life. It is what a file handle carries. A
// Ref whose generation differs from the inode's is answered [Stale].
type Ref struct {
	Ino Ino
	Gen uint32
}

// RootRef names the root directory.
func RootRef() Ref { return Ref{Ino: RootIno} }

// Cookie is a position in a directory. Cookies count up per directory in the
// order in which names were made, and a name keeps its cookie while it lives.
// The values stay below 1<<63, since some clients treat them as signed.
type Cookie uint64

// Reserved cookies. The first name of a directory has CookieFirst.
const (
	CookieStart  Cookie = 0 // before the first entry
	CookieDot    Cookie = 1 // the entry "."
	CookieDotDot Cookie = 2 // the entry ".."
	CookieFirst  Cookie = 3
)

// FileType has the numbers of ftype3 (RFC 1813 section 2.6).
type FileType uint8

// The file types of NFSv3.
const (
	TypeReg  FileType = 1
	TypeDir  FileType = 2
	TypeBlk  FileType = 3
	TypeChr  FileType = 4
	TypeLnk  FileType = 5
	TypeSock FileType = 6
	TypeFifo FileType = 7
)

// Time is nanoseconds since the Unix epoch.
type Time int64

// TimeOf converts a time.Time.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// Time converts to time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

// Limits of the volume. They are part of the contract: a front end reports
// them, the state machine enforces them.
const (
	MaxName     = 255       // bytes in one name
	MaxTarget   = 4095      // bytes in a symlink's target
	MaxIO       = 1 << 20   // bytes in one READ or WRITE
	MaxFileSize = 1<<43 - 1 // bytes in one file (8 TiB - 1)
	MaxLink     = 65000     // names of one inode, subdirectories of one directory
	MaxGroups   = 1024      // supplementary groups of one caller
)

// Mode bits beyond the nine permission bits.
const (
	ModeSetuid uint32 = 0o4000
	ModeSetgid uint32 = 0o2000
	ModeSticky uint32 = 0o1000
	ModeMask   uint32 = 0o7777
)

// Device is the major and minor number of a block or character device.
type Device struct{ Major, Minor uint32 }

// Attr is what is known of an inode.
type Attr struct {
	Ref
	Type  FileType
	Mode  uint32 // permission bits with setuid, setgid and sticky
	Nlink uint32
	UID   uint32
	GID   uint32
	Size  uint64 // bytes
	Used  uint64 // bytes that are stored; holes are free
	Rdev  Device
	Atime Time
	Mtime Time
	Ctime Time
}

// WCCAttr is what weak cache consistency keeps of an inode before a change
// (RFC 1813 section 2.6, wcc_attr).
type WCCAttr struct {
	Size  uint64
	Mtime Time
	Ctime Time
}

// WCC is the state of one inode before and after a call, both taken in the
// same atomic step. It is kept for failed calls too where the inode exists.
type WCC struct {
	HasBefore bool
	HasAfter  bool
	Before    WCCAttr
	After     Attr
}

// Cred is the caller after squashing and group look-up at the node that took
// the call. Apply looks nothing up.
type Cred struct {
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary, at most MaxGroups
}

// Root is the credential that passes every permission check.
var Root = Cred{}

// CallID identifies one call of one client, for the duplicate request cache
// (rule R11). The zero CallID has no identity: each such call is new.
type CallID struct {
	Client [16]byte // IPv6 or IPv4-mapped address without port, or the id of a node of the cluster
	XID    uint32
	Prog   uint32
	Vers   uint32
	Proc   uint32
	Sum    uint64 // checksum of uid, gids, machine name and arguments
}

// IsZero reports that the call has no identity.
func (c CallID) IsZero() bool { return c == CallID{} }

// Call is who asks for a change, and under which identity.
type Call struct {
	Cred Cred
	ID   CallID
}

// Volume is what is fixed when a volume is formatted. It is the same at both
// data nodes and never changes.
type Volume struct {
	ID        uint32   // short id, in every key, command and file handle
	UUID      [16]byte // fsid and verifiers derive from it
	HandleKey [16]byte // key of the MAC in file handles
	BlockSize uint32   // bytes of one data block
}

// FSID is the fsid3 of the volume.
func (v Volume) FSID() uint64 { return binary.BigEndian.Uint64(v.UUID[:8]) }

// WriteVerf is the write verifier: constant, since every WRITE is answered
// FILE_SYNC and nothing is ever lost that a COMMIT would have to cover.
func (v Volume) WriteVerf() [8]byte { return [8]byte(v.UUID[8:16]) }

// CookieVerf is the cookie verifier: constant, since no cookie expires.
func (v Volume) CookieVerf() [8]byte { return [8]byte(v.UUID[8:16]) }
