// Package gonfs is the bridge to github.com/willscott/go-nfs, which serves the
// MOUNT procedures NULL, MNT and UMNT.
//
// # Purpose
//
// go-nfs brings its own server, which takes a listener. The bridge gives it one
// that lives in memory, so that go-nfs stands behind our sockets, limits and
// export rules and never sees a byte that we have not decoded first. What a
// mounted path means is ours: an export of the table, a [vfs.Ref] found by walking
// from its root, and our own file handle for it.
//
// # Contract
//
// A call is encoded anew from its parsed parts. This matters: go-nfs allocates
// by lengths from the wire, knows neither versions nor fragments, and does not
// read an empty path. The handler behind go-nfs answers MNT with ACCES for a
// path that is not exported to the client, NOTDIR, NOENT and NAMETOOLONG as the
// walk says, and SERVERFAULT if the store gives no verdict. An export whose
// directory is gone is NOENT, and a warning. A panic in it is
// SERVERFAULT, too. No other program or procedure reaches go-nfs.
//
// The tests in shortfall_*_test.go show, against the go-nfs that go.mod names, why
// its NFS procedures do not serve the volume; docs/nfs-conformance.md lists them.
//
// # Concurrency
//
// [New] starts one goroutine, go-nfs's accept loop, which ends at Close. Each
// call has a connection of its own, which is a net.Pipe, and with it two
// goroutines of go-nfs that end with the call. Calls may run concurrently.
// There are no locks.
package gonfs
