package command

import (
	"fmt"

	"twofold/replica/vfs"
)

// Bits of a result that say which parts follow.
const (
	hasAttr    = 1 << 0
	hasBefore0 = 1 << 1
	hasAfter0  = 1 << 2
	hasBefore1 = 1 << 3
	hasAfter1  = 1 << 4
	partsKnown = hasAttr | hasBefore0 | hasAfter0 | hasBefore1 | hasAfter1
)

// AppendResult appends an encoded result: version u8, parts u8, kind u16, count
// u32, then of those that parts names, in this order: the attributes (77
// bytes), and per WCC the values before (24 bytes) and after (77 bytes).
func AppendResult(dst []byte, r *vfs.Result) []byte {
	dst = append(dst, Version, partsOf(r))
	dst = be.AppendUint16(dst, uint16(r.Kind))
	dst = be.AppendUint32(dst, r.Count)
	if r.HasAttr {
		dst = appendAttr(dst, &r.Attr)
	}
	for i := range r.WCC {
		dst = appendWCC(dst, &r.WCC[i])
	}
	return dst
}

func partsOf(r *vfs.Result) byte {
	var parts byte
	add := func(has bool, bit byte) {
		if has {
			parts |= bit
		}
	}
	add(r.HasAttr, hasAttr)
	add(r.WCC[0].HasBefore, hasBefore0)
	add(r.WCC[0].HasAfter, hasAfter0)
	add(r.WCC[1].HasBefore, hasBefore1)
	add(r.WCC[1].HasAfter, hasAfter1)
	return parts
}

func appendWCC(b []byte, w *vfs.WCC) []byte {
	if w.HasBefore {
		b = be.AppendUint64(b, w.Before.Size)
		b = be.AppendUint64(b, uint64(w.Before.Mtime))
		b = be.AppendUint64(b, uint64(w.Before.Ctime))
	}
	if w.HasAfter {
		b = appendAttr(b, &w.After)
	}
	return b
}

func appendAttr(b []byte, a *vfs.Attr) []byte {
	b = append(appendRef(b, a.Ref), byte(a.Type))
	b = be.AppendUint32(b, a.Mode)
	b = be.AppendUint32(b, a.Nlink)
	b = be.AppendUint32(b, a.UID)
	b = be.AppendUint32(b, a.GID)
	b = be.AppendUint64(b, a.Size)
	b = be.AppendUint64(b, a.Used)
	b = be.AppendUint32(b, a.Rdev.Major)
	b = be.AppendUint32(b, a.Rdev.Minor)
	b = be.AppendUint64(b, uint64(a.Atime))
	b = be.AppendUint64(b, uint64(a.Mtime))
	return be.AppendUint64(b, uint64(a.Ctime))
}

// DecodeResult reads a result and checks that nothing follows.
func DecodeResult(b []byte) (vfs.Result, error) {
	c := cursor{b: b}
	if v := c.u8(); c.err == nil && v != Version {
		return vfs.Result{}, fmt.Errorf("%w: result version %d, want %d", ErrUnknown, v, Version)
	}
	parts := c.u8()
	if parts&^partsKnown != 0 {
		return vfs.Result{}, fmt.Errorf("%w: result parts %#x", ErrUnknown, parts)
	}
	r := vfs.Result{Kind: vfs.Kind(c.u16()), Count: c.u32()}
	if !r.Kind.Valid() {
		return vfs.Result{}, fmt.Errorf("%w: kind %d", ErrUnknown, uint16(r.Kind))
	}
	if r.HasAttr = parts&hasAttr != 0; r.HasAttr {
		r.Attr = c.attr()
	}
	r.WCC[0] = c.wcc(parts&hasBefore0 != 0, parts&hasAfter0 != 0)
	r.WCC[1] = c.wcc(parts&hasBefore1 != 0, parts&hasAfter1 != 0)
	if err := c.end(); err != nil {
		return vfs.Result{}, fmt.Errorf("result: %w", err)
	}
	return r, nil
}

func (c *cursor) wcc(before, after bool) vfs.WCC {
	w := vfs.WCC{HasBefore: before, HasAfter: after}
	if before {
		w.Before = vfs.WCCAttr{Size: c.u64(), Mtime: c.time(), Ctime: c.time()}
	}
	if after {
		w.After = c.attr()
	}
	return w
}

func (c *cursor) attr() vfs.Attr {
	return vfs.Attr{
		Ref: c.ref(), Type: vfs.FileType(c.u8()),
		Mode: c.u32(), Nlink: c.u32(), UID: c.u32(), GID: c.u32(),
		Size: c.u64(), Used: c.u64(),
		Rdev:  vfs.Device{Major: c.u32(), Minor: c.u32()},
		Atime: c.time(), Mtime: c.time(), Ctime: c.time(),
	}
}
