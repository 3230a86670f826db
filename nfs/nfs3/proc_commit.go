package nfs3

import "twofold/replica/vfs"

// commit is procedure 21 (RFC 1813 section 3.3.21). Every WRITE was durable
// when it was answered, so nothing is left to do; the handle is checked all the
// same, and like knfsd (nfsd_commit) we want a regular file that the caller may
// write, on an export that is not read-only. Offset and count are not looked at.
func (q *request) commit() error {
	fh := q.handle()
	q.r.Uint64()
	q.r.Uint32()
	ref, err := q.resolve(fh)
	if err != nil {
		return err
	}
	l, err := q.look(ref, statusOK, vfs.TypeReg)
	if err != nil {
		return err
	}
	st := first(l.status, q.verdictOnChange())
	if st == statusOK && !vfs.AllowedIO(q.cred(), &l.attr, vfs.WantWrite) {
		st = statusAcces
	}
	q.reply(st)
	q.unchanged(l.hasAttr, &l.attr)
	if st == statusOK {
		verf := q.vol.WriteVerf()
		q.w.Fixed(verf[:])
	}
	return nil
}
