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
// was cached, nor on how many entries were applied at once. Time comes from the commands and never stands still: each command
// is later than the one before, so every change moves the ctime.
//
// One log entry or several are applied in one batch together with the index of the
// last, without a write-ahead log: the Raft log is that. After a crash the store is as it was
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
//   - A directory has [vfs.DirSize] bytes, in Size and in Used. Used counts the
//     bytes stored for a regular file, rounded up to 512, and is zero for other
//     types.
//   - atime moves at creation and by SETATTR only.
//   - An UNCHECKED CREATE over something that is not a regular file finds it, and
//     changes nothing.
//   - With the proposer's verdict of no space, whatever makes a name or an
//     inode, extends a file or fills a hole is NoSpace; RENAME, the removing
//     calls, overwriting and truncation go on, and so do the tables. With that
//     of half a reserve left, every WRITE is NoSpace.
//   - An export is a directory, which its path named when it was made. A change of
//     the table replaces it whole, if the proposer saw the present one.
//   - A command for another volume is BadHandle; one before the volume is
//     formatted is Stale.
//
// Deleting a file, or cutting it to zero, takes the same time whatever its
// size. Cutting it in the middle reads the blocks of one extent at most, and
// of each extent beyond it one small record.
//
// # Integrity
//
// A digest of all replicated records runs along (rule M5 of the design): a sum
// that does not depend on their order, kept for each of [DigestBuckets] buckets.
// Apply writes the sums in the batch of the entries that change them, so they are
// of the same moment as the records whatever crashes. [State.RunningDigest] and
// [State.BucketDigests] read nothing; [State.ScanDigest] computes the sums anew
// from the records, and finds what is not as apply wrote it. What leaves the
// digest is what was read from the store, so damage that apply meets does
// not vanish from the difference of the two. A data block begins with a checksum
// of its content, which every reader checks: what is wrong is vfs.ErrCorrupt,
// never data. [CheckDir] walks the state of a stopped node and names all that is
// wrong; a state in quarantine has a file in its directory that says why
// (quarantined.json). docs/decisions/0005-running-digest.md says why it is done so.
//
// # Catching up
//
// [State.Pin] gives a view of one moment. [State.OpenStage] makes a state beside
// this one, in DIR.stage, that is changed until it is what a view of another node
// is, then called DIR.ready, and put in place by [State.Install], or by [State.Replace]
// if this one is damaged. [SetAside] puts an empty state in quarantine into the place
// of one that cannot be opened, which it keeps in DIR.damaged.
//
// # Concurrency
//
// One goroutine, the caller's, calls Apply and ApplyAll. They compute the
// effects without a lock, over the committed state (txn), and hold the write
// lock for the commit into memory and into the inode cache. Readers hold the
// read lock for one read, so that what they get is of one moment. Flush and
// ScanDigest take as long as the disk needs and hold the lock only at their
// beginning. Lock order: State.mu before State.durable; neither is held while
// the other is taken. This package starts no goroutine; Pebble has its own for
// flushes and compactions, which end with Close.
//
// # Format
//
// A key is a table byte, the volume id, and what identifies the record:
//
//	0x01 local    00000000 record u8          node-local: format, applied index, digests
//	0x10 volume   id u32                      constants and counters
//	0x11 inode    id, ino u64                 tagged fields
//	0x12 dirent   id, dir u64, name           ino u64, cookie u64
//	0x13 cookie   id, dir u64, cookie u64     ino u64, name
//	0x14 block    id, ino u64, number u64     checksum, bytes up to the last one written
//	0x15 extent   id, ino u64, number u64     sums over 256 blocks
//	0x20 answer   id, sequence number u64     a call and its answer
//	0x25 export   id [, place u32]            tagged fields: the table, an entry
//	0x26 member   id, name                    tagged fields
//	0x28 mount    id, time of adding u64      tagged fields
//	0x21-0x27     the others: see keys.go
//
// All integers are big endian. A hole has no block record. docs/formats.md
// describes every record.
package state
