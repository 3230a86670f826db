package nfs3

import (
	"math"

	"twofold/replica/vfs"
)

// fileSync is FILE_SYNC of stable_how (RFC 1813 section 3.3.7), the strongest.
const fileSync = 2

// write is procedure 7 (RFC 1813 section 3.3.7). Whatever stability is asked
// for, the data is durable before the reply, which says FILE_SYNC.
//
// As in knfsd (nfs3svc_decode_writeargs) a count that differs from the length
// of the data does not decode, and more than wtmax is cut: the count in the
// reply tells the client to send the rest. An end over 2^63-1 is
// NFS3ERR_FBIG, as in nfsd3_proc_write.
func (q *request) write() error {
	fh := q.handle()
	op := vfs.OpWrite{Offset: q.r.Uint64()}
	count, stable := q.r.Uint32(), q.r.Uint32()
	op.Data = q.r.Opaque(math.MaxInt32)
	switch {
	case stable > fileSync:
		q.r.Fail(errBadEnum)
	case int64(count) != int64(len(op.Data)):
		q.r.Fail(errBadCount)
	}
	ref, err := q.resolve(fh)
	if err != nil {
		return err
	}
	op.Ref = ref
	op.Data = op.Data[:min(len(op.Data), maxIO)]
	if op.Offset > math.MaxInt64-uint64(len(op.Data)) {
		return q.refuseEarly(ref, statusFBig)
	}
	if st := q.verdictOnChange(); st != statusOK {
		return q.refuse(ref, vfs.TypeReg, st)
	}
	res, err := q.mutate(&op)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.wcc(&res.WCC[0])
	if res.Kind == vfs.OK {
		verf := q.vol.WriteVerf()
		q.w.Uint32(res.Count)
		q.w.Uint32(fileSync)
		q.w.Fixed(verf[:])
	}
	return nil
}
