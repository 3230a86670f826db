package nfs3

import "twofold/replica/vfs"

// Linux has 12 bits for the major and 20 bits for the minor number of a device.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// mknod is procedure 11 (RFC 1813 section 3.3.11). Types that have a procedure
// of their own carry no further arguments and are NFS3ERR_BADTYPE, as in
// nfsd3_proc_mknod; a number that is no type does not decode.
func (q *request) mknod() error {
	fh, name := q.handle(), q.name()
	op := vfs.OpMknod{}
	early := statusOK
	switch t := q.r.Uint32(); t {
	case uint32(vfs.TypeChr), uint32(vfs.TypeBlk):
		op.Type = vfs.FileType(t)
		op.Set = q.sattr()
		op.Rdev.Major = q.r.Uint32()
		op.Rdev.Minor = q.r.Uint32()
		if op.Rdev.Major > maxMajor || op.Rdev.Minor > maxMinor {
			early = statusInval
		}
	case uint32(vfs.TypeSock), uint32(vfs.TypeFifo):
		op.Type = vfs.FileType(t)
		op.Set = q.sattr()
	case uint32(vfs.TypeReg), uint32(vfs.TypeDir), uint32(vfs.TypeLnk):
		early = statusBadType
	default:
		q.r.Fail(errBadEnum)
	}
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	if done, err := q.refusedAfterLookup(dir, first(verdictOnName(name), early, verdictOnNew(name))); done {
		return err
	}
	op.Dir, op.Name = dir, string(name)
	op.Set.Mask &^= vfs.SetSize
	return q.make(&op)
}
