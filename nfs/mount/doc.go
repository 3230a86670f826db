// Package mount serves the MOUNT program, version 3 (RFC 1813 section 5).
//
// # Purpose
//
// A client learns its first file handle here: that of an export of the table
// (package nfs/export), or of any directory below one. NULL, MNT and UMNT are
// answered by go-nfs through nfs/gonfs; DUMP, UMNTALL and EXPORT, which go-nfs
// has not, are answered here.
//
// # Contract
//
// Versions 1 and 2 of the program, whose handles are of 32 bytes, are not
// served: the server answers them PROG_MISMATCH. MNT's verdict is that of
// package gonfs. A path over 1024 bytes does not decode, as with any server
// that holds to the RFC's limit. EXPORT lists each export with its clients in
// the words of the table, and nothing if there is no export, since one without
// groups would mean everyone.
//
// DUMP's list is the cluster's, a [vfs.MountList], so that both nodes show the
// same. It is a courtesy (RFC 1813 section 5.2.2): clients that crash stay on
// it, and nothing depends on it. MNT, UMNT and UMNTALL change it in the
// background, and neither wait for the change nor fail with it: one that fails,
// or that finds a full queue, costs a line in the log. UMNT and UMNTALL of hosts
// that no export is for change nothing. If the list cannot be read DUMP is
// answered SYSTEM_ERR.
//
// A reply has at most 768 KiB of results. A longer list of mounts is cut, and its
// last entry says how many are missing; EXPORT always fits, by the limits of the
// table.
//
// # Concurrency
//
// [New] starts one goroutine that makes the changes of the list one after
// another, and those of the bridge; Close ends them. There are no locks.
package mount
