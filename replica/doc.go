// Package replica is the replicated volume: it implements [vfs.FS] on every
// data node over one shared log.
//
// # Purpose
//
// [Store] routes changes to the leader, gathers them into log entries, applies
// what the log delivers to the node's own copy (package state), and makes reads
// linearizable at both data nodes, without a message while they hold a lease.
//
// # Contract
//
// A change is answered by its result only, after this node or the leader has
// applied it.
//
// # Reads
//
// docs/consistency.md has the argument. A log entry names the keys that it may
// alter (keys.go): inodes, and names in directories. The log tells the Store of each
// entry before anybody learns that this node holds it, and the Store notes its keys
// (touched.go). A read (reading.go) then goes, in this order:
//
//  1. after the call arrived this node's lease is valid, and i is the last entry of
//     its log that may alter anything;
//  2. each entry up to i that touches what the read depends on is applied, and
//     later ones are not waited for;
//  3. one snapshot is read;
//  4. if it names an inode that the read did not know before (LOOKUP), an entry up
//     to i that touches that inode and is not in the snapshot sends the read back to
//     the wait. So does the verdict Stale while i is not applied, since an inode that
//     an entry makes is not among its keys.
//
// If the log is cut, or the lead changes, while the read waits, it begins anew.
// READDIRPLUS, FSSTAT and the tables depend on everything.
//
// A leader without a lease has a quorum confirm its lead, and i is the commit index
// that the log gives it. A follower without one asks the leader to do the read
// (readserve.go): one hop, and never a third node. So a node that is behind serves
// files meanwhile; of the tables it reads its own copy, once that is current.
//
// # Keys
//
// A change that has a directory and a name touches the inode of that name too. The
// leader looks it up when it builds the entry (resolve.go), which is right only
// if no entry of its log that is not applied, and no earlier change of the batch,
// touches that name. Such a change ends the batch and waits.
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
// # Integrity
//
// The nodes compare their running digests through the log (rule M5, integrity.go):
// the leader's markers have each node note its own, the next marker bears the
// leader's, and the follower says in the log whether it noted the same. A difference
// is settled by scans of both copies, then by the log applied once more to a copy
// that both had agreed on (dispute.go, replay.go). A copy that is damaged, or that
// the follower cannot decide about, is in quarantine (quarantine.go): nothing is
// applied to it or read from it, its node forwards, votes, keeps the log and leads
// only to hand over (rule W6). Meanwhile its node goes by the leader's tables
// (face.go). A copy is replaced only if it is known to be damaged: the other data node
// is asked to bring its own, and this node's log continues that (refetch.go).
//
// # Concurrency
//
// Goroutines of a Store, from Open (apply, watch) and Start (the others) until Stop and Close:
//
//	apply      the only one that changes the state; takes committed entries in order
//	watch      ends the Store when its state can no longer be written to disk
//	propose    builds one log entry at a time from the queue and waits for it
//	lead       begins each term of this node with an entry, and formats the volume once
//	hurry      asks the leader to say what is committed, while a read waits for it
//	disk       looks at the free space and reports it
//	space      one for each other data node: tells it the free space, and hears its
//	transfers  takes connections of nodes that bring a state, with one goroutine for each
//	catch-up   reports transfers, and drops what is staged and not needed
//	integrity  has the digests of the copies compared, and does what their steps ask for
//	quarantine while this copy is out of use: returns the lease, hands the lead over, asks for another copy
//	give       brings this node's state to one that asked for it
//	scan       a scan, a copy for comparisons or a replay, when there is one
//	peer       see package peer: forwarded calls and reads and free space, both ways
//
// The log calls Recovered, Appended and Truncated from its own goroutines.
//
// Locks: waitTable.mu, appliedIndex.mu, touched.mu and diskWatch.mu are leaves;
// nothing is called under them that blocks. State has its own lock (package state).
//
// # Format
//
// A log entry of this package is
//
//	version u8 (1) | term u64 | number of keys u32 | keys u64 each | command batch (package command)
//
// in big-endian order, where term is the proposer's, as said above. The keys are
// sorted, each there once, 1,536 at most. The number 0xffffffff stands for all keys.
// The key of an inode is its number; that of a name is XXH64, seed 0, of the
// directory's number and the name, with the highest bit set. Key 0 is of the list
// of mounts.
package replica
