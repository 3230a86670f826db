package nfs3

import (
	"errors"
	"math"

	"twofold/replica/vfs"
)

// maxHandle is NFS3_FHSIZE; a longer handle does not decode.
const maxHandle = 64

// Errors of decoding beyond those of package xdr. The client is told no more
// than GARBAGE_ARGS.
var (
	errBadEnum  = errors.New("nfs3: value not in the enumeration")
	errNoHandle = errors.New("nfs3: empty file handle")
	errBadCount = errors.New("nfs3: count differs from the length of the data")
)

// handle decodes an nfs_fh3. The result aliases the record. Like knfsd we take
// an empty handle for no handle (svcxdr_decode_nfs_fh3).
func (q *request) handle() []byte {
	fh := q.r.Opaque(maxHandle)
	if len(fh) == 0 {
		q.r.Fail(errNoHandle)
	}
	return fh
}

// name decodes a filename3. Its length is bounded by the record alone and
// nothing is allocated for it, so that a name that is too long gets the status
// that RFC 1813 has for it. The result aliases the record.
func (q *request) name() []byte { return q.r.Opaque(math.MaxInt32) }

// nsecLimit bounds the nanoseconds of an nfstime3 (RFC 1813 section 2.5).
const nsecLimit = 1e9

// time decodes an nfstime3. Its seconds are unsigned. Too many nanoseconds are
// well-formed XDR, but no time; the change is refused with NFS3ERR_INVAL.
func (q *request) time() vfs.Time {
	sec, nsec := q.r.Uint32(), q.r.Uint32()
	if nsec >= nsecLimit {
		q.badTime = true
	}
	return vfs.Time(int64(sec)*1e9 + int64(nsec))
}

// noID is the id that stands for none; knfsd leaves an owner or group alone
// that is to be set to it (uid_valid and gid_valid in nfs3xdr.c).
const noID = math.MaxUint32

// sattr decodes a sattr3.
func (q *request) sattr() vfs.SetAttr {
	var s vfs.SetAttr
	if q.r.Bool() {
		s.Mask |= vfs.SetMode
		s.Mode = q.r.Uint32() & vfs.ModeMask
	}
	if q.r.Bool() {
		if s.UID = q.r.Uint32(); s.UID != noID {
			s.Mask |= vfs.SetUID
		}
	}
	if q.r.Bool() {
		if s.GID = q.r.Uint32(); s.GID != noID {
			s.Mask |= vfs.SetGID
		}
	}
	if q.r.Bool() {
		s.Mask |= vfs.SetSize
		s.Size = q.r.Uint64()
	}
	s.Mask |= q.setTime(&s.Atime, vfs.SetAtime, vfs.SetAtimeServer)
	s.Mask |= q.setTime(&s.Mtime, vfs.SetMtime, vfs.SetMtimeServer)
	return s
}

// setTime decodes a set_atime or set_mtime (RFC 1813 section 2.6, time_how).
func (q *request) setTime(t *vfs.Time, client, server vfs.SetMask) vfs.SetMask {
	switch q.r.Uint32() {
	case 0: // DONT_CHANGE
		return 0
	case 1: // SET_TO_SERVER_TIME
		return server
	case 2: // SET_TO_CLIENT_TIME
		*t = q.time()
		return client
	default:
		q.r.Fail(errBadEnum)
		return 0
	}
}
