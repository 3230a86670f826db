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
	st := first(toStatus, q.verdictOnMaking(fromName), verdictOnName(toName))
	if st == statusOK && to.root != q.root {
		st = statusXDev
		if isDots(fromName) || isDots(toName) {
			st = statusPerm // as the volume has it for one export
		}
	}
	if st != statusOK {
		return q.refuseRename(from, to, toStatus, st)
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
// is wrong with the second one's handle.
func (q *request) refuseRename(from vfs.Ref, to admitted, toStatus, st status) error {
	f, err := q.look(from, statusOK, vfs.TypeDir)
	if err != nil {
		return err
	}
	t, err := q.look(to.ref, toStatus, vfs.TypeDir)
	if err != nil {
		return err
	}
	st = first(f.status, t.status, st)
	if f.status == statusOK && t.status == statusOK && to.root != q.root {
		st = first(q.verdictOnEntries(&q.rule, &f.attr), q.verdictOnEntries(&to.rule, &t.attr), st)
	}
	q.reply(st)
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

// isDots reports whether a name is "." or "..".
func isDots(name []byte) bool { return string(name) == "." || string(name) == ".." }
