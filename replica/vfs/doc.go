// Package vfs is the contract between the front ends (NFS, billy) and the
// replicated store. It holds types and pure functions only and imports nothing
// of this module.
//
// # Purpose
//
// A front end turns what its client asks into an [Op] (a change) or into one of
// the read methods of [FS], all of which speak of inodes, never of paths. The
// store behind [FS] makes them linearizable across both data nodes.
//
// # Contract
//
// Every method has two ways to answer, and they never mix:
//
//   - A result with a [Kind]. It is the file system's verdict (OK, NotExist,
//     Access, ...), it is deterministic, and both data nodes give the same one.
//   - A non-nil error. It says that no verdict is known (see errors.go). The
//     other results are then meaningless. For a change, only [ErrBusy],
//     [ErrNoQuorum] and [ErrNotReady] promise that it was never handed to the
//     log and never will be; any other error means that its outcome is unknown,
//     and the front end must stay silent so that its client asks again with the
//     same call identity (rule R12).
//
// # Concurrency
//
// All values are plain data. An [FS] is safe for concurrent use. An Op and the
// byte slices in it belong to the FS from the call until it returns; the caller
// must not change them meanwhile, and the FS keeps no reference afterwards.
package vfs
