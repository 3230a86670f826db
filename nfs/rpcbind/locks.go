package rpcbind

import (
	"net/netip"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// The lock manager's program (NLM; X/Open XNFS, chapter 10), of which version 4
// goes with NFSv3. There is no version 2.
const (
	lockProgram uint32 = 100021
	lockLow     uint32 = 1
	lockHigh    uint32 = 4
)

// Procedures of the lock manager.
const (
	lockTest    = 1
	lockLock    = 2
	lockCancel  = 3
	lockUnlock  = 4
	lockShare   = 20
	lockUnshare = 21
	lockNoWait  = 22 // NM_LOCK
	lockFreeAll = 23
)

// Results of the lock manager, alike in all versions.
const (
	lockGranted = 0
	lockNoLocks = 2 // NLM_DENIED_NOLOCKS: the server has no room for locks
)

// maxCookie bounds the netobj by which a client knows its call.
const maxCookie = 1024

// refuserEntry is where the lock manager is that refuses: at the port mapper.
func refuserEntry(a netip.AddrPort) entry {
	e := entry{program: lockProgram, version: lockHigh, netid: netTCP, addr: formatAddr(a), owner: superuser}
	if a.Addr().Is6() {
		e.netid = netTCP6
	}
	return e
}

// refuseLock answers a call of the lock manager, which the node does not have:
// whoever wants a lock is refused it, with ENOLCK, and whoever gives one back is
// told that it is done. Neither silence nor PROG_UNAVAIL would do. A Linux client
// that gets no address asks for it every three seconds without an end
// (call_bind_status, net/sunrpc/clnt.c, since Linux 6.3 and 6.1.28), and one that is
// told PROG_UNAVAIL repeats the UNLOCK that cleans up, without a pause
// (nlmclnt_unlock_callback, fs/lockd/clntproc.c).
func refuseLock(call *rpc.Call, _ origin, w *xdr.Writer) error {
	stat := uint32(lockNoLocks)
	switch call.Proc {
	case procNull, lockFreeAll:
		return nil
	case lockTest, lockLock, lockNoWait, lockShare:
	case lockCancel, lockUnlock, lockUnshare:
		stat = lockGranted
	default:
		return rpc.ErrProcUnavail // GRANTED, and the messages without a reply
	}
	r := xdr.NewReader(call.Args)
	cookie := r.Opaque(maxCookie)
	if r.Err() != nil {
		return rpc.ErrGarbageArgs
	}
	w.Opaque(cookie)
	w.Uint32(stat)
	if call.Proc == lockShare || call.Proc == lockUnshare {
		w.Uint32(0) // the sequence number of nlm_shareres
	}
	return nil
}
