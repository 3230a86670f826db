package raftlog

import (
	"context"
	"errors"
	"net"
)

// Index is a position in the log. The first entry has index 1.
type Index uint64

// Term is a Raft term.
type Term uint64

// Role says what a member keeps.
type Role string

// The two roles.
const (
	RoleData    Role = "data"    // log and state; serves clients
	RoleWitness Role = "witness" // log only; votes, and leads only to hand over
)

// Member is one voter of the cluster. Its name is its Raft server id and its
// Raft address too: addresses are the business of the [Net].
type Member struct {
	Name string
	Role Role
}

// StreamKind tells apart what the one listener of a node carries.
type StreamKind uint8

// The kinds of stream between nodes. The numbers go over the wire.
const (
	StreamRaft    StreamKind = 1 // hashicorp/raft's own messages
	StreamControl StreamKind = 2 // pings of this package: term, indexes
	StreamPeer    StreamKind = 3 // opaque to this package: the application's
	StreamCatchUp StreamKind = 4 // the same: states on their way
)

// Net connects a node with the other members by name. Both ends of a stream
// have been authenticated as members of this cluster before it is handed out.
type Net interface {
	// Dial opens a stream to a member.
	Dial(ctx context.Context, member string, kind StreamKind) (net.Conn, error)
	// Listener returns the streams of one kind that others open. A conn's
	// RemoteAddr has the member's name as its String.
	Listener(kind StreamKind) net.Listener
}

// Entry is one committed entry of the log. Data is nil for an entry that
// belongs to this package; it only moves the applied index on.
type Entry struct {
	Index Index
	Term  Term
	Data  []byte
}

// StateMachine is what the log drives on a data node.
//
// A reader that holds a lease (Node.Lease) has to wait for what is in its log and
// not applied yet. So the state machine is told what the log holds: Recovered,
// Appended and Truncated are called in the order in which the log changes, must
// not block and must not call into the Node.
type StateMachine interface {
	// Recovered is called once, before all else: entries up to last were in the
	// log when it was opened. Some of them may never be committed.
	Recovered(last Index)
	// Appended is called when entries are on this node's disk, before anybody
	// is told that they are. Data is empty, but not nil, for an entry that this
	// version cannot read: it may alter anything.
	Appended(entries []Entry)
	// Truncated is called when the entries from an index on are deleted: another
	// leader has others in their place, or none.
	Truncated(from Index)
	// Commit hands over committed entries in log order, each once per start of
	// the process, beginning after Durable. It is called from one goroutine
	// and may block for back-pressure. It must not call into the Node.
	Commit(entries []Entry)
	// Applied returns the index up to which entries are applied.
	Applied() Index
	// Durable returns the index up to which the effects survive a crash, and
	// the term of that entry.
	Durable() (Index, Term)
	// Flush applies everything that was handed over before the call, makes it
	// durable, and returns. It may take seconds.
	Flush() error
}

// Errors of Propose and ReadIndex.
var (
	// ErrNotLeader is returned when this node does not lead, or does not yet:
	// the entry was not appended and never will be.
	ErrNotLeader = errors.New("raftlog: not the leader")
	// ErrUnknownOutcome is returned when the entry may or may not be, or
	// become, committed.
	ErrUnknownOutcome = errors.New("raftlog: outcome not known")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("raftlog: closed")
	// ErrTooBig is returned for a proposal above MaxEntryBytes; it was not
	// appended.
	ErrTooBig = errors.New("raftlog: proposal too big")
	// ErrCorrupt is the integrity error: what was found on disk or in the log
	// cannot be. The node must not go on.
	ErrCorrupt = errors.New("raftlog: integrity")
)

// State is what a node knows about leadership at one moment.
type State struct {
	Term     Term
	Leader   string // member name; empty if unknown
	IsLeader bool   // this node leads Term
	Ready    bool   // it leads, and its term's barrier has been applied
	InSync   string // the member that may hold a lease of this leader; empty for none
}
