// Package handle makes and reads the opaque file handles that clients keep.
//
// # Purpose
//
// A handle names an inode of one volume by number and generation, never by
// path, so that it survives renames, restarts and a change of gateway. Both
// data nodes make the same bytes for the same inode, because all that goes into
// a handle is in the replicated state.
//
// # Contract
//
// A handle is exactly [Size] bytes. It carries a message authentication code
// whose key is in the replicated state, so that a client can name only inodes
// that a gateway has named to it before; guessing one is a matter of 64 bits.
//
// [Decode] tells two kinds of failure apart in the way Linux knfsd does it
// (nfsd_set_fh_dentry in fs/nfsd/nfsfh.c). What cannot be a handle of ours at
// all is [vfs.BadHandle]: a wrong length, an unknown version, bits set that
// version 1 keeps at zero, or a wrong code. What is well formed but names a
// volume that is not here is [vfs.Stale]; the volume is compared before the
// code, since the key of another volume is not known here. Whether the inode
// still lives is for the file system to say, and whether its export is still
// there for package nfs/export.
//
// A handle carries the export in which it was given out, by the inode of the
// export's root directory, so that each call is held against that export's
// rules without a walk up the tree. Inode numbers are never used again.
//
// # Format
//
// All integers are big-endian.
//
//	offset  bytes  field
//	     0      1  version, 1
//	     1      1  flags, 0
//	     2      2  zero
//	     4      4  volume id
//	     8      8  inode of the export's root
//	    16      8  inode
//	    24      4  generation
//	    28      8  SipHash-2-4 over bytes 0 to 27
//
// # Concurrency
//
// Pure functions.
package handle
