package command

import (
	"errors"
	"fmt"

	"twofold/replica/vfs"
)

// Version is the format version that this package writes and reads.
const Version = 2

// Limits of one command and of one batch.
const (
	// MaxCommandBytes bounds one encoded command: a WRITE of vfs.MaxIO with
	// vfs.MaxGroups groups fits.
	MaxCommandBytes = vfs.MaxIO + 8<<10
	// MaxBatchOps bounds the commands of one log entry.
	MaxBatchOps = 256
	// MaxBatchBytes bounds one encoded batch. Any one command fits alone.
	MaxBatchBytes = vfs.MaxIO + 64<<10
)

// Errors of decoding and encoding. In the log each of them is a matter of
// integrity; from a peer it is a bad message.
var (
	// ErrShort is returned when the bytes end before the value does.
	ErrShort = errors.New("command: truncated")
	// ErrTrailing is returned when bytes follow the value.
	ErrTrailing = errors.New("command: bytes after the end")
	// ErrChecksum is returned when the CRC-32C does not match.
	ErrChecksum = errors.New("command: checksum mismatch")
	// ErrUnknown is returned for a version, type, flag or mask bit that this
	// program does not know.
	ErrUnknown = errors.New("command: not known to this version")
	// ErrLimit is returned when a length or count exceeds its limit.
	ErrLimit = errors.New("command: over a limit")
)

// Type says what a command does. Numbers are in the log: append only.
type Type uint8

// The command types.
const (
	TypeNop     Type = 1
	TypeFormat  Type = 2
	TypeSetAttr Type = 3
	TypeWrite   Type = 4
	TypeCreate  Type = 5
	TypeMkdir   Type = 6
	TypeSymlink Type = 7
	TypeMknod   Type = 8
	TypeRemove  Type = 9
	TypeRmdir   Type = 10
	TypeRename  Type = 11
	TypeLink    Type = 12
	TypeExports Type = 13
	TypeMount   Type = 14
	TypeMember  Type = 15
	TypeLimits  Type = 16

	TypeIntegrity Type = 17

	TypeMemberGone Type = 18

	typeEnd Type = 19
)

var typeNames = [...]string{
	"none", "nop", "format", "setattr", "write", "create", "mkdir",
	"symlink", "mknod", "remove", "rmdir", "rename", "link",
	"exports", "mount", "member", "limits", "integrity", "membergone",
}

// String names the type in lower case.
func (t Type) String() string {
	if t >= typeEnd {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return typeNames[t]
}

// Types returns every type, for tables that must be exhaustive.
func Types() []Type {
	all := make([]Type, 0, typeEnd)
	for t := TypeNop; t < typeEnd; t++ {
		all = append(all, t)
	}
	return all
}

// Flags are verdicts and hints of the proposer. Bits are append only.
type Flags uint16

// The flags.
const (
	// FlagNoSpace is the proposer's verdict that a data node is short of
	// space: apply answers NoSpace to whatever needs more of it.
	FlagNoSpace Flags = 1 << 0
	// FlagNoWrite is that it has used up half of its reserve: no WRITE is taken,
	// not even over what is stored, since each goes through the log.
	FlagNoWrite Flags = 1 << 1

	flagsKnown = FlagNoSpace | FlagNoWrite
)

// Origin says which process took the call, so that it finds the waiter when
// the command is applied. Apply does not look at it.
type Origin struct {
	Instance uint64 // random per start of a process
	Seq      uint64 // counts within the instance
}

// Header is what every command carries.
type Header struct {
	Type   Type // set by Append from the Op
	Flags  Flags
	Volume uint32
	Time   vfs.Time // stamped by Seal
	Seed   uint64   // stamped by Seal
	Origin Origin
	ID     vfs.CallID
	Cred   vfs.Cred
}

// Command is one decoded command.
type Command struct {
	Header
	Op any // a vfs.Op, or one of the commands of this package
}

// Nop changes nothing.
type Nop struct{}

// Format makes the volume named by the header: its constants and its root
// directory. A second one is refused with Exist.
type Format struct {
	UUID      [16]byte
	HandleKey [16]byte
	BlockSize uint32
	RootUID   uint32
	RootGID   uint32
	RootMode  uint32
}

// typeOf returns the type number of an op, or zero.
func typeOf(op any) Type {
	switch op.(type) {
	case *Nop:
		return TypeNop
	case *Format:
		return TypeFormat
	case *vfs.OpSetAttr:
		return TypeSetAttr
	case *vfs.OpWrite:
		return TypeWrite
	case *vfs.OpCreate:
		return TypeCreate
	case *vfs.OpMkdir:
		return TypeMkdir
	case *vfs.OpSymlink:
		return TypeSymlink
	case *vfs.OpMknod:
		return TypeMknod
	case *vfs.OpRemove:
		return TypeRemove
	case *vfs.OpRmdir:
		return TypeRmdir
	case *vfs.OpRename:
		return TypeRename
	case *vfs.OpLink:
		return TypeLink
	case *SetExports:
		return TypeExports
	case *MountChange:
		return TypeMount
	case *SetMember:
		return TypeMember
	case *SetLimits:
		return TypeLimits
	case *Integrity:
		return TypeIntegrity
	case *DropMember:
		return TypeMemberGone
	default:
		return 0
	}
}
