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
	early, late := verdictOnName(name), q.verdictOnChange()
	if first(early, late, statusOf(kind)) != statusOK {
		return q.refuseLink(file, kind, dir, early, late)
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
// kind. early is what is wrong with the name, late what is wrong with a change
// of the directory.
func (q *request) refuseLink(file vfs.Ref, kind vfs.Kind, dir vfs.Ref, early, late status) error {
	want := vfs.TypeDir
	if early != statusOK {
		want = 0
	}
	d, err := q.look(dir, vfs.OK, want)
	if err != nil {
		return err
	}
	f, err := q.look(file, kind, 0)
	if err != nil {
		return err
	}
	q.reply(first(early, d.status, late, q.mayChangeEntries(&d), f.status))
	q.postOp(f.hasAttr, &f.attr)
	q.unchanged(d.hasAttr, &d.attr)
	return nil
}
