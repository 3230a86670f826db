package nfs3

import "twofold/replica/vfs"

// mkdir is procedure 9 (RFC 1813 section 3.3.9). A size among the attributes is
// ignored, as in nfsd3_proc_mkdir.
func (q *request) mkdir() error {
	fh, name := q.handle(), q.name()
	op := vfs.OpMkdir{Set: q.sattr()}
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	if done, err := q.refusedAfterLookup(dir, verdictOnNew(name)); done {
		return err
	}
	op.Dir, op.Name = dir, string(name)
	op.Set.Mask &^= vfs.SetSize
	return q.make(&op)
}
