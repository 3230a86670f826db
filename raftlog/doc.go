// Package raftlog keeps one replicated log among a few members, some of which
// also run a state machine on it.
//
// # Purpose
//
// It is hashicorp/raft behind a small [Node], with what that library leaves to
// its users put right: linearizable reads that need no clock, a vote that is one
// record, compaction that never outruns a member, proposals whose outcome is
// told honestly, and a witness. The log carries opaque bytes; nothing here
// knows of files.
//
// # Contract
//
// Propose succeeds once its entry is on the disks of a quorum and in the queue for
// the local state machine, which gets it when it is visible. ErrNotLeader means that it was not appended and never
// will be; ErrUnknownOutcome that it may or may not be, now or later.
//
// ReadIndex returns an index such that a state machine that has applied it shows
// everything that was acknowledged before the call.
//
// A data node runs a [StateMachine]. It is given each committed entry once per
// start of the process, in order, from the entry after its durable index on.
//
// A witness is a voter that keeps the log and no state. It is never Ready and
// proposes nothing. When it wins an election, which it does only if the newest
// entries are nowhere else or if nobody else campaigns, it brings a data node's
// log up to date and hands over to it.
//
// A message counts as its stream's: what it does (a promise, a vote, a state) it
// does for whom it names, so that one that names another than the peer that the Net
// gives the stream ends the stream, is logged and counted. Control messages name no
// sender. Who that peer is, the Net has to prove.
//
// Whatever reports on [Node.Fatal] ends the node's part in the cluster: a write
// to the log that failed, or an integrity error. The process has to end.
//
// # Why a read index is right
//
// Let a read begin at instant r, and let L lead term T, ready, which means that
// the barrier of T, and so everything committed before T, is delivered. L takes
// its commit index i after r, then learns from a quorum, itself included, that
// each of its members had T as its current term at some instant after r: another
// member says so in an answer to a ping that was sent after r, for which it read
// its term after the ping had arrived; L looks at its own term last.
//
// Claim: at r no leader of a term above T had been elected. A leader of T' > T
// has the votes of a quorum, and two quorums share a member M. M raises its
// current term to T' at least, on disk and then in memory, before its vote for
// T' leaves it: requestVote calls setCurrentTerm before it responds, and a
// candidate calls it in electSelf before it asks anyone or counts itself. The
// term never falls, across restarts neither: NewRaft loads it before anything is
// answered. So M, having voted before r, could not have had the term T after r.
//
// Hence every entry acknowledged before r was committed by leaders of terms up to
// T: by L, whose commit index, taken after r, covers it, or before T, which the
// barrier covers. Pre-votes do not enter into it: granting one raises no term,
// but nobody leads by pre-votes. Nor does it matter what "leader" L believes
// itself to be, or for how long it was stopped between any two steps.
//
// hashicorp/raft's VerifyLeader proves less: it may count answers to messages
// that were sent before the call.
//
// Calls share rounds: while one is out, later ones gather for the next. The index
// is mapped down over no-ops and barriers, which no state machine is ever given.
//
// # Promises and leases
//
// Lease says whether this node may read its own copy without a message. The rules
// and the argument are in docs/consistency.md; the lines that keep a lemma name
// it. What is where:
//
//	promise.go            what a voter has promised (R1, R2, R6); pure
//	transport_append.go   promises noted before raft sees a message, answers counted
//	transport_vote.go     votes held back, campaigns held back, TimeoutNow
//	stamp.go              what messages say of promises
//	lease.go              rounds and the leader lease (R3)
//	renew.go              requests for a read lease, and giving it up (R4)
//	grant.go              granting, and what is visible (R5, R7)
//	delivery.go           the queue in which entries wait to be visible
//	handover.go           transfer of the lead (R6)
//	held.go               Lease
//
// A leader commits by any quorum, but its state machine, which its callers wait
// for, gets an entry only when each node that this process granted a lease has
// acknowledged it or has none left. A follower that is late for a third of a
// promise is granted no more; it costs the leader's callers a third and one
// promise at most, once.
//
// # Members
//
// Who the members are is Raft's configuration, from the moment that it is appended.
// A founder is there by its name; who was added later, by a record in the place of
// its address: role, identity, address and the identity of the member that it
// replaces. The last three are the application's. One change at a time is made, each
// when the one before is committed. A quorum for a read or a lease is one of the
// newest and of the committed configuration, each. A member without a vote gets the
// log, counts for nothing, is granted no lease and is handed no lead. Links and
// nudgers begin and end with the members that they lead to.
//
// Recover makes a stopped node the only member, by an entry at the end of its log.
//
// # The lazy witness
//
// While the other data node holds a lease and acknowledges in time, the leader holds
// entries for the witness back for up to Timing.WitnessHold, and sends it many at
// once (lazy.go): two data nodes commit and show an entry without it, and it syncs
// once for many. An entry that the other data node does not acknowledge goes to the
// witness after 10 to 20 ms, and all do at once when the lease is gone, during a
// transfer, and when many wait. Heartbeats, which promises rest on, are never held.
// A data node that is behind gets as many at once, without any wait.
//
// # Compaction
//
// Every data node puts down a marker (index, term, configuration) after its state
// was flushed; it is what raft takes for a snapshot and where delivery begins
// after a restart, but for entries that the state machine then reports as durable
// already. The leader learns by pings how far the members are and puts it into the
// log now and then: the watermark, for all members and for the data nodes alone. A
// data node cuts its log below its own marker, never further (rule M2), and keeps
// what a member lacks, or KeepLogBytes if that is more; a witness keeps what a data
// node lacks (W1). Both let go of it beyond MaxLogBytes, a data node whose disk is
// short of space (Tight) beyond a sixteenth of that: it has a state to give. See Status.Protection for
// what that means (W2).
//
// # Catching up without the log
//
// A follower that no log leads on for is given a state, by the StateMachine
// (CatchUp), and then a marker without contents, which is what becomes of raft's
// InstallSnapshot: see bring.go for the leader's side, install.go for the
// follower's, pin.go for what the leader keeps meanwhile. A witness sends no state
// and takes the marker alone (W5). What is not ahead of everything that a node has
// is refused (M4).
//
// raft remembers a marker by the index it asked for, which may be that of a
// barrier, above what the state machine can have reached. That is harmless: raft
// uses it only as the index and term of an entry, which the log still has.
//
// # A disk that hangs
//
// A write to the log, the vote or the marker that takes longer than DiskTimeout,
// or a state machine that does not get on for ApplyTimeout or with its flush for
// FlushTimeout, stalls the node (rule R13). So does a read of the state that the
// application tells of and that takes longer than ReadTimeout. While the log is not written, its disk is
// probed: a block is written to a file beside the log every ProbeInterval, which is
// four flushes a second of an idle node and none of a busy one. What hangs is assumed never to return, so
// nothing waits for it: raft's main goroutine may be in it, and cannot step down.
// What counts is silence. The transport sends no AppendEntries, no vote request
// and takes no TimeoutNow; the others elect a leader as they would for a dead one.
// The node is not ready until its disk answers, and for two HeartbeatTimeouts
// more, so that a disk that takes a second for each write does not lead between
// them. If no other data node answers, or that one is stalled too, it is silent only
// after three deadlines: a slow leader is better than none, but one that hangs must
// not keep the witness's promise from a data node that it cannot see. Close gives
// up with ErrStalled.
//
// # Elections
//
// A data node campaigns one HeartbeatTimeout after it last heard of its leader: a
// watchdog fires raft's timer, which by itself waits for up to two. By then the
// promises to that leader have run out. raft's voters refuse to vote while they
// remember a leader, so that the witness has a shorter timeout, and its own
// pre-votes wait in its transport (see gate). A candidate asks again who said no,
// as long as it is one: raft would wait for an election timeout. Pre-vote is on.
//
// # Concurrency
//
//	goroutine              started by   ends                owns
//	observer               Open         Close               the watched State
//	keeper                 Open         Close               watermarks, markers, compaction
//	follow                 Open         Close               links, as the members change
//	change, one at a time  AddMember... outcome             the change of the members
//	pinger                 Open         Close               pings to the other members, metrics
//	stallWatch             Open         end of Close        the verdict on this node's disk
//	prober                 Open         Close, disk answers the probe of the log's disk
//	pacer                  Open         Close               heartbeats between raft's, requests for leases
//	heartbeat, per member  pacer        answer              one message in flight
//	delivery.run           Open         Close, after raft   the calls of StateMachine.Commit
//	vote, per request      a message    raft's answer       that answer
//	link.run, per member   Open         Close               the control stream to it, its pending pings
//	control accept, serve  Open         Close, stream end   one incoming control stream each
//	transport accept       Open         Close               incoming Raft streams
//	transport serve        a stream     its end, Close      one incoming Raft stream each, its raft.NetworkTransport
//	transport receive      Open         Close               incoming Raft messages, one after the other
//	lead                   observer     done, term lost     barrier, or hand-over
//	rounds.run             ReadIndex    nobody waits        one round at a time
//	propose, per proposal  Propose      outcome             its Proposal
//	the log's writer       a proposal   nothing to write    writes to the log of a leader
//	nudger, per member     Nudge        nothing to tell     one message in flight
//	transfer               transfer     outcome             one transfer
//	whileLeading           sendState    its end, lead lost  that call's context
//
// and those of hashicorp/raft. Open's and the others' are counted in Node.tasks;
// Close waits for them. Locks: Node.tasks is taken first, then any one of
// rounds.mu, watch.mu, link.mu, nudger.mu, transport.mu, delivery.mu, markers.mu,
// stalls.mu, each for itself; under them leases.mu, and under it promises.mu and membership.mu. rounds.mu and
// nudger.mu are held while Node.tasks is taken. No lock is
// held across disk access, but for markers.write, which keeps the making of markers
// apart, and delivery.commit, which is held across StateMachine.Commit; link.mu is held across the write of a ping, which is
// too small to block.
//
// StateMachine.Commit is called from the delivery goroutine, Flush from its
// snapshot goroutine, Applied and Durable from any.
//
// # Format
//
// Log: the first byte of a command entry's data is its kind. 1: the rest is the
// application's. 2: a watermark, two indexes of 8 bytes big-endian: all members, data
// nodes. Any other: written by a newer
// version; delivery stops there and the node fails.
//
// Directory: see package logstore; and "marker", one line of JSON and one with
// its CRC-32C, replaced by a rename. Version 2 may name an installed state's index
// and a pending marker (install.go).
//
// Control streams: a ping is 56 bytes and a name: version 2, type (1 asks how the
// member is, 3 gives a lease back, 4 lets the named member off the promise to the
// sender), flags (1 asks for a lease), length of the name (0 but in type 4), 4 zero
// bytes, and, 8 bytes big-endian each: sequence number, the sender's term, length
// of its promises in microseconds, a random number of its process, its clock in
// nanoseconds, its applied index. A pong is 96 bytes: version 2, type 2, role (0
// data, 1 witness), flags (1 leader, 2 ready, 4 its disk does not answer, 8 cannot take the lead), 4 zero
// bytes, and, 8 bytes big-endian each: sequence number, term, last index, commit
// index, delivered index, applied index, durable index, log bytes, length of its
// promises in microseconds, length of the lease granted in microseconds, from the
// ping's clock on, 0 for none, and first index of the
// log. A stream ends at the first message that is not so.
//
// Raft streams are hashicorp/raft's, but that the address in the header of a
// request is a stamp of 24 bytes: version 1, flags (1 asks for a promise), 6 zero
// bytes, and, 8 bytes big-endian each: length of the sender's promises in
// microseconds, and the term in a TimeoutNow, 0 elsewhere. Its receiver takes the
// id for the address.
package raftlog
