package raftlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// A stamp takes the place of the sender's address in the header of raft's
// messages, which is its name once more. Whoever receives the message puts the
// name back before raft sees it. See doc.go, Format.
const (
	stampVersion = 1
	stampBytes   = 24
)

// stamp is what the sender of a message says of promises.
type stamp struct {
	asks   bool          // the receiver is to promise (rule R1)
	length time.Duration // of a promise, in microseconds on the wire
	term   Term          // of a TimeoutNow, which has no other field for it
}

// header is that of a message of this node.
func (t *transport) header(asks bool, term Term) raft.RPCHeader {
	b := make([]byte, stampBytes)
	b[0] = stampVersion
	if asks {
		b[1] = 1
	}
	binary.BigEndian.PutUint64(b[8:], uint64(t.timing.Promise.Microseconds()))
	binary.BigEndian.PutUint64(b[16:], uint64(term))
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.name), Addr: b}
}

// readHeader reads a stamp and puts the sender's address back.
//
// The sender's promises must be as long as ours: a leader relies on promises of
// the length that it knows itself (Lemma 4 of docs/consistency.md).
func (t *transport) readHeader(h *raft.RPCHeader) (stamp, error) {
	b := h.Addr
	h.Addr = h.ID
	s, err := decodeStamp(b, string(h.ID), t.timing.Promise)
	if err != nil {
		t.noteStrange(string(h.ID), err)
	}
	return s, err
}

func decodeStamp(b []byte, from string, own time.Duration) (stamp, error) {
	if len(b) != stampBytes || b[0] != stampVersion || b[1] > 1 {
		return stamp{}, fmt.Errorf("raftlog: a message of %s has no promise length that this version knows: run the same version of this program on every member", from)
	}
	us := binary.BigEndian.Uint64(b[8:])
	if us != uint64(own.Microseconds()) {
		return stamp{}, fmt.Errorf("raftlog: the promise length of %s is %d µs, here it is %d µs: they must be equal. Stop all members, run the same version with the same timing on each, wait for the longer of the two, and start them again", from, us, own.Microseconds())
	}
	return stamp{asks: b[1] == 1, length: own, term: Term(binary.BigEndian.Uint64(b[16:]))}, nil
}
