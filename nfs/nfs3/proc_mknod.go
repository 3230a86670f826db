package nfs3

import "twofold/replica/vfs"

// mknod is procedure 11 (RFC 1813 section 3.3.11). Types that have a procedure
// of their own, and numbers that are no type, carry no further arguments and
// are NFS3ERR_BADTYPE, as in nfsd3_proc_mknod.
func (q *request) mknod() error {
	fh, name := q.handle(), q.name()
	op := vfs.OpMknod{}
	known := true
	switch t := q.r.Uint32(); t {
	case uint32(vfs.TypeChr), uint32(vfs.TypeBlk):
		op.Type = vfs.FileType(t)
		op.Set = q.sattr()
		op.Rdev.Major = q.r.Uint32()
		op.Rdev.Minor = q.r.Uint32()
	case uint32(vfs.TypeSock), uint32(vfs.TypeFifo):
		op.Type = vfs.FileType(t)
		op.Set = q.sattr()
	default:
		known = false
	}
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	st := q.verdictOnMaking(name)
	if !known {
		st = first(q.verdictOnChange(), statusBadType)
	}
	if st != statusOK {
		return q.refuse(dir, vfs.TypeDir, st)
	}
	op.Dir, op.Name = dir, string(name)
	op.Set.Mask &^= vfs.SetSize
	return q.make(&op)
}
