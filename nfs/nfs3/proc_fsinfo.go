package nfs3

import "twofold/replica/vfs"

// What FSINFO and PATHCONF tell of every volume.
const (
	maxIO        = vfs.MaxIO // rtmax, wtmax and all preferred sizes
	ioMultiple   = 4096      // suggested multiple of READ and WRITE sizes
	timeDeltaNs  = 1         // times have nanoseconds
	properties   = 0x1b      // FSF3_LINK, SYMLINK, HOMOGENEOUS, CANSETTIME
	invarSeconds = 0         // FSSTAT may change at any time
)

// fsstat is procedure 18 (RFC 1813 section 3.3.18).
func (q *request) fsstat() error {
	ref, err := q.resolve(q.handle())
	if err != nil {
		return err
	}
	res, err := q.p.fs.StatFS(q.ctx, ref)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.postOp(res.HasAttr, &res.Attr)
	if res.Kind == vfs.OK {
		q.w.Uint64(res.TotalBytes)
		q.w.Uint64(res.FreeBytes)
		q.w.Uint64(res.FreeBytes) // to this caller: nothing is reserved
		q.w.Uint64(res.Inodes + res.FreeInodes)
		q.w.Uint64(res.FreeInodes)
		q.w.Uint64(res.FreeInodes)
		q.w.Uint32(invarSeconds)
	}
	return nil
}

// fsinfo is procedure 19 (RFC 1813 section 3.3.19).
func (q *request) fsinfo() error {
	ok, err := q.begin()
	if err != nil || !ok {
		return err
	}
	q.w.Uint32(maxIO) // rtmax
	q.w.Uint32(maxIO) // rtpref
	q.w.Uint32(ioMultiple)
	q.w.Uint32(maxIO) // wtmax
	q.w.Uint32(maxIO) // wtpref
	q.w.Uint32(ioMultiple)
	q.w.Uint32(maxIO) // dtpref
	q.w.Uint64(vfs.MaxFileSize)
	q.w.Uint32(0) // time_delta, seconds
	q.w.Uint32(timeDeltaNs)
	q.w.Uint32(properties)
	return nil
}

// pathconf is procedure 20 (RFC 1813 section 3.3.20).
func (q *request) pathconf() error {
	ok, err := q.begin()
	if err != nil || !ok {
		return err
	}
	q.w.Uint32(vfs.MaxLink)
	q.w.Uint32(vfs.MaxName)
	q.w.Bool(true)  // no_trunc: a name that is too long is refused
	q.w.Bool(true)  // chown_restricted
	q.w.Bool(false) // case_insensitive
	q.w.Bool(true)  // case_preserving
	return nil
}

// begin decodes a handle alone and writes status and attributes. It reports
// whether the rest of a good reply has to follow.
func (q *request) begin() (bool, error) {
	ref, err := q.resolve(q.handle())
	if err != nil {
		return false, err
	}
	res, err := q.p.fs.GetAttr(q.ctx, ref)
	if err != nil {
		return false, err
	}
	q.reply(statusOf(res.Kind))
	q.postOp(res.Kind == vfs.OK, &res.Attr)
	return res.Kind == vfs.OK, nil
}
