package nfs3

import "twofold/replica/vfs"

// setattr is procedure 2 (RFC 1813 section 3.3.2). The guard is compared whole,
// nanoseconds included: every change of an inode moves its ctime.
func (q *request) setattr() error {
	fh := q.handle()
	op := vfs.OpSetAttr{Set: q.sattr()}
	if op.HasGuard = q.r.Bool(); op.HasGuard {
		op.Guard = q.time()
	}
	ref, err := q.resolve(fh)
	if err != nil {
		return err
	}
	if st := q.verdictOnChange(); st != statusOK {
		want := vfs.FileType(0)
		if op.Set.Has(vfs.SetSize) {
			want = vfs.TypeReg // nfsd_setattr checks the type first
		}
		return q.refuse(ref, want, st)
	}
	op.Ref = ref
	res, err := q.mutate(&op)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.wcc(&res.WCC[0])
	return nil
}
