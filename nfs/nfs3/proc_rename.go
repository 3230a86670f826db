package nfs3

import (
	"twofold/nfs/handle"
	"twofold/replica/vfs"
)

// rename is procedure 14 (RFC 1813 section 3.3.14).
func (q *request) rename() error {
	fromFH, fromName := q.handle(), q.name()
	toFH, toName := q.handle(), q.name()
	from, err := q.resolve(fromFH)
	if err != nil {
		return err
	}
	to, kind := handle.Decode(q.vol, toFH)
	early := first(verdictOnName(fromName), verdictOnName(toName))
	late := q.verdictOnChange()
	if first(early, late, statusOf(kind)) != statusOK {
		return q.refuseRename(from, to, kind, early, late)
	}
	res, err := q.mutate(&vfs.OpRename{
		FromDir: from, FromName: string(fromName),
		ToDir: to, ToName: string(toName),
	})
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.wcc(&res.WCC[0])
	q.wcc(&res.WCC[1])
	return nil
}

// refuseRename answers with what is known of both directories. The handle of
// the second one decoded as kind. early is what is wrong with the names, late
// what is wrong with a change of the first directory: like knfsd (nfsd_rename)
// we look at the second one after that.
func (q *request) refuseRename(from, to vfs.Ref, kind vfs.Kind, early, late status) error {
	want := vfs.TypeDir
	if early != statusOK {
		want = 0
	}
	f, err := q.look(from, vfs.OK, want)
	if err != nil {
		return err
	}
	t, err := q.look(to, kind, want)
	if err != nil {
		return err
	}
	q.reply(first(early, f.status, late, q.mayChangeEntries(&f), t.status))
	q.unchanged(f.hasAttr, &f.attr)
	q.unchanged(t.hasAttr, &t.attr)
	return nil
}
