package nfs3

import (
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Numbers of the procedures whose replies are as long as the client asks for.
const (
	procRead        = 6
	procReaddir     = 16
	procReaddirplus = 17
)

// largestEntry is the most that one entry of a directory takes. A listing puts
// one entry too many into the reply before it knows that it does not fit.
const largestEntry = entrySize + (vfs.MaxName+3)&^3 + plusSize

var _ rpc.ReplySizer = (*Program)(nil)

// ReplySize is rpc.ReplySizer's: the bytes of results that a call may have, by
// the count among its arguments. It is never too small for what the procedure
// writes, so that the buffer which the server counts against its limits is the
// one that is used. Replies of other procedures are small. Of arguments that do
// not decode nothing is expected but an error.
func (p *Program) ReplySize(call *rpc.Call) int {
	r := xdr.NewReader(call.Args)
	switch call.Proc {
	case procRead:
		r.Opaque(maxHandle)
		r.Uint64() // offset
		count := min(r.Uint32(), maxIO)
		if r.Err() != nil {
			return 0
		}
		return readHead + (int(count)+3)&^3
	case procReaddir, procReaddirplus:
		r.Opaque(maxHandle)
		r.Fixed(8 + 8) // cookie and its verifier
		if call.Proc == procReaddirplus {
			r.Uint32() // dircount
		}
		count := min(r.Uint32(), maxIO)
		if r.Err() != nil {
			return 0
		}
		return 4 + max(int(count), dirHead+dirTail) + largestEntry
	default:
		return 0
	}
}
