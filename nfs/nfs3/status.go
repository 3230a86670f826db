package nfs3

import "twofold/replica/vfs"

// status is nfsstat3 of RFC 1813 section 2.6.
type status uint32

// The values of nfsstat3 that this server gives.
const (
	statusOK          status = 0
	statusPerm        status = 1
	statusNoEnt       status = 2
	statusIO          status = 5
	statusNXIO        status = 6
	statusAcces       status = 13
	statusExist       status = 17
	statusXDev        status = 18
	statusNotDir      status = 20
	statusIsDir       status = 21
	statusInval       status = 22
	statusFBig        status = 27
	statusNoSpc       status = 28
	statusROFS        status = 30
	statusMLink       status = 31
	statusNameTooLong status = 63
	statusNotEmpty    status = 66
	statusDQuot       status = 69
	statusStale       status = 70
	statusBadHandle   status = 10001
	statusNotSync     status = 10002
	statusBadCookie   status = 10003
	statusNotSupp     status = 10004
	statusTooSmall    status = 10005
	statusServerFault status = 10006
	statusBadType     status = 10007
	statusJukebox     status = 10008
)

// kindStatus is the status of each verdict, indexed by it.
var kindStatus = [...]status{
	vfs.OK:           statusOK,
	vfs.Perm:         statusPerm,
	vfs.NotExist:     statusNoEnt,
	vfs.IO:           statusIO,
	vfs.NXIO:         statusNXIO,
	vfs.Access:       statusAcces,
	vfs.Exist:        statusExist,
	vfs.CrossDevice:  statusXDev,
	vfs.NotDir:       statusNotDir,
	vfs.IsDir:        statusIsDir,
	vfs.Invalid:      statusInval,
	vfs.TooBig:       statusFBig,
	vfs.NoSpace:      statusNoSpc,
	vfs.ReadOnly:     statusROFS,
	vfs.TooManyLinks: statusMLink,
	vfs.NameTooLong:  statusNameTooLong,
	vfs.NotEmpty:     statusNotEmpty,
	vfs.Quota:        statusDQuot,
	vfs.Stale:        statusStale,
	vfs.BadHandle:    statusBadHandle,
	vfs.NotSync:      statusNotSync,
	vfs.BadCookie:    statusBadCookie,
	vfs.NotSupported: statusNotSupp,
	vfs.TooSmall:     statusTooSmall,
	vfs.BadType:      statusBadType,
}

// statusOf returns the status of a verdict. One that this version does not know
// can only be the answer of a newer node: NFS3ERR_SERVERFAULT.
func statusOf(k vfs.Kind) status {
	if int(k) >= len(kindStatus) {
		return statusServerFault
	}
	return kindStatus[k]
}

// String is the name of the status in metrics and logs: that of RFC 1813
// without its prefix, in lower case.
func (s status) String() string {
	switch {
	case int(s) < len(lowNames) && lowNames[s] != "":
		return lowNames[s]
	case s >= statusBadHandle && int(s-statusBadHandle) < len(highNames):
		return highNames[s-statusBadHandle]
	default:
		return "unknown"
	}
}

// lowNames are the names of the values that are errno values, too.
var lowNames = [...]string{
	statusOK: "ok", statusPerm: "perm", statusNoEnt: "noent", statusIO: "io",
	statusNXIO: "nxio", statusAcces: "acces", statusExist: "exist", statusXDev: "xdev",
	statusNotDir: "notdir", statusIsDir: "isdir", statusInval: "inval",
	statusFBig: "fbig", statusNoSpc: "nospc", statusROFS: "rofs", statusMLink: "mlink",
	statusNameTooLong: "nametoolong", statusNotEmpty: "notempty",
	statusDQuot: "dquot", statusStale: "stale",
}

// highNames are the names of the values that NFS invented, from 10001 on.
var highNames = [...]string{
	"badhandle", "not_sync", "bad_cookie", "notsupp", "toosmall",
	"serverfault", "badtype", "jukebox",
}
