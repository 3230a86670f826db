package nfs3

import "twofold/replica/vfs"

// The bits of ACCESS (RFC 1813 section 3.3.4).
const (
	accessRead    uint32 = 0x01
	accessLookup  uint32 = 0x02
	accessModify  uint32 = 0x04
	accessExtend  uint32 = 0x08
	accessDelete  uint32 = 0x10
	accessExecute uint32 = 0x20
)

// access is procedure 4 (RFC 1813 section 3.3.4). Bits that make no sense for
// the type are never granted.
func (q *request) access() error {
	fh, asked := q.handle(), q.r.Uint32()
	ref, err := q.resolve(fh)
	if err != nil {
		return err
	}
	res, err := q.p.fs.GetAttr(q.ctx, ref)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.postOp(res.Kind == vfs.OK, &res.Attr)
	if res.Kind == vfs.OK {
		q.w.Uint32(asked & q.granted(&res.Attr))
	}
	return nil
}

// granted returns every access bit that the caller has. The permissions behind
// each bit are those of nfs3_regaccess, nfs3_diraccess and nfs3_anyaccess in
// fs/nfsd/vfs.c. A read-only export takes the changes away from files and
// directories, but not from devices and their like, which a client opens itself.
func (q *request) granted(a *vfs.Attr) uint32 {
	read := vfs.Allowed(q.cred(), a, vfs.WantRead)
	write := vfs.Allowed(q.cred(), a, vfs.WantWrite)
	exec := vfs.Allowed(q.cred(), a, vfs.WantExec)
	if a.Type == vfs.TypeReg || a.Type == vfs.TypeDir {
		write = write && q.rule.ReadWrite
	}
	var bits uint32
	if read {
		bits |= accessRead
	}
	if a.Type == vfs.TypeDir {
		if exec {
			bits |= accessLookup
		}
		if exec && write {
			bits |= accessModify | accessExtend | accessDelete
		}
		return bits
	}
	if exec {
		bits |= accessExecute
	}
	if write {
		bits |= accessModify | accessExtend
	}
	return bits
}
