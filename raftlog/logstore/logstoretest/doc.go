// Package logstoretest has a file system that loses power, for tests of
// package logstore and of what is built on it.
//
// # Purpose
//
// A process that is killed leaves the page cache behind, so that a sync that
// was forgotten is never missed. [FS] is a logstore.FS in memory that knows
// what was synced and what was only written. [FS.PowerLoss] makes of it what
// may be found after the power failed, [FS.Killed] what a killed process leaves.
//
// # Contract
//
// An FS is one directory; the directory argument of its methods is ignored.
// The model is the weakest that POSIX allows:
//
//   - A file's Sync makes its bytes and its size durable, not its name. The name
//     needs SyncDir, and so does a deletion. As in the WAL's own file system
//     (raft-wal, fs/file.go), the first Sync of a file that was created through
//     this handle syncs the directory too, and Delete does: each is two steps.
//   - What was not synced is lost, kept, cut off at some sector or torn into
//     sectors that are kept or lost one by one, as a seed decides. Preallocation
//     is a change of size like any other.
//   - Bytes that were synced are never harmed.
//
// The power fails at a step: CutAfter counts them, Hold and Cut stop a running
// process. The step at which the power fails has an unsynced effect if it is a
// write, and none otherwise. [FS.Lie] plants the fault that these tests are
// about: a sync that reports success and does nothing.
//
// The bolt files of a node (wal-meta.db, stable.db) and its marker are not
// behind an FS: bbolt syncs by the number of an open file. A [Disk] has stores in
// memory in place of the bolt files. [ReadWhole] copies
// such a file as it is at one moment of the crash, so that bbolt's own syncs
// are taken on trust there. Package mounted gives an FS to bbolt by FUSE, and the
// suite of package logstore runs on that.
//
// # Concurrency
//
// All methods may be called from many goroutines; one mutex guards an FS and its
// files. The package starts no goroutine.
package logstoretest
