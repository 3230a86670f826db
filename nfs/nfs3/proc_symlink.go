package nfs3

import (
	"bytes"
	"math"

	"twofold/replica/vfs"
)

// symlink is procedure 10 (RFC 1813 section 3.3.10).
func (q *request) symlink() error {
	fh, name := q.handle(), q.name()
	op := vfs.OpSymlink{Set: q.sattr()}
	target := q.r.Opaque(math.MaxInt32)
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	early := first(verdictOnName(name), verdictOnTarget(target), verdictOnNew(name))
	if done, err := q.refused(dir, early); done {
		return err
	}
	op.Dir, op.Name, op.Target = dir, string(name), string(target)
	op.Set.Mask &^= vfs.SetSize
	return q.make(&op)
}

// verdictOnTarget gives the statuses of nfsd3_proc_symlink. Linux strings end
// at a NUL, so that one inside is refused (svc_fill_symlink_pathname).
func verdictOnTarget(target []byte) status {
	switch {
	case len(target) == 0:
		return statusInval
	case len(target) > vfs.MaxTarget:
		return statusNameTooLong
	case bytes.IndexByte(target, 0) >= 0:
		return statusInval
	default:
		return statusOK
	}
}
