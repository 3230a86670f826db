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
	st := first(statusOf(kind), q.verdictOnMaking(fromName), verdictOnName(toName))
	if st != statusOK {
		return q.refuseRename(from, to, kind, st)
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
// the second one decoded as kind.
func (q *request) refuseRename(from, to vfs.Ref, kind vfs.Kind, st status) error {
	f, err := q.look(from, vfs.OK, vfs.TypeDir)
	if err != nil {
		return err
	}
	t, err := q.look(to, kind, vfs.TypeDir)
	if err != nil {
		return err
	}
	q.reply(first(f.status, t.status, st))
	q.unchanged(f.hasAttr, &f.attr)
	q.unchanged(t.hasAttr, &t.attr)
	return nil
}
