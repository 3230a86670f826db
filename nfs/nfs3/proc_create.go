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
	op.Dir, op.Name = dir, string(name)
	early := verdictOnNew(name)
	if early == statusOK && !q.rule.ReadWrite {
		return q.createReadOnly(&op)
	}
	if done, err := q.refused(dir, early); done {
		return err
	}
	return q.make(&op)
}

// createReadOnly answers CREATE on a read-only export. Like knfsd
// (nfsd3_create_file) we look at the name first: one that is there can be opened
// by UNCHECKED, as long as nothing changes.
func (q *request) createReadOnly(op *vfs.OpCreate) error {
	res, err := q.p.fs.Lookup(q.ctx, q.cred(), op.Dir, op.Name)
	if err != nil {
		return err
	}
	st := statusOf(res.Kind)
	switch {
	case res.Kind == vfs.NotExist:
		st = statusROFS
	case res.Kind != vfs.OK:
	case op.Mode != vfs.CreateUnchecked:
		st = statusExist
	case res.Attr.Type == vfs.TypeReg && op.Set.Has(vfs.SetSize):
		st = statusROFS
	}
	q.reply(st)
	if st == statusOK {
		q.postFH(true, res.Attr.Ref)
		q.postOp(true, &res.Attr)
	}
	q.unchanged(res.HasDir, &res.Dir)
	return nil
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
