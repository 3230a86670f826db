// Package state is the replicated state machine of a data node: it applies the
// commands of the log, deterministically, to records in a Pebble store, and
// answers reads from them.
//
// # Purpose
//
// One volume: inodes, directory entries, cookies, data blocks, and counters; and
// the tables beside it: exports, the list of mounts, and the cluster's members.
// Semantics are those of a Linux file system behind the kernel's NFS server
// (fs/nfsd/vfs.c, fs/namei.c, fs/attr.c); permissions are checked here, with
// the credentials that the command carries.
//
// # Contract
//
// The result of [State.Apply] and every replicated record depend on the
// commands alone: not on when the store was flushed or restarted, nor on what
// was cached. Time comes from the commands and never stands still: each command
// is later than the one before, so every change moves the ctime.
//
// A log entry is applied in one batch together with its index, without a
// write-ahead log: the Raft log is that. After a crash the store is as it was
// at some entry at or above [State.Durable], and the log from there on leads
// to the same state again.
//
// A returned error says that the store cannot be trusted or used
// (vfs.ErrCorrupt, a failed write), that it is closed (vfs.ErrShutdown) or that
// no volume exists yet (vfs.ErrNotReady). It is never a verdict, and a verdict
// is never an error. After an error Apply stays broken.
//
// What the file system contract leaves open is decided so:
//
//   - A directory has the size of one block. Used counts the bytes stored for a
//     regular file, rounded up to 512, and is zero for other types.
//   - atime moves at creation and by SETATTR only.
//   - An UNCHECKED CREATE over something that is not a regular file is Exist.
//   - With the proposer's verdict of no space, whatever makes a name or an
//     inode, extends a file or fills a hole is NoSpace; RENAME, the removing
//     calls, overwriting and truncation go on, and so do the tables.
//   - An export is a directory, which its path named when it was made. A change of
//     the table replaces it whole, if the proposer saw the present one.
//   - A command for another volume is BadHandle; one before the volume is
//     formatted is Stale.
//
// Deleting a file, or cutting it to zero, takes the same time whatever its
// size. Cutting a file that has holes in the middle counts the blocks that go.
//
// # Concurrency
//
// One goroutine, the caller's, calls Apply and Advance. It computes an entry's
// effects without a lock, over the committed state (txn), and holds the write
// lock for the commit into memory and into the inode cache. Readers hold the
// read lock for one read, so that what they get is of one moment. Flush and
// Digest take as long as the disk needs and hold the lock only at their
// beginning. Lock order: State.mu before State.durable; neither is held while
// the other is taken. This package starts no goroutine; Pebble has its own for
// flushes and compactions, which end with Close.
//
// # Format
//
// A key is a table byte, the volume id, and what identifies the record:
//
//	0x01 local    00000000 record u8          node-local: format, applied index
//	0x10 volume   id u32                      constants and counters
//	0x11 inode    id, ino u64                 tagged fields
//	0x12 dirent   id, dir u64, name           ino u64, cookie u64
//	0x13 cookie   id, dir u64, cookie u64     ino u64, name
//	0x14 block    id, ino u64, number u64     bytes up to the last one written
//	0x20 answer   id, sequence number u64     a call and its answer
//	0x25 export   id [, place u32]            tagged fields: the table, an entry
//	0x26 member   id, name                    tagged fields
//	0x28 mount    id, time of adding u64      tagged fields
//	0x21-0x27     the others: see keys.go
//
// All integers are big endian. A hole has no block record. docs/formats.md
// describes every record.
package state
