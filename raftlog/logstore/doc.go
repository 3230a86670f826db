// Package logstore keeps the Raft log and the Raft vote on disk.
//
// # Purpose
//
// It puts two third-party stores behind one type, [Store], and adds what the
// protocol of package raftlog needs and they do not have: a clamp on log
// compaction, byte accounting, the terms and kinds of the entries in memory,
// a small cache of the tail, and fail-stop on the first write error. [Vote]
// does the same for the stable store: the vote is one atomic record.
//
// # Contract
//
// StoreLogs returns after the entries are synced, whichever kind is chosen.
// Begin returns before that; Durable, AwaitDurable and Drain tell of the disk. What
// was begun is written in order, and everything else that changes the log waits for it.
// After the first failed write nothing is accepted any more and the error is
// reported once through [Options.OnFailure], as is damage that is met when an entry is read: what a failed write or sync left
// on disk is unknown, so the process has to end and recover.
//
// DeleteRange of the end of the log (a follower drops a suffix that conflicts
// with its leader) is executed as asked, unless it reaches below
// [Options.Committed], which is an integrity error. DeleteRange of the
// beginning is compaction: it is cut down, silently, to what
// [Options.Clamp] allows and so that KeepBytes remain. What somebody still needs
// goes only if the log exceeds MaxBytes.
//
// Opening a store makes durable whatever an earlier process, killed at any
// moment, had written to its files and directories and not synced: what was read
// from the page cache must not be answered for while a loss of power can still
// undo it. Package logstoretest has a file system on which tests show this; one suite
// runs on every kind of log and on the vote, on real files whose every write and sync
// may be the last.
//
// The store never calls itself monotonic, although the WAL is: hashicorp/raft
// would then delete a whole log after a snapshot was installed.
//
// Open tells an unfinished write at the end of the log, which it cuts, from damage
// (tail.go). Damage is told of through [Options.OnDamage] before what is sound takes the
// place of the log; the rest stays under DIR/wal.damaged or DIR/log.db.damaged until
// [Store.Forget].
//
// # Kinds
//
// [WAL] is hashicorp/raft-wal: one sync for an append, about three times the
// throughput of bolt and a fifth of its bytes. Version 0.4.0 must not be used:
// it does not survive a restart after a suffix was deleted ("sealed segment
// has no index block"). From 0.4.2 on four gaps are left, all in the recovery
// of the last segment, and repair.go closes them before the log is opened. A
// segment that was sealed by its last append and not yet rotated refuses all
// later appends, and so does one whose last, torn append began to seal it. An
// append that a killed process wrote and did not sync is taken for committed
// and built upon, and only the last commit's checksum is ever looked at; nor is
// the name of a new segment synced any more if the process that created it was
// killed before it did so. The last two lose or damage entries when the power
// fails after the process was started again. As every open starts a new segment,
// bytes of a torn append are never read again.
//
// [Bolt] is raft-boltdb: one B+tree file, slower, and simple. A bolt file is made
// under another name and renamed: bbolt itself takes one that the power failure cut
// short for damaged, for ever.
//
// # Concurrency
//
// hashicorp/raft calls StoreLogs and the suffix DeleteRange from its main
// goroutine, compaction from its snapshot goroutine and GetLog from many. The
// store's own tables have one mutex, which is never held across disk access;
// writes are serialised by a second one, taken first. Begin starts a goroutine that
// writes, and ends when nothing waits; Close waits for it. The WAL has one of its own,
// which Close stops.
//
// # Format
//
// Every entry is stored with a checksum, and masked: seal.go. DIR/wal or DIR/log.db holds the log, DIR/stable.db term and vote. The record
// "Vote" is the term, 8 bytes big-endian, followed by the candidate's address.
package logstore
