package nfs3

import (
	"encoding/binary"

	"twofold/nfs/handle"
	"twofold/replica/vfs"
)

// Sizes of encoded values in bytes.
const (
	fattrSize  = 84                         // fattr3
	postOpSize = 4 + fattrSize              // post_op_attr with attributes
	postFHSize = 4 + 4 + (handle.Size+3)&^3 // post_op_fh3 with a handle
)

// reply begins the reply with its status.
func (q *request) reply(s status) {
	q.status = s
	q.w.Uint32(uint32(s))
}

// putTime puts an nfstime3, whose seconds are 32 bits without sign. Times that
// do not fit lose their upper bits, as in knfsd.
func putTime(b []byte, t vfs.Time) {
	sec, nsec := int64(t)/1e9, int64(t)%1e9
	if nsec < 0 { // before 1970: nanoseconds always count forwards
		sec, nsec = sec-1, nsec+1e9
	}
	binary.BigEndian.PutUint32(b, uint32(sec))
	binary.BigEndian.PutUint32(b[4:], uint32(nsec))
}

// fattr appends an fattr3.
func (q *request) fattr(a *vfs.Attr) {
	b := q.w.Extend(fattrSize)
	be := binary.BigEndian
	be.PutUint32(b[0:], uint32(a.Type))
	be.PutUint32(b[4:], a.Mode)
	be.PutUint32(b[8:], a.Nlink)
	be.PutUint32(b[12:], a.UID)
	be.PutUint32(b[16:], a.GID)
	be.PutUint64(b[20:], a.Size)
	be.PutUint64(b[28:], a.Used)
	be.PutUint32(b[36:], a.Rdev.Major)
	be.PutUint32(b[40:], a.Rdev.Minor)
	be.PutUint64(b[44:], q.vol.FSID())
	be.PutUint64(b[52:], uint64(a.Ino))
	putTime(b[60:], a.Atime)
	putTime(b[68:], a.Mtime)
	putTime(b[76:], a.Ctime)
}

// postOp appends a post_op_attr.
func (q *request) postOp(has bool, a *vfs.Attr) {
	q.w.Bool(has)
	if has {
		q.fattr(a)
	}
}

// wcc appends a wcc_data.
func (q *request) wcc(c *vfs.WCC) {
	q.w.Bool(c.HasBefore)
	if c.HasBefore {
		b := q.w.Extend(24)
		binary.BigEndian.PutUint64(b, c.Before.Size)
		putTime(b[8:], c.Before.Mtime)
		putTime(b[16:], c.Before.Ctime)
	}
	q.postOp(c.HasAfter, &c.After)
}

// unchanged appends the wcc_data of an object that the call did not touch.
func (q *request) unchanged(has bool, a *vfs.Attr) {
	c := vfs.WCC{HasBefore: has, HasAfter: has}
	if has {
		c.Before = vfs.WCCAttr{Size: a.Size, Mtime: a.Mtime, Ctime: a.Ctime}
		c.After = *a
	}
	q.wcc(&c)
}

// fh appends an nfs_fh3. It is in the export of the call's own handle.
func (q *request) fh(ref vfs.Ref) {
	q.w.Uint32(handle.Size)
	handle.Put(q.w.Extend(handle.Size), &q.vol, q.root, ref)
}

// postFH appends a post_op_fh3.
func (q *request) postFH(has bool, ref vfs.Ref) {
	q.w.Bool(has)
	if has {
		q.fh(ref)
	}
}
