package rpc

import (
	"errors"

	"twofold/nfs/xdr"
)

// ReplySizer is an optional method of a [Handler]: an estimate, from above, of
// the bytes of results that a call will have. The server takes a buffer of that
// size and counts it against its limits while the call runs. Zero means "small".
type ReplySizer interface {
	ReplySize(call *Call) int
}

// Quick is an optional method of a [Handler]: it tells that a call takes about as
// little time as a handover to another goroutine does, unless the handler says before that it has
// to wait (vfs.WillWait). The server may then have the goroutine run it that reads the
// connection.
type Quick interface {
	Quick(call *Call) bool
}

// BeginReply appends the reply header of SUCCESS. Results follow it.
func BeginReply(w *xdr.Writer, xid uint32) { appendAccepted(w, xid, acceptSuccess) }

// AppendProgUnavail appends the reply for a program that is not there.
func AppendProgUnavail(w *xdr.Writer, xid uint32) { appendAccepted(w, xid, acceptProgUnavail) }

// AppendProgMismatch appends the reply for a version that is not there, with
// the lowest and the highest one that are.
func AppendProgMismatch(w *xdr.Writer, xid, low, high uint32) {
	appendAccepted(w, xid, acceptProgMismatch)
	w.Uint32(low)
	w.Uint32(high)
}

// AppendError appends the reply that err calls for, and reports false without
// appending anything if it calls for none.
func AppendError(w *xdr.Writer, xid uint32, err error) bool {
	var auth AuthError
	switch {
	case errors.Is(err, ErrProcUnavail):
		appendAccepted(w, xid, acceptProcUnavail)
	case errors.Is(err, ErrGarbageArgs):
		appendAccepted(w, xid, acceptGarbageArgs)
	case errors.Is(err, ErrSystem):
		appendAccepted(w, xid, acceptSystemErr)
	case errors.As(err, &auth):
		appendAuthError(w, xid, auth)
	case errors.Is(err, ErrTooWeak):
		appendAuthError(w, xid, AuthTooWeak)
	case errors.Is(err, ErrRPCMismatch):
		appendDenied(w, xid, rejectMismatch)
		w.Uint32(Version)
		w.Uint32(Version)
	default:
		return false
	}
	return true
}

// appendAccepted appends a reply header with an AUTH_NONE verifier.
func appendAccepted(w *xdr.Writer, xid, stat uint32) {
	w.Uint32(xid)
	w.Uint32(msgReply)
	w.Uint32(msgAccepted)
	w.Uint32(AuthNone)
	w.Uint32(0) // the verifier's length
	w.Uint32(stat)
}

func appendDenied(w *xdr.Writer, xid, stat uint32) {
	w.Uint32(xid)
	w.Uint32(msgReply)
	w.Uint32(msgDenied)
	w.Uint32(stat)
}

func appendAuthError(w *xdr.Writer, xid uint32, e AuthError) {
	appendDenied(w, xid, rejectAuth)
	w.Uint32(uint32(e))
}
