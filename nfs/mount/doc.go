// Package mount serves the MOUNT program, version 3 (RFC 1813 section 5).
//
// # Purpose
//
// A client learns its first file handle here. The whole volume is exported as
// "/", and any directory of it can be mounted. NULL, MNT and UMNT are answered
// by go-nfs through nfs/gonfs; DUMP, UMNTALL and EXPORT, which go-nfs has not,
// are answered here.
//
// # Contract
//
// Versions 1 and 2 of the program, whose handles are of 32 bytes, are not
// served: the server answers them PROG_MISMATCH. MNT's verdict is that of
// package gonfs. A path over 1024 bytes does not decode, as with any server
// that holds to the RFC's limit. EXPORT lists "/" with the networks of the
// export rules as its groups, and nothing if there is no rule, since an export
// without groups would mean everyone.
//
// DUMP's list is a courtesy (RFC 1813 section 5.2.2): it is of this node and
// this process only, clients that crash stay on it, and beyond [MaxMounts] the
// oldest entry goes. Nothing depends on it.
//
// # Concurrency
//
// The list is guarded by one mutex, which is held for neither calls nor I/O.
// The only goroutines are those of the bridge; Close ends them.
package mount
