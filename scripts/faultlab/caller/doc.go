// Package caller is an NFS client that makes one call at a time and repeats it under its XID when the connection is lost, as the Linux kernel's
// client does.
//
// # Purpose
//
// Clients of a cluster with faults see lost connections, silence and NFS3ERR_JUKEBOX. A [Caller] deals with them as a real client would, so that
// what a test sees is the answer, and how long it took.
//
// # Contract
//
// [Caller.Do] returns an error only if the call has no answer: [ErrLeft] if the caller gave up, so that nobody knows whether the call was run, or
// the context's. A call that was answered NFS3ERR_JUKEBOX was certainly not run, and is made again under a new XID, as the kernel does it.
//
// # Concurrency
//
// A Caller is for one goroutine.
package caller
