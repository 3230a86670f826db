// Package mounted gives a logstoretest.FS to programs that want real files, by
// FUSE: bbolt maps its file into memory and syncs it by its descriptor, which no
// interface of ours can stand in for.
//
// # Purpose
//
// A [Disk] is a directory that loses power. Every write, sync and change of a name
// that the kernel passes on is a step of the FS, so that the power can fail at each.
//
// # Contract
//
// The file system runs in a process of its own, [Serve], which a test binary starts
// from itself: a Go process that reads its own FUSE file system through mapped memory
// can stop for good, since a page fault holds up its garbage collector, which holds
// up the server of the page. [Start] skips the test, with a reason, where nothing
// can be mounted: not as root, or without /dev/fuse.
//
// The kernel writes through its page cache and forgets it with the mount. [Disk.Fail]
// and [Disk.Kill] mount what is left anew; every file must have been closed before.
// A file's sync syncs the file alone, and creating or deleting one syncs nothing.
//
// # Concurrency
//
// A Disk's methods are called from one goroutine. The server answers one command
// at a time and any number of the kernel's requests. It ends, and unmounts, when its
// standard input does.
package mounted
