// Package replica is the replicated volume: it implements [vfs.FS] on every
// data node over one shared log.
//
// # Purpose
//
// [Store] routes changes to the leader, gathers them into log entries, applies
// what is committed to the node's own copy (package state), and makes reads
// linearizable at both data nodes.
//
// # Contract
//
// A change is answered by its result only, after this node or the leader has
// applied it. A read is answered after a read barrier: a quorum has confirmed,
// by answers to messages that were sent after the read began, that the leader
// is still the leader, and the node has applied everything that was committed
// by then. A follower's own request is one of those messages: it carries the
// follower's current term, observed after the read began.
//
// # The fate of a change
//
// A change is handed over under the term of the leader that takes it, and the
// log entry that carries it names this term. An entry whose own term differs
// is applied without effect (entry.go). Hence, once a node has applied an entry of a later
// term and has not seen the change, the change did not happen and never will
// under its old term: it is handed over again. Each leader begins its term with an
// entry, so that this is known as soon as a new leader is there. What cannot be
// decided within the bound ends as [vfs.ErrUnknownOutcome], never as a verdict.
//
// # Concurrency
//
// Goroutines of a Store, from Open (apply, watch) and Start (the others) until Stop and Close:
//
//	apply      the only one that changes the state; takes committed entries in order
//	watch      ends the Store when its state can no longer be written to disk
//	propose    builds one log entry at a time from the queue and waits for it
//	lead       begins each term of this node with an entry, and formats the volume once
//	barrier    one at a time, while reads wait: one round for all of them
//	disk       looks at the free space and reports it
//	space      one for each other data node: tells it the free space, and hears its
//	peer       see package peer: forwarded calls, read indexes and free space, both ways
//
// Locks: waitTable.mu, appliedIndex.mu and diskWatch.mu are leaves; nothing is
// called under them that blocks. State has its own lock (package state).
//
// # Format
//
// A log entry of this package is
//
//	term u64 | command batch (package command)
//
// where term is the proposer's, as said above.
package replica
