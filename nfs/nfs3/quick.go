package nfs3

import (
	"encoding/binary"

	"twofold/nfs/rpc"
)

// Numbers of the procedures that are quick.
const (
	procNull     = 0
	procGetattr  = 1
	procLookup   = 3
	procAccess   = 4
	procReadlink = 5
	procFsinfo   = 19
	procPathconf = 20
)

// quickRead is the most bytes of a READ that is quick.
const quickRead = 8 << 10

var _ rpc.Quick = (*Program)(nil)

// Quick is rpc.Quick's: calls that are mostly answered from memory. None is where
// groups have to be found, which may ask a directory service.
func (p *Program) Quick(call *rpc.Call) bool {
	if p.groups != nil {
		return false
	}
	switch call.Proc {
	case procNull, procGetattr, procLookup, procAccess, procReadlink, procFsinfo, procPathconf:
		return true
	case procRead:
		n := len(call.Args) // its last word is the count
		return n >= 4 && binary.BigEndian.Uint32(call.Args[n-4:]) <= quickRead
	default:
		return false
	}
}
