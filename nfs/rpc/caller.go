package rpc

import (
	"errors"
	"fmt"

	"twofold/nfs/xdr"
)

// Errors that a reply may carry, beside those that a Handler returns.
var (
	// ErrProgUnavail is PROG_UNAVAIL.
	ErrProgUnavail = errors.New("rpc: program unavailable")
	// ErrNotReply is returned for a message that is not a well-formed reply.
	ErrNotReply = errors.New("rpc: message is not a reply")
)

// MismatchError is PROG_MISMATCH: the versions of the program that are there.
type MismatchError struct{ Low, High uint32 }

// Error names the versions.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("rpc: program version unavailable, versions %d to %d are", e.Low, e.High)
}

// AppendCall appends the header of a call. The arguments follow it.
func AppendCall(w *xdr.Writer, xid, prog, vers, proc uint32, c *Cred) {
	w.Uint32(xid)
	w.Uint32(msgCall)
	w.Uint32(Version)
	w.Uint32(prog)
	w.Uint32(vers)
	w.Uint32(proc)
	w.Uint32(c.Flavor)
	off := w.Len()
	w.Uint32(0)
	if c.Flavor == AuthSys {
		AppendSys(w, 0, c)
		w.PutUint32(off, uint32(w.Len()-off-4))
	}
	w.Uint32(AuthNone)
	w.Uint32(0) // the verifier's length
}

// ReplyXID returns the XID of a reply message, and whether it is one.
func ReplyXID(rec []byte) (uint32, bool) {
	r := xdr.NewReader(rec)
	xid := r.Uint32()
	isReply := r.Uint32() == msgReply
	return xid, r.Err() == nil && isReply
}

// ParseReply returns the results of a reply, which alias rec, or the error that
// the reply carries.
func ParseReply(rec []byte) ([]byte, error) {
	r := xdr.NewReader(rec)
	r.Uint32() // xid
	if r.Uint32() != msgReply {
		return nil, ErrNotReply
	}
	switch r.Uint32() {
	case msgAccepted:
		return parseAccepted(r)
	case msgDenied:
		return nil, parseDenied(r)
	default:
		return nil, ErrNotReply
	}
}

func parseAccepted(r *xdr.Reader) ([]byte, error) {
	r.Uint32() // the verifier's flavor
	r.Opaque(MaxAuth)
	stat := r.Uint32()
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReply, r.Err())
	}
	switch stat {
	case acceptSuccess:
		return r.Rest(), nil
	case acceptProgUnavail:
		return nil, ErrProgUnavail
	case acceptProgMismatch:
		e := &MismatchError{Low: r.Uint32(), High: r.Uint32()}
		if r.Err() != nil {
			return nil, ErrNotReply
		}
		return nil, e
	case acceptProcUnavail:
		return nil, ErrProcUnavail
	case acceptGarbageArgs:
		return nil, ErrGarbageArgs
	case acceptSystemErr:
		return nil, ErrSystem
	default:
		return nil, fmt.Errorf("%w: accept_stat %d", ErrNotReply, stat)
	}
}

func parseDenied(r *xdr.Reader) error {
	stat, value := r.Uint32(), r.Uint32()
	switch {
	case r.Err() != nil:
		return ErrNotReply
	case stat == rejectMismatch:
		return ErrRPCMismatch
	case stat == rejectAuth:
		return AuthError(value)
	default:
		return fmt.Errorf("%w: reject_stat %d", ErrNotReply, stat)
	}
}
