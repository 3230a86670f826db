package rafttest

import "twofold/raftlog"

// Message is a kind of message of hashicorp/raft, by the byte that it begins with
// in its NetworkTransport (net_transport.go).
type Message uint8

// The kinds.
const (
	AppendEntries   Message = 0
	RequestVote     Message = 1
	InstallSnapshot Message = 2
	TimeoutNow      Message = 3
	RequestPreVote  Message = 4
)

// message is a kind of message, or of answers to it, in one direction.
type message struct {
	from, to string
	kind     Message
	answer   bool
}

// HoldMessages keeps one kind of raft's messages from one member to another until
// ReleaseMessages. Others pass. raft has one message out on a stream at a time, so
// that nothing else waits behind it.
func (n *Network) HoldMessages(from, to string, kinds ...Message) {
	n.holdMessages(from, to, false, true, kinds)
}

// ReleaseMessages ends HoldMessages.
func (n *Network) ReleaseMessages(from, to string, kinds ...Message) {
	n.holdMessages(from, to, false, false, kinds)
}

// HoldAnswers keeps the answers that one member gives another to one kind of
// raft's messages until ReleaseAnswers.
func (n *Network) HoldAnswers(from, to string, kinds ...Message) {
	n.holdMessages(from, to, true, true, kinds)
}

// ReleaseAnswers ends HoldAnswers.
func (n *Network) ReleaseAnswers(from, to string, kinds ...Message) {
	n.holdMessages(from, to, true, false, kinds)
}

func (n *Network) holdMessages(from, to string, answer, hold bool, kinds []Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range kinds {
		m := message{from, to, k, answer}
		if hold {
			n.mu.held[m] = true
		} else {
			delete(n.mu.held, m)
		}
	}
	n.broadcastLocked()
}

// holds tells whether bytes of a message are held, and returns a channel that is
// closed when that may have changed.
func (n *Network) holds(r route, kind Message, answer bool) (bool, <-chan struct{}) {
	if r.kind != raftlog.StreamRaft {
		return false, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.held[message{r.from, r.to, kind, answer}], n.mu.changed
}

// exchange follows the messages on one stream: which kind is out.
type exchange struct {
	asked bool // the last bytes were of a message, not of an answer
	kind  Message
}

// note is told of bytes that are written to a stream, and returns what they belong
// to.
func (n *Network) note(p *pipe, b []byte) (kind Message, answer bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return p.exchange.note(p.dialer, b)
}

// note is told of bytes that are written, and returns what they belong to.
func (x *exchange) note(dialer bool, b []byte) (kind Message, answer bool) {
	if dialer && !x.asked && len(b) > 0 {
		x.kind = Message(b[0])
	}
	x.asked = dialer
	return x.kind, !dialer
}
