package nfs3

import (
	"fmt"
	"math"

	"twofold/replica/vfs"
)

// readHead is the length of a READ reply before its data: status, attributes,
// count, eof and the length of the data.
const readHead = 4 + postOpSize + 4 + 4 + 4

// read is procedure 6 (RFC 1813 section 3.3.6). A count over rtmax gets rtmax
// bytes. As in knfsd an offset over 2^63-1 is past every end of file.
//
// The data goes straight to its place in the reply, behind room for what comes
// before it.
func (q *request) read() error {
	fh, off, count := q.handle(), q.r.Uint64(), q.r.Uint32()
	ref, err := q.resolve(fh)
	if err != nil {
		return err
	}
	off = min(off, math.MaxInt64)
	count = min(count, maxIO)

	base := q.w.Len()
	buf := q.w.Extend(readHead + int(count))[readHead:]
	res, err := q.p.fs.Read(q.ctx, q.cred(), ref, off, buf)
	if err != nil {
		return err
	}
	if res.N < 0 || res.N > len(buf) {
		return fmt.Errorf("%w: read of %d bytes gave %d", vfs.ErrCorrupt, len(buf), res.N)
	}
	q.w.Truncate(base)
	q.reply(statusOf(res.Kind))
	q.postOp(res.HasAttr, &res.Attr)
	if res.Kind != vfs.OK {
		return nil
	}
	q.w.Uint32(uint32(res.N))
	q.w.Bool(res.EOF)
	q.w.Uint32(uint32(res.N))
	if q.w.Len() == base+readHead {
		q.w.B = q.w.B[:base+readHead+res.N] // the data is in its place
	} else {
		q.w.B = append(q.w.B, buf[:res.N]...) // no attributes: it moves up
	}
	q.w.Pad(res.N)
	return nil
}
