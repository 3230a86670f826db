package raftlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// A stamp travels in a field that hashicorp/raft keeps for its own versions
// before 1.4 and reads only if the header has no address: in Leader of an
// AppendEntries, in Candidate of a RequestVote. See doc.go, Format.
const (
	stampVersion byte = 1
	stampBytes        = 16
)

// stamp is what the sender says of promises.
type stamp struct {
	asks   bool          // the receiver is to promise (rule R1)
	length time.Duration // of a promise, in microseconds on the wire
}

func (s stamp) encode() []byte {
	b := make([]byte, stampBytes)
	b[0] = stampVersion
	if s.asks {
		b[1] = 1
	}
	binary.BigEndian.PutUint64(b[8:], uint64(s.length.Microseconds()))
	return b
}

// checkStamp holds the sender's promise to be as long as ours: a leader relies on
// promises of the length that it knows itself (Lemma 1 of docs/consistency.md).
func checkStamp(b []byte, from string, own time.Duration) (stamp, error) {
	if len(b) != stampBytes || b[0] != stampVersion || b[1] > 1 {
		return stamp{}, fmt.Errorf("raftlog: a message of %s has no promise length that this version knows: run the same version of this program on every member", from)
	}
	us := binary.BigEndian.Uint64(b[8:])
	if us != uint64(own.Microseconds()) {
		return stamp{}, fmt.Errorf("raftlog: the promise length of %s is %d µs, here it is %d µs: they must be equal. Stop all members, run the same version with the same timing on each, wait for the longer of the two, and start them again", from, us, own.Microseconds())
	}
	return stamp{asks: b[1] == 1, length: own}, nil
}

// stampTerm has a TimeoutNow bear the term that it is of: hashicorp/raft's has
// none. raft does not read the address of this message.
func stampTerm(req *raft.TimeoutNowRequest, t Term) *raft.TimeoutNowRequest {
	r := *req
	r.Addr = binary.BigEndian.AppendUint64(nil, uint64(t))
	return &r
}

// stampedTerm returns the term that a TimeoutNow bears.
func stampedTerm(req *raft.TimeoutNowRequest) (Term, bool) {
	if len(req.Addr) != 8 {
		return 0, false
	}
	return Term(binary.BigEndian.Uint64(req.Addr)), true
}
