// Package nfs3 serves program 100003 version 3 (NFS, RFC 1813): all 22
// procedures, each from its XDR arguments to its XDR reply.
//
// # Purpose
//
// A procedure decodes its arguments, asks the volume behind [vfs.FS] in inodes,
// and encodes the answer. There is no state here: no open files, no cache.
//
// # Contract
//
// Semantics are those of RFC 1813. Where it leaves a choice, or where practice
// differs, Linux knfsd (fs/nfsd) decides, and the comment says so.
//
//   - Every reply that has room for attributes or weak cache consistency data
//     (WCC) carries them, on errors too. They come from the same atomic step as
//     the answer. The exceptions are a handle that names nothing, and
//     NFS3ERR_JUKEBOX, which is given when nothing was asked.
//   - A verdict ([vfs.Kind]) becomes a status by one table, status.go.
//   - An availability error is never a verdict. A read that it ends
//     ([vfs.NeverProposed]) is told to come back, NFS3ERR_JUKEBOX. A change gets
//     no answer at all ([rpc.ErrDrop]), so that the client asks again with the
//     same XID (rule R12): even if this copy of the call was not handed to the
//     log, an earlier one may have been, at another node or before a restart. A read that meets [vfs.ErrCorrupt] is answered NFS3ERR_IO and logged
//     as an error.
//   - Arguments that do not decode are [rpc.ErrGarbageArgs]; a procedure over 21
//     is [rpc.ErrProcUnavail]. As in knfsd, bytes after the arguments are
//     ignored.
//
// A handle names the export in which it was given out, and every handle in a
// reply is in the export of the call's own. So the rules of that export are
// checked at every call without a walk up the tree, and ".." of an export's root
// is that root. A directory that was moved out of its export keeps its handles, as
// with knfsd's no_subtree_check. RENAME and LINK between two exports are
// NFS3ERR_XDEV.
//
// The order of refusals is knfsd's: a handle that does not decode
// (NFS3ERR_BADHANDLE), no export for this client (NFS3ERR_STALE), a client port
// that the export does not allow (NFS3ERR_PERM), an inode that is gone
// (NFS3ERR_STALE), a wrong type, a read-only export (NFS3ERR_ROFS), permission
// bits, and then whatever the procedure itself finds.
//
// [Program.ReplySize] tells the server how long a reply may become, so that it
// counts the memory of large READs and listings before they are served.
//
// # Concurrency
//
// A [Program] is safe for concurrent use and starts no goroutines. What belongs
// to one call is in a request, which one goroutine owns from the start of
// ServeRPC to its end. The only lock-free shared state is the limiter of the
// log (log.go), two atomics.
package nfs3
