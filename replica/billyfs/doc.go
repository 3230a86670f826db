// Package billyfs is the volume as a billy.Filesystem, for Go programs.
//
// # Purpose
//
// [New] puts paths, open files and Go's errors before a [vfs.FS]. Programs that
// work on billy (go-git, go-nfs and others) can then use the volume without a
// mount. Each change becomes the same replicated command as one that comes by
// NFS.
//
// # Contract
//
// Everything is done with the permissions of the given caller; there is no
// implicit root. New files and directories get the caller's mode less the
// umask ([WithUmask], by default 022).
//
// Paths are slash-separated and relative to the file system's root, with or
// without a leading slash. As everywhere in billy they are cleaned as text
// first, so that "a/../b" is "b" whatever a is, and one that would leave the
// root is billy.ErrCrossedBoundary. Symbolic links are followed as POSIX has
// it, at most 40 for one path; an absolute target starts at the root, and ".."
// in a target is the true parent. At the volume's root ".." stays there; in a
// file system made by Chroot a link that points outside is
// billy.ErrCrossedBoundary. Targets are stored and returned as they were given.
//
// Where billy's implementations make missing parent directories, so does this
// one: OpenFile with O_CREATE, Rename, Symlink and TempFile. Each of these
// parents is a command of its own; the operation itself is always one command,
// so that a Rename or a Remove is done wholly or not at all.
//
// A file gathers writes that follow each other in a buffer of at most
// [vfs.MaxIO] bytes. They are durable on both nodes once Sync or Close returned
// nil; until then other processes and NFS clients may not see them. Whatever is
// done through the same [New] sees them at once. A write that fails makes the file fail: its
// buffered bytes are dropped, and that error is returned by every operation
// after it that reads, writes or syncs, and by Close. Since the store has no command to append,
// O_APPEND asks for the size and writes there: two processes that append to one
// file at the same time can overwrite each other.
//
// Permission is checked when a file is opened, and again by the store at each
// read and write, where the owner of a file always passes. A file that is
// removed while it is open is gone: reads and writes fail with ESTALE.
//
// Lock is advisory and exclusive, as flock(2), but it holds only among files
// opened through the same [New] (and file systems that Chroot derived from it).
// Other processes, the other node and NFS clients do not see it.
//
// Errors are *fs.PathError with a syscall.Errno within, so that errors.Is with
// fs.ErrNotExist and its like works. Where the store has no verdict (no quorum,
// unknown outcome, shutdown) the store's error is within instead, and errors.Is
// with the errors of package vfs works. The two are never mixed.
//
// # Concurrency
//
// An [FS] is safe for concurrent use. So is a [File]; its mutex is held during
// calls to the store, so that operations on one open file come one after
// another. The mutexes of the two tables that the files of one [New] share,
// locks and unsent bytes, are taken after a File's and never during a call to
// the store. There are no goroutines.
package billyfs
