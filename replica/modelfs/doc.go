// Package modelfs is a naive file system in memory: the reference with which
// the real state machine is compared.
//
// # Purpose
//
// It implements [vfs.FS] with plain maps, so that a reader can see that it is
// right. Tests run the same operations on it and on the replicated store and
// compare every answer; other packages use it where a test needs a volume and
// no replication. It is not for production: nothing is stored on disk.
//
// # Contract
//
// The answers are those of a Linux file system behind the kernel's NFS server:
// the order of the checks follows fs/nfsd/vfs.c and fs/namei.c, the rules for
// attributes follow setattr_prepare in fs/attr.c. Three things are simpler:
//
//   - A call has its whole effect or none. The kernel may create a file and
//     then refuse to set its size.
//   - The guard of SETATTR is compared even if nothing is to be set.
//   - A call's identity ([vfs.CallID]) is ignored: each call is new.
//
// What the contract of vfs leaves open is chosen here as follows. A directory
// has [vfs.DirSize] bytes. Used counts whole blocks of a regular file and is
// zero for all other types but directories. A name that a rename replaces keeps its cookie. A
// new object whose mode was not given has mode 0. The generation of the
// root is 0, that of every other inode is [Gen].
//
// # Concurrency
//
// One mutex guards everything; every method holds it from start to end. There
// are no goroutines.
package modelfs
