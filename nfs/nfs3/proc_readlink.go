package nfs3

import "twofold/replica/vfs"

// readlink is procedure 5 (RFC 1813 section 3.3.5).
func (q *request) readlink() error {
	ref, err := q.resolve(q.handle())
	if err != nil {
		return err
	}
	res, err := q.p.fs.Readlink(q.ctx, q.cred(), ref)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.postOp(res.HasAttr, &res.Attr)
	if res.Kind == vfs.OK {
		q.w.String(res.Target)
	}
	return nil
}
