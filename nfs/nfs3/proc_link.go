package nfs3

import (
	"twofold/nfs/handle"
	"twofold/replica/vfs"
)

// link is procedure 15 (RFC 1813 section 3.3.15). Like knfsd (nfsd_link) we
// look at the directory before the file.
func (q *request) link() error {
	fileFH, dirFH, name := q.handle(), q.handle(), q.name()
	dir, err := q.resolve(dirFH)
	if err != nil {
		return err
	}
	file, kind := handle.Decode(q.vol, fileFH)
	st := first(statusOf(kind), q.verdictOnMaking(name))
	if st != statusOK {
		return q.refuseLink(file, kind, dir, st)
	}
	res, err := q.mutate(&vfs.OpLink{Ref: file, Dir: dir, Name: string(name)})
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.postOp(res.HasAttr, &res.Attr)
	q.wcc(&res.WCC[0])
	return nil
}

// refuseLink answers with what is known of both. The file's handle decoded as
// kind.
func (q *request) refuseLink(file vfs.Ref, kind vfs.Kind, dir vfs.Ref, st status) error {
	d, err := q.look(dir, vfs.OK, vfs.TypeDir)
	if err != nil {
		return err
	}
	f, err := q.look(file, kind, 0)
	if err != nil {
		return err
	}
	q.reply(first(d.status, f.status, st))
	q.postOp(f.hasAttr, &f.attr)
	q.unchanged(d.hasAttr, &d.attr)
	return nil
}
