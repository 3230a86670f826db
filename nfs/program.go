package nfs

import (
	"errors"
	"fmt"

	"twofold/nfs/rpc"
)

// Numbers of the programs that the gateway serves.
const (
	ProgramNFS   uint32 = 100003
	ProgramMount uint32 = 100005
	VersionNFS   uint32 = 3
	VersionMount uint32 = 3
)

// maxPrograms bounds the table, which each call walks over.
const maxPrograms = 32

// Program is one version of one RPC program.
type Program struct {
	Number  uint32
	Version uint32
	Handler rpc.Handler
}

// table finds the handler of a call. It does not change once it is made.
type table []entry

type entry struct {
	Program
	sizer rpc.ReplySizer // nil if the handler has no such method
	quick rpc.Quick      // nil if the handler has no such method
}

func newTable(programs []Program) (table, error) {
	if len(programs) == 0 || len(programs) > maxPrograms {
		return nil, fmt.Errorf("nfs: %d programs, 1 to %d are allowed", len(programs), maxPrograms)
	}
	t := make(table, 0, len(programs))
	for _, p := range programs {
		if p.Handler == nil {
			return nil, errors.New("nfs: a program without a handler")
		}
		if t.find(p.Number, p.Version) != nil {
			return nil, fmt.Errorf("nfs: program %d version %d is there twice", p.Number, p.Version)
		}
		sizer, _ := p.Handler.(rpc.ReplySizer)
		quick, _ := p.Handler.(rpc.Quick)
		t = append(t, entry{Program: p, sizer: sizer, quick: quick})
	}
	return t, nil
}

// find returns nil if there is no such version of such a program.
func (t table) find(number, version uint32) *entry {
	for i := range t {
		if t[i].Number == number && t[i].Version == version {
			return &t[i]
		}
	}
	return nil
}

// versions returns the lowest and the highest version of a program, and whether
// there is any.
func (t table) versions(number uint32) (low, high uint32, ok bool) {
	for i := range t {
		if t[i].Number != number {
			continue
		}
		v := t[i].Version
		if !ok {
			low, high, ok = v, v, true
		}
		low, high = min(low, v), max(high, v)
	}
	return low, high, ok
}
