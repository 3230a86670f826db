package command

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"twofold/replica/vfs"
)

// Offsets of the header fields. They are part of the format.
const (
	offVersion = 0
	offType    = 1
	offFlags   = 2
	offTime    = 8
	offSeed    = 16
	offCRC     = 80
	offUID     = 84
	headerLen  = 96
)

// setMaskKnown has every bit of vfs.SetMask that this version knows.
const setMaskKnown = vfs.SetMode | vfs.SetUID | vfs.SetGID | vfs.SetSize |
	vfs.SetAtime | vfs.SetMtime | vfs.SetAtimeServer | vfs.SetMtimeServer

var be = binary.BigEndian

// Append appends the encoded command to dst. It is not sealed yet: its time,
// seed and checksum are zero whatever c says, and Decode refuses it.
func Append(dst []byte, c *Command) ([]byte, error) {
	typ := typeOf(c.Op)
	if typ == 0 {
		return dst, fmt.Errorf("%w: op %T", ErrUnknown, c.Op)
	}
	if c.Flags&^flagsKnown != 0 {
		return dst, fmt.Errorf("%w: flags %#x", ErrUnknown, uint16(c.Flags))
	}
	if len(c.Cred.Groups) > vfs.MaxGroups {
		return dst, fmt.Errorf("%w: %d groups", ErrLimit, len(c.Cred.Groups))
	}
	start := len(dst)
	out := appendHeader(dst, c, typ)
	out, err := appendBody(out, c.Op)
	if err != nil {
		return dst[:start], err
	}
	return out, nil
}

func appendHeader(b []byte, c *Command, typ Type) []byte {
	b = append(b, Version, byte(typ))
	b = be.AppendUint16(b, uint16(c.Flags))
	b = be.AppendUint32(b, c.Volume)
	b = be.AppendUint64(b, 0) // time
	b = be.AppendUint64(b, 0) // seed
	b = be.AppendUint64(b, c.Origin.Instance)
	b = be.AppendUint64(b, c.Origin.Seq)
	b = append(b, c.ID.Client[:]...)
	b = be.AppendUint32(b, c.ID.XID)
	b = be.AppendUint32(b, c.ID.Prog)
	b = be.AppendUint32(b, c.ID.Vers)
	b = be.AppendUint32(b, c.ID.Proc)
	b = be.AppendUint64(b, c.ID.Sum)
	b = be.AppendUint32(b, 0) // checksum
	b = be.AppendUint32(b, c.Cred.UID)
	b = be.AppendUint32(b, c.Cred.GID)
	b = be.AppendUint32(b, uint32(len(c.Cred.Groups)))
	for _, g := range c.Cred.Groups {
		b = be.AppendUint32(b, g)
	}
	return b
}

// Mark sets flags in an encoded command that is not sealed yet.
func Mark(enc []byte, f Flags) {
	old := be.Uint16(enc[offFlags:])
	be.PutUint16(enc[offFlags:], old|uint16(f))
}

// Seal stamps time and seed into an encoded command and sets its checksum. It
// may be called again, by a leader that proposes the command anew. enc must
// come from Append or have passed DecodeUnsealed.
func Seal(enc []byte, t vfs.Time, seed uint64) {
	be.PutUint64(enc[offTime:], uint64(t))
	be.PutUint64(enc[offSeed:], seed)
	be.PutUint32(enc[offCRC:], checksum(enc))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers every byte but the checksum itself.
func checksum(enc []byte) uint32 {
	sum := crc32.Update(0, castagnoli, enc[:offCRC])
	return crc32.Update(sum, castagnoli, enc[offCRC+4:])
}

func appendBody(b []byte, op any) ([]byte, error) {
	switch o := op.(type) {
	case *Nop:
		return b, nil
	case *Format:
		return appendFormat(b, o), nil
	case *vfs.OpSetAttr:
		b = appendSet(appendRef(b, o.Ref), o.Set)
		b = appendBool(b, o.HasGuard)
		return be.AppendUint64(b, uint64(o.Guard)), checkMask(o.Set)
	case *vfs.OpWrite:
		if len(o.Data) > vfs.MaxIO {
			return b, fmt.Errorf("%w: write of %d bytes", ErrLimit, len(o.Data))
		}
		b = be.AppendUint64(appendRef(b, o.Ref), o.Offset)
		b = be.AppendUint32(b, uint32(len(o.Data)))
		return append(b, o.Data...), nil
	case *vfs.OpCreate:
		if o.Mode > vfs.CreateExclusive {
			return b, fmt.Errorf("%w: create mode %d", ErrUnknown, o.Mode)
		}
		b = append(appendName(appendRef(b, o.Dir), o.Name), byte(o.Mode))
		return append(appendSet(b, o.Set), o.Verf[:]...), checkMask(o.Set)
	case *vfs.OpMkdir:
		b = appendName(appendRef(b, o.Dir), o.Name)
		return appendSet(b, o.Set), checkMask(o.Set)
	case *vfs.OpSymlink:
		b = appendSet(appendName(appendRef(b, o.Dir), o.Name), o.Set)
		return appendString(b, o.Target, vfs.MaxTarget), checkMask(o.Set)
	case *vfs.OpMknod:
		b = append(appendName(appendRef(b, o.Dir), o.Name), byte(o.Type))
		b = be.AppendUint32(appendSet(b, o.Set), o.Rdev.Major)
		return be.AppendUint32(b, o.Rdev.Minor), checkMask(o.Set)
	case *vfs.OpRemove:
		return appendName(appendRef(b, o.Dir), o.Name), nil
	case *vfs.OpRmdir:
		return appendName(appendRef(b, o.Dir), o.Name), nil
	case *vfs.OpRename:
		b = appendName(appendRef(b, o.FromDir), o.FromName)
		return appendName(appendRef(b, o.ToDir), o.ToName), nil
	case *vfs.OpLink:
		b = appendRef(appendRef(b, o.Ref), o.Dir)
		return appendName(b, o.Name), nil
	case *SetExports:
		return appendExports(b, o)
	case *MountChange:
		return appendMount(b, o)
	case *SetMember:
		return appendMember(b, o)
	case *SetLimits:
		return be.AppendUint64(b, o.DuplicateBytes), nil
	case *Integrity:
		return appendIntegrity(b, o)
	case *DropMember:
		return append(appendString(b, o.Name, MaxNode), o.ID[:]...), nil
	default:
		return b, fmt.Errorf("%w: op %T", ErrUnknown, op)
	}
}

func appendFormat(b []byte, f *Format) []byte {
	b = append(b, f.UUID[:]...)
	b = append(b, f.HandleKey[:]...)
	b = be.AppendUint32(b, f.BlockSize)
	b = be.AppendUint32(b, f.RootUID)
	b = be.AppendUint32(b, f.RootGID)
	return be.AppendUint32(b, f.RootMode)
}

func appendRef(b []byte, r vfs.Ref) []byte {
	return be.AppendUint32(be.AppendUint64(b, uint64(r.Ino)), r.Gen)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendString writes a u16 length and at most limit+1 bytes of s.
func appendString(b []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = s[:limit+1]
	}
	return append(be.AppendUint16(b, uint16(len(s))), s...)
}

func appendName(b []byte, s string) []byte { return appendString(b, s, vfs.MaxName) }

func checkMask(s vfs.SetAttr) error {
	if s.Mask&^setMaskKnown != 0 {
		return fmt.Errorf("%w: attribute mask %#x", ErrUnknown, uint16(s.Mask))
	}
	return nil
}

// appendSet writes a vfs.SetAttr in 38 bytes, whatever its mask says.
func appendSet(b []byte, s vfs.SetAttr) []byte {
	b = be.AppendUint16(b, uint16(s.Mask))
	b = be.AppendUint32(b, s.Mode)
	b = be.AppendUint32(b, s.UID)
	b = be.AppendUint32(b, s.GID)
	b = be.AppendUint64(b, s.Size)
	b = be.AppendUint64(b, uint64(s.Atime))
	return be.AppendUint64(b, uint64(s.Mtime))
}
