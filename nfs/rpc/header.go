package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"twofold/nfs/xdr"
)

// Version is the one RPC version there is.
const Version = 2

// Message types, reply_stat, accept_stat and reject_stat (RFC 5531 section 9).
const (
	msgCall  = 0
	msgReply = 1

	msgAccepted = 0
	msgDenied   = 1

	acceptSuccess      = 0
	acceptProgUnavail  = 1
	acceptProgMismatch = 2
	acceptProcUnavail  = 3
	acceptGarbageArgs  = 4
	acceptSystemErr    = 5

	rejectMismatch = 0
	rejectAuth     = 1
)

// Errors of ParseCall beside [ErrGarbageArgs] and [AuthError].
var (
	// ErrNotCall is returned for a message that is not a call. The server
	// ignores it.
	ErrNotCall = errors.New("rpc: message is not a call")
	// ErrShortCall is returned when a call ends before its procedure number.
	// The server closes the connection, since nothing can be answered.
	ErrShortCall = errors.New("rpc: call ends within its header")
	// ErrRPCMismatch is returned for another RPC version.
	ErrRPCMismatch = errors.New("rpc: version is not 2")
)

// AuthError is auth_stat: it refuses a call because of its credential.
type AuthError uint32

// The values of AuthError that a server or a client of AUTH_SYS meets.
const (
	AuthBadCred      AuthError = 1
	AuthRejectedCred AuthError = 2
	AuthBadVerf      AuthError = 3
	AuthRejectedVerf AuthError = 4
	AuthTooWeak      AuthError = 5
)

// Error names the auth_stat.
func (e AuthError) Error() string {
	switch e {
	case AuthBadCred:
		return "rpc: bad credential"
	case AuthRejectedCred:
		return "rpc: credential rejected"
	case AuthBadVerf:
		return "rpc: bad verifier"
	case AuthRejectedVerf:
		return "rpc: verifier rejected"
	case AuthTooWeak:
		return ErrTooWeak.Error()
	default:
		return fmt.Sprintf("rpc: authentication error %d", uint32(e))
	}
}

// Is makes AuthTooWeak and ErrTooWeak the same error.
func (e AuthError) Is(target error) bool { return e == AuthTooWeak && target == ErrTooWeak }

// headerLen is what comes before the credential: xid, type, RPC version,
// program, version, procedure.
const headerLen = 6 * 4

// ParseCall decodes the header of a call message into c, whose Client field it
// leaves alone. The slices in c alias rec. On any error but ErrNotCall and
// ErrShortCall c.XID is valid, so that [AppendError] can answer. cache may be nil.
func ParseCall(rec []byte, c *Call, cache *CredCache) error {
	if len(rec) < 8 {
		return ErrShortCall
	}
	c.XID = binary.BigEndian.Uint32(rec)
	if binary.BigEndian.Uint32(rec[4:]) != msgCall {
		return ErrNotCall
	}
	if len(rec) < headerLen {
		return ErrShortCall
	}
	if binary.BigEndian.Uint32(rec[8:]) != Version {
		return ErrRPCMismatch
	}
	c.Prog = binary.BigEndian.Uint32(rec[12:])
	c.Vers = binary.BigEndian.Uint32(rec[16:])
	c.Proc = binary.BigEndian.Uint32(rec[20:])
	c.Record = rec
	return parseAuth(c, cache)
}

// parseAuth decodes credential and verifier and leaves the arguments.
func parseAuth(c *Call, cache *CredCache) error {
	r := xdr.NewReader(c.Record[headerLen:])
	flavor := r.Uint32()
	length := r.Uint32()
	if r.Err() != nil {
		return ErrGarbageArgs
	}
	switch {
	case length > MaxAuth:
		return AuthBadCred
	case flavor == AuthShort:
		return AuthRejectedCred
	case flavor != AuthNone && flavor != AuthSys:
		return AuthBadCred
	}
	c.CredBytes = r.Fixed(int(length))
	verfFlavor := r.Uint32()
	verf := r.Opaque(MaxAuth)
	switch {
	case errors.Is(r.Err(), xdr.ErrTooLong):
		return AuthBadVerf
	case r.Err() != nil:
		return ErrGarbageArgs
	}
	c.Args = r.Rest()
	if err := c.setCred(flavor, cache); err != nil {
		return AuthBadCred
	}
	if verfFlavor != AuthNone || len(verf) != 0 {
		return AuthBadVerf
	}
	return nil
}

// setCred decodes c.CredBytes.
func (c *Call) setCred(flavor uint32, cache *CredCache) (err error) {
	if flavor == AuthSys {
		c.Cred, err = cache.get(c.CredBytes)
		return err
	}
	c.Cred = Cred{Flavor: AuthNone, UID: nobody, GID: nobody}
	if len(c.CredBytes) != 0 {
		return errBadCred
	}
	return nil
}
