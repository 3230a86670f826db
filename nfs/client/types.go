package client

import (
	"fmt"
	"time"

	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Limits of what a reply may carry.
const (
	maxFH      = 64  // bytes of a file handle (RFC 1813 section 2.4)
	maxName    = 255 // bytes of a name that this client expects
	maxPath    = 4096
	maxData    = 1 << 20 // bytes of one READ
	maxEntries = 1 << 17 // entries of one READDIR, one MOUNT list
)

// FH is a file handle.
type FH []byte

// Time is nfstime3.
type Time struct{ Sec, Nsec uint32 }

// Time converts to time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(int64(t.Sec), int64(t.Nsec)).UTC() }

// Attr is fattr3.
type Attr struct {
	Type   vfs.FileType
	Mode   uint32
	Nlink  uint32
	UID    uint32
	GID    uint32
	Size   uint64
	Used   uint64
	Rdev   vfs.Device
	FSID   uint64
	FileID uint64
	Atime  Time
	Mtime  Time
	Ctime  Time
}

// PreAttr is wcc_attr.
type PreAttr struct {
	Size  uint64
	Mtime Time
	Ctime Time
}

// WCC is wcc_data: nil where the server sent nothing.
type WCC struct {
	Before *PreAttr
	After  *Attr
}

// SetTime is how a time is to be set (time_how).
type SetTime uint32

// The values of SetTime.
const (
	KeepTime   SetTime = 0
	ServerTime SetTime = 1
	ClientTime SetTime = 2
)

// SetAttr is sattr3: nil and KeepTime leave an attribute alone.
type SetAttr struct {
	Mode     *uint32
	UID      *uint32
	GID      *uint32
	Size     *uint64
	SetAtime SetTime
	Atime    Time
	SetMtime SetTime
	Mtime    Time
}

// Ptr returns a pointer to v, for the fields of SetAttr.
func Ptr[T any](v T) *T { return &v }

// Status is nfsstat3.
type Status uint32

// The values of nfsstat3 (RFC 1813 section 2.6).
const (
	OK             Status = 0
	ErrPerm        Status = 1
	ErrNoEnt       Status = 2
	ErrIO          Status = 5
	ErrNXIO        Status = 6
	ErrAcces       Status = 13
	ErrExist       Status = 17
	ErrXDev        Status = 18
	ErrNoDev       Status = 19
	ErrNotDir      Status = 20
	ErrIsDir       Status = 21
	ErrInval       Status = 22
	ErrFBig        Status = 27
	ErrNoSpc       Status = 28
	ErrROFS        Status = 30
	ErrMLink       Status = 31
	ErrNameTooLong Status = 63
	ErrNotEmpty    Status = 66
	ErrDQuot       Status = 69
	ErrStale       Status = 70
	ErrRemote      Status = 71
	ErrBadHandle   Status = 10001
	ErrNotSync     Status = 10002
	ErrBadCookie   Status = 10003
	ErrNotSupp     Status = 10004
	ErrTooSmall    Status = 10005
	ErrServerFault Status = 10006
	ErrBadType     Status = 10007
	ErrJukebox     Status = 10008
)

var statusNames = map[Status]string{
	OK: "NFS3_OK", ErrPerm: "NFS3ERR_PERM", ErrNoEnt: "NFS3ERR_NOENT", ErrIO: "NFS3ERR_IO",
	ErrNXIO: "NFS3ERR_NXIO", ErrAcces: "NFS3ERR_ACCES", ErrExist: "NFS3ERR_EXIST",
	ErrXDev: "NFS3ERR_XDEV", ErrNoDev: "NFS3ERR_NODEV", ErrNotDir: "NFS3ERR_NOTDIR",
	ErrIsDir: "NFS3ERR_ISDIR", ErrInval: "NFS3ERR_INVAL", ErrFBig: "NFS3ERR_FBIG",
	ErrNoSpc: "NFS3ERR_NOSPC", ErrROFS: "NFS3ERR_ROFS", ErrMLink: "NFS3ERR_MLINK",
	ErrNameTooLong: "NFS3ERR_NAMETOOLONG", ErrNotEmpty: "NFS3ERR_NOTEMPTY",
	ErrDQuot: "NFS3ERR_DQUOT", ErrStale: "NFS3ERR_STALE", ErrRemote: "NFS3ERR_REMOTE",
	ErrBadHandle: "NFS3ERR_BADHANDLE", ErrNotSync: "NFS3ERR_NOT_SYNC",
	ErrBadCookie: "NFS3ERR_BAD_COOKIE", ErrNotSupp: "NFS3ERR_NOTSUPP",
	ErrTooSmall: "NFS3ERR_TOOSMALL", ErrServerFault: "NFS3ERR_SERVERFAULT",
	ErrBadType: "NFS3ERR_BADTYPE", ErrJukebox: "NFS3ERR_JUKEBOX",
}

// String returns the RFC's name.
func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("nfsstat3 %d", uint32(s))
}

// Error makes a Status other than OK an error.
func (s Status) Error() string { return s.String() }

// Err returns nil for OK, else s.
func (s Status) Err() error {
	if s == OK {
		return nil
	}
	return s
}

func putTime(w *xdr.Writer, t Time) {
	w.Uint32(t.Sec)
	w.Uint32(t.Nsec)
}

func getTime(r *xdr.Reader) Time { return Time{Sec: r.Uint32(), Nsec: r.Uint32()} }

func getAttr(r *xdr.Reader) Attr {
	return Attr{
		Type: vfs.FileType(r.Uint32()), Mode: r.Uint32(), Nlink: r.Uint32(), UID: r.Uint32(), GID: r.Uint32(),
		Size: r.Uint64(), Used: r.Uint64(), Rdev: vfs.Device{Major: r.Uint32(), Minor: r.Uint32()},
		FSID: r.Uint64(), FileID: r.Uint64(),
		Atime: getTime(r), Mtime: getTime(r), Ctime: getTime(r),
	}
}

// getPostAttr reads post_op_attr.
func getPostAttr(r *xdr.Reader) *Attr {
	if !r.Bool() {
		return nil
	}
	a := getAttr(r)
	return &a
}

// getWCC reads wcc_data.
func getWCC(r *xdr.Reader) (w WCC) {
	if r.Bool() {
		w.Before = &PreAttr{Size: r.Uint64(), Mtime: getTime(r), Ctime: getTime(r)}
	}
	w.After = getPostAttr(r)
	return w
}

// getPostFH reads post_op_fh3.
func getPostFH(r *xdr.Reader) FH {
	if !r.Bool() {
		return nil
	}
	return r.Opaque(maxFH)
}

// putSetAttr writes sattr3.
func putSetAttr(w *xdr.Writer, s *SetAttr) {
	for _, p := range []*uint32{s.Mode, s.UID, s.GID} {
		w.Bool(p != nil)
		if p != nil {
			w.Uint32(*p)
		}
	}
	w.Bool(s.Size != nil)
	if s.Size != nil {
		w.Uint64(*s.Size)
	}
	w.Uint32(uint32(s.SetAtime))
	if s.SetAtime == ClientTime {
		putTime(w, s.Atime)
	}
	w.Uint32(uint32(s.SetMtime))
	if s.SetMtime == ClientTime {
		putTime(w, s.Mtime)
	}
}
