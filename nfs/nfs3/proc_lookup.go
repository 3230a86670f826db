package nfs3

import "twofold/replica/vfs"

// lookup is procedure 3 (RFC 1813 section 3.3.3). "." and ".." are names like
// any other here. The root of an export is its own parent, as in
// nfsd_lookup_dentry (fs/nfsd/vfs.c): no client climbs out of its export.
func (q *request) lookup() error {
	fh, name := q.handle(), q.name()
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	if st := verdictOnName(name); st != statusOK {
		return q.refuseLookup(dir, st)
	}
	wanted := string(name)
	if wanted == ".." && dir.Ino == q.root {
		wanted = "."
	}
	res, err := q.p.fs.Lookup(q.ctx, q.cred(), dir, wanted)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	if res.Kind == vfs.OK {
		q.fh(res.Attr.Ref)
		q.postOp(true, &res.Attr)
	}
	q.postOp(res.HasDir, &res.Dir)
	return nil
}

// refuseLookup answers for a name that cannot be there. Permission to search
// comes first, as in nfsd_lookup.
func (q *request) refuseLookup(dir vfs.Ref, st status) error {
	l, err := q.look(dir, statusOK, vfs.TypeDir)
	if err != nil {
		return err
	}
	if l.status == statusOK && !vfs.Allowed(q.cred(), &l.attr, vfs.WantExec) {
		l.status = statusAcces
	}
	q.reply(first(l.status, st))
	q.postOp(l.hasAttr, &l.attr)
	return nil
}
