package mount

import (
	"fmt"
	pathpkg "path"

	"twofold/nfs/gonfs"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// maxReply bounds the results of DUMP and EXPORT, in bytes. The export table's
// own limits keep EXPORT within it.
const maxReply = 768 << 10

// tail is the room for the entry that tells of a cut, and the list's end.
const tail = 128

var _ rpc.ReplySizer = (*Program)(nil)

// ReplySize is rpc.ReplySizer's. DUMP's list is not known yet when it is asked,
// so that DUMP is expected to be as long as it may be.
func (p *Program) ReplySize(call *rpc.Call) int {
	switch call.Proc {
	case procDump, procExport:
		return maxReply
	default:
		return 0
	}
}

// opaqueLen is the length of a string in XDR.
func opaqueLen(s string) int { return 4 + (len(s)+3)&^3 }

// appendMounts appends mountlist. What does not fit is not left out silently:
// the last entry says how many are missing.
func appendMounts(w *xdr.Writer, mounts []vfs.Mount) {
	size := tail
	for i, m := range mounts {
		size += 4 + opaqueLen(m.Host) + opaqueLen(m.Path)
		if size > maxReply {
			appendMount(w, vfs.Mount{Host: "...", Path: fmt.Sprintf("(%d more mounts do not fit)", len(mounts)-i)})
			break
		}
		appendMount(w, m)
	}
	w.Bool(false)
}

func appendMount(w *xdr.Writer, m vfs.Mount) {
	w.Bool(true)
	w.String(m.Host)
	w.String(m.Path)
}

// entry is a mount as the list has it. UMNT must find what MNT added.
func entry(call *rpc.Call, path string) vfs.Mount {
	return vfs.Mount{Host: host(call), Path: pathpkg.Clean("/" + path)}
}

// host names the client of a call in the list of mounts.
func host(call *rpc.Call) string { return call.Client.Addr().Unmap().WithZone("").String() }

// dirpath decodes the argument of MNT and UMNT.
func dirpath(call *rpc.Call) (string, error) {
	r := xdr.NewReader(call.Args)
	path := r.String(gonfs.MaxPath)
	if r.Err() != nil {
		return "", rpc.ErrGarbageArgs
	}
	return path, nil
}
