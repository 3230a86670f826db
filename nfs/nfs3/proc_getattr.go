package nfs3

import "twofold/replica/vfs"

// getattr is procedure 1 (RFC 1813 section 3.3.1). It needs no permission.
func (q *request) getattr() error {
	ref, err := q.resolve(q.handle())
	if err != nil {
		return err
	}
	res, err := q.p.fs.GetAttr(q.ctx, ref)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	if res.Kind == vfs.OK {
		q.fattr(&res.Attr)
	}
	return nil
}
