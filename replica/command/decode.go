package command

import (
	"fmt"

	"twofold/replica/vfs"
)

// Decode reads a sealed command: version, checksum, limits and that nothing
// follows. The Data of an OpWrite aliases enc.
func Decode(enc []byte) (Command, error) {
	if len(enc) < headerLen {
		return Command{}, fmt.Errorf("%w: %d bytes", ErrShort, len(enc))
	}
	// The version comes first: another version may have its checksum elsewhere.
	if enc[offVersion] != Version {
		return Command{}, fmt.Errorf("%w: format version %d, want %d", ErrUnknown, enc[offVersion], Version)
	}
	if want, got := be.Uint32(enc[offCRC:]), checksum(enc); want != got {
		return Command{}, fmt.Errorf("%w: want %08x, got %08x", ErrChecksum, want, got)
	}
	return DecodeUnsealed(enc)
}

// DecodeUnsealed is Decode without the checksum, for a command that a peer
// forwarded: a leader must know that it decodes before it proposes it.
func DecodeUnsealed(enc []byte) (Command, error) {
	if len(enc) > MaxCommandBytes {
		return Command{}, fmt.Errorf("%w: command of %d bytes", ErrLimit, len(enc))
	}
	r := cursor{b: enc}
	var c Command
	decodeHeader(&r, &c)
	if r.err == nil {
		c.Op = decodeBody(&r, c.Type)
	}
	if err := r.end(); err != nil {
		return Command{}, fmt.Errorf("%s: %w", c.Type, err)
	}
	return c, nil
}

func decodeHeader(r *cursor, c *Command) {
	if v := r.u8(); r.err == nil && v != Version {
		r.fail(fmt.Errorf("%w: format version %d, want %d", ErrUnknown, v, Version))
	}
	c.Type = Type(r.u8())
	c.Flags = Flags(r.u16())
	if c.Flags&^flagsKnown != 0 {
		r.fail(fmt.Errorf("%w: flags %#x", ErrUnknown, uint16(c.Flags)))
	}
	c.Volume = r.u32()
	c.Time = r.time()
	c.Seed = r.u64()
	c.Origin = Origin{Instance: r.u64(), Seq: r.u64()}
	copy(c.ID.Client[:], r.take(len(c.ID.Client)))
	c.ID.XID, c.ID.Prog, c.ID.Vers, c.ID.Proc = r.u32(), r.u32(), r.u32(), r.u32()
	c.ID.Sum = r.u64()
	r.u32() // The checksum was compared by the caller.
	c.Cred.UID, c.Cred.GID = r.u32(), r.u32()
	c.Cred.Groups = decodeGroups(r)
}

func decodeGroups(r *cursor) []uint32 {
	n := r.u32()
	if n > vfs.MaxGroups {
		r.fail(fmt.Errorf("%w: %d groups", ErrLimit, n))
		return nil
	}
	raw := r.take(4 * int(n))
	if len(raw) == 0 {
		return nil
	}
	groups := make([]uint32, n)
	for i := range groups {
		groups[i] = be.Uint32(raw[4*i:])
	}
	return groups
}

func decodeBody(r *cursor, typ Type) any {
	switch typ {
	case TypeNop:
		return &Nop{}
	case TypeFormat:
		return decodeFormat(r)
	case TypeSetAttr:
		return &vfs.OpSetAttr{Ref: r.ref(), Set: r.set(), HasGuard: r.flag(), Guard: r.time()}
	case TypeWrite:
		return decodeWrite(r)
	case TypeCreate:
		return decodeCreate(r)
	case TypeMkdir:
		return &vfs.OpMkdir{Dir: r.ref(), Name: r.name(), Set: r.set()}
	case TypeSymlink:
		return &vfs.OpSymlink{Dir: r.ref(), Name: r.name(), Set: r.set(), Target: r.str(vfs.MaxTarget)}
	case TypeMknod:
		return &vfs.OpMknod{
			Dir: r.ref(), Name: r.name(), Type: vfs.FileType(r.u8()), Set: r.set(),
			Rdev: vfs.Device{Major: r.u32(), Minor: r.u32()},
		}
	case TypeRemove:
		return &vfs.OpRemove{Dir: r.ref(), Name: r.name()}
	case TypeRmdir:
		return &vfs.OpRmdir{Dir: r.ref(), Name: r.name()}
	case TypeRename:
		return &vfs.OpRename{FromDir: r.ref(), FromName: r.name(), ToDir: r.ref(), ToName: r.name()}
	case TypeLink:
		return &vfs.OpLink{Ref: r.ref(), Dir: r.ref(), Name: r.name()}
	case TypeExports:
		return decodeExports(r)
	case TypeMount:
		return decodeMount(r)
	case TypeMember:
		return decodeMember(r)
	case TypeLimits:
		return &SetLimits{DuplicateBytes: r.u64()}
	case TypeIntegrity:
		return decodeIntegrity(r)
	case TypeMemberGone:
		return decodeDropMember(r)
	default:
		r.fail(ErrUnknown)
		return nil
	}
}

func decodeFormat(r *cursor) *Format {
	f := &Format{}
	copy(f.UUID[:], r.take(len(f.UUID)))
	copy(f.HandleKey[:], r.take(len(f.HandleKey)))
	f.BlockSize, f.RootUID, f.RootGID, f.RootMode = r.u32(), r.u32(), r.u32(), r.u32()
	return f
}

func decodeWrite(r *cursor) *vfs.OpWrite {
	o := &vfs.OpWrite{Ref: r.ref(), Offset: r.u64()}
	n := r.u32()
	if n > vfs.MaxIO {
		r.fail(fmt.Errorf("%w: write of %d bytes", ErrLimit, n))
		return o
	}
	o.Data = r.take(int(n))
	return o
}

func decodeCreate(r *cursor) *vfs.OpCreate {
	o := &vfs.OpCreate{Dir: r.ref(), Name: r.name(), Mode: vfs.CreateMode(r.u8()), Set: r.set()}
	if o.Mode > vfs.CreateExclusive {
		r.fail(fmt.Errorf("%w: create mode %d", ErrUnknown, o.Mode))
	}
	copy(o.Verf[:], r.take(len(o.Verf)))
	return o
}
