package command

import (
	"fmt"
	"net/netip"

	"twofold/replica/vfs"
)

// The commands of this file change the replicated tables beside the file
// system. They are no vfs.Op: no NFS procedure makes them.

// MaxNode bounds the names of nodes and sources in bytes.
const MaxNode = 255

// SetExports replaces the export table, if it still has the version that the
// proposer saw. Result: OK; NotSync if the table has moved on; or the verdict
// on the path of the entry number Count.
type SetExports struct {
	Base    uint64 // vfs.ExportTable.Version
	By      string
	Source  string
	Exports []vfs.Export
}

// MountAction says what a MountChange does.
type MountAction uint8

// The actions of MountChange.
const (
	MountAdd       MountAction = 1
	MountRemove    MountAction = 2
	MountRemoveAll MountAction = 3 // of the host, whatever the path
	mountActionEnd MountAction = 4
)

// MountChange changes the list of mounts.
type MountChange struct {
	Action MountAction
	Mount  vfs.Mount
}

// SetMember publishes a member's record in place of an older one of that name.
type SetMember struct{ Member vfs.Member }

// DropMember takes out the record of a member that is none any more, if it still
// is the one with this identity.
type DropMember struct {
	Name string
	ID   [16]byte
}

// SetLimits sets what bounds the replicated state, alike at both nodes.
type SetLimits struct {
	// DuplicateBytes bounds the duplicate request cache.
	DuplicateBytes uint64
}

func appendExports(b []byte, o *SetExports) ([]byte, error) {
	if len(o.Exports) > vfs.MaxExports {
		return b, fmt.Errorf("%w: %d exports", ErrLimit, len(o.Exports))
	}
	b = be.AppendUint64(b, o.Base)
	b = appendString(b, o.By, MaxNode)
	b = appendString(b, o.Source, vfs.MaxPath)
	b = be.AppendUint32(b, uint32(len(o.Exports)))
	size := 0
	for _, e := range o.Exports {
		if size += len(e.Path) + len(e.Clients); size > vfs.MaxExportBytes {
			return b, fmt.Errorf("%w: export table of %d bytes", ErrLimit, size)
		}
		b = appendRef(appendString(b, e.Path, vfs.MaxPath), e.Root)
		b = be.AppendUint32(b, uint32(len(e.Clients)))
		b = append(b, e.Clients...)
	}
	return b, nil
}

func decodeExports(r *cursor) *SetExports {
	o := &SetExports{Base: r.u64(), By: r.str(MaxNode), Source: r.str(vfs.MaxPath)}
	n := r.u32()
	if n > vfs.MaxExports {
		r.fail(fmt.Errorf("%w: %d exports", ErrLimit, n))
		return o
	}
	for range n {
		if r.err != nil {
			return o
		}
		e := vfs.Export{Path: r.str(vfs.MaxPath), Root: r.ref()}
		size := r.u32()
		if size > vfs.MaxExportBytes {
			r.fail(fmt.Errorf("%w: client list of %d bytes", ErrLimit, size))
			return o
		}
		e.Clients = string(r.take(int(size)))
		o.Exports = append(o.Exports, e)
	}
	return o
}

func appendMount(b []byte, o *MountChange) ([]byte, error) {
	if o.Action == 0 || o.Action >= mountActionEnd {
		return b, fmt.Errorf("%w: mount action %d", ErrUnknown, o.Action)
	}
	b = appendString(append(b, byte(o.Action)), o.Mount.Host, vfs.MaxHost)
	return appendString(b, o.Mount.Path, vfs.MaxPath), nil
}

func decodeMount(r *cursor) *MountChange {
	o := &MountChange{Action: MountAction(r.u8())}
	if r.err == nil && (o.Action == 0 || o.Action >= mountActionEnd) {
		r.fail(fmt.Errorf("%w: mount action %d", ErrUnknown, o.Action))
	}
	o.Mount = vfs.Mount{Host: r.str(vfs.MaxHost), Path: r.str(vfs.MaxPath)}
	return o
}

func appendMember(b []byte, o *SetMember) ([]byte, error) {
	m := &o.Member
	if len(m.Addrs) > vfs.MaxAddrs {
		return b, fmt.Errorf("%w: %d addresses", ErrLimit, len(m.Addrs))
	}
	b = append(appendString(b, m.Name, MaxNode), m.ID[:]...)
	b = be.AppendUint16(b, uint16(len(m.Addrs)))
	for _, a := range m.Addrs {
		a16 := a.As16() // a zone means something on one host only
		b = append(b, a16[:]...)
	}
	return b, nil
}

func decodeDropMember(r *cursor) *DropMember {
	o := &DropMember{Name: r.str(MaxNode)}
	copy(o.ID[:], r.take(len(o.ID)))
	return o
}

func decodeMember(r *cursor) *SetMember {
	o := &SetMember{Member: vfs.Member{Name: r.str(MaxNode)}}
	copy(o.Member.ID[:], r.take(len(o.Member.ID)))
	n := r.u16()
	if n > vfs.MaxAddrs {
		r.fail(fmt.Errorf("%w: %d addresses", ErrLimit, n))
		return o
	}
	for range n {
		var a [16]byte
		copy(a[:], r.take(len(a)))
		o.Member.Addrs = append(o.Member.Addrs, netip.AddrFrom16(a).Unmap())
	}
	return o
}
