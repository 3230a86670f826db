package nfs3

import (
	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// rename is procedure 14 (RFC 1813 section 3.3.14). Between two exports it is
// NFS3ERR_XDEV, as in nfsd_rename (fs/nfsd/vfs.c), though both are of one volume.
func (q *request) rename() error {
	fromFH, fromName := q.handle(), q.name()
	toFH, toName := q.handle(), q.name()
	from, err := q.resolve(fromFH)
	if err != nil {
		return err
	}
	to, toStatus := q.admit(toFH)
	early, late := first(verdictOnName(fromName), verdictOnName(toName)), statusOK
	if to.root != q.root {
		late = statusXDev
		if isDots(fromName) || isDots(toName) {
			late = statusPerm // as the volume has it for one export
		}
	}
	if first(early, q.verdictOnChange(), toStatus, late) != statusOK {
		return q.refuseRename(from, to, toStatus, early, late)
	}
	res, err := q.mutate(&vfs.OpRename{
		FromDir: from, FromName: string(fromName),
		ToDir: to.ref, ToName: string(toName),
	})
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.wcc(&res.WCC[0])
	q.wcc(&res.WCC[1])
	return nil
}

// refuseRename answers with what is known of both directories. toStatus is what
// is wrong with the second one's handle, early what is wrong with the names, late
// with two exports. Like knfsd (nfsd_rename) we look at the second directory
// after the first one was found to be the caller's to change.
func (q *request) refuseRename(from vfs.Ref, to admitted, toStatus, early, late status) error {
	want := vfs.TypeDir
	if early != statusOK {
		want = 0
	}
	f, err := q.look(from, statusOK, want)
	if err != nil {
		return err
	}
	t, err := q.look(to.ref, toStatus, want)
	if err != nil {
		return err
	}
	q.reply(first(early,
		f.status, q.verdictOnEntries(&q.rule, &f.attr),
		t.status, q.verdictOnEntries(&to.rule, &t.attr), late))
	q.unchanged(f.hasAttr, &f.attr)
	q.unchanged(t.hasAttr, &t.attr)
	return nil
}

// verdictOnEntries tells why a caller may not change the entries of a directory
// by the rule of its export.
func (q *request) verdictOnEntries(rule *export.Rule, dir *vfs.Attr) status {
	cred := q.credBy(rule)
	switch {
	case !rule.ReadWrite:
		return statusROFS
	case !vfs.Allowed(cred, dir, vfs.WantWrite|vfs.WantExec):
		return statusAcces
	default:
		return statusOK
	}
}
