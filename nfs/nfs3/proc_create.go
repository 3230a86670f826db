package nfs3

import "twofold/replica/vfs"

// create is procedure 8 (RFC 1813 section 3.3.8). With EXCLUSIVE the client's
// verifier takes the place of attributes, which it then sets by SETATTR.
func (q *request) create() error {
	fh, name := q.handle(), q.name()
	op := vfs.OpCreate{}
	switch how := q.r.Uint32(); how {
	case uint32(vfs.CreateUnchecked), uint32(vfs.CreateGuarded):
		op.Mode = vfs.CreateMode(how)
		op.Set = q.sattr()
	case uint32(vfs.CreateExclusive):
		op.Mode = vfs.CreateExclusive
		copy(op.Verf[:], q.r.Fixed(len(op.Verf)))
	default:
		q.r.Fail(errBadEnum)
	}
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	if st := q.verdictOnMaking(name); st != statusOK {
		return q.refuse(dir, vfs.TypeDir, st)
	}
	op.Dir, op.Name = dir, string(name)
	return q.make(&op)
}

// make proposes the making of an object and answers as CREATE, MKDIR, SYMLINK
// and MKNOD do.
func (q *request) make(op vfs.Op) error {
	res, err := q.mutate(op)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	if res.Kind == vfs.OK {
		q.postFH(res.HasAttr, res.Attr.Ref)
		q.postOp(res.HasAttr, &res.Attr)
	}
	q.wcc(&res.WCC[0])
	return nil
}
