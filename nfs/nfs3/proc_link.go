package nfs3

import "twofold/replica/vfs"

// link is procedure 15 (RFC 1813 section 3.3.15). Like knfsd (nfsd_link) we
// look at the directory before the file. Between two exports it is
// NFS3ERR_XDEV, as RENAME is: a file shall not come under other rules than those
// of the export that it lies in.
func (q *request) link() error {
	fileFH, dirFH, name := q.handle(), q.handle(), q.name()
	dir, err := q.resolve(dirFH)
	if err != nil {
		return err
	}
	file, fileStatus := q.admit(fileFH)
	st := first(fileStatus, q.verdictOnMaking(name))
	if st == statusOK && file.root != q.root {
		st = statusXDev
	}
	if st != statusOK {
		return q.refuseLink(file, fileStatus, dir, st)
	}
	res, err := q.mutate(&vfs.OpLink{Ref: file.ref, Dir: dir, Name: string(name)})
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.postOp(res.HasAttr, &res.Attr)
	q.wcc(&res.WCC[0])
	return nil
}

// notDir refuses a directory, which has one name alone.
func notDir(t vfs.FileType) status {
	if t == vfs.TypeDir {
		return statusIsDir
	}
	return statusOK
}

// refuseLink answers with what is known of both. fileStatus is what is wrong
// with the file's handle.
func (q *request) refuseLink(file admitted, fileStatus status, dir vfs.Ref, st status) error {
	d, err := q.look(dir, statusOK, vfs.TypeDir)
	if err != nil {
		return err
	}
	f, err := q.look(file.ref, fileStatus, 0)
	if err != nil {
		return err
	}
	st = first(d.status, f.status, st)
	if st == statusXDev {
		st = first(q.verdictOnEntries(&q.rule, &d.attr), notDir(f.attr.Type), st)
	}
	q.reply(st)
	q.postOp(f.hasAttr, &f.attr)
	q.unchanged(d.hasAttr, &d.attr)
	return nil
}
