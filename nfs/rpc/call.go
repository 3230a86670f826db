package rpc

import (
	"context"
	"errors"
	"net/netip"

	"twofold/nfs/xdr"
)

// Auth flavors (RFC 5531 section 8.2). All but the first two are refused.
const (
	AuthNone  uint32 = 0
	AuthSys   uint32 = 1
	AuthShort uint32 = 2
)

// Cred is the caller as it describes itself. For AUTH_NONE the ids are those
// of nobody (65534).
type Cred struct {
	Flavor  uint32
	Machine string
	UID     uint32
	GID     uint32
	Groups  []uint32
}

// Call is one call that passed header checks.
type Call struct {
	XID    uint32
	Prog   uint32
	Vers   uint32
	Proc   uint32
	Cred   Cred
	Client netip.AddrPort // address of the peer of the connection
	// CredBytes and Args alias the record: the raw credential body and the
	// procedure's arguments. They are valid until the handler returns.
	CredBytes []byte
	Args      []byte
	// Record is the whole call message, for a program that hands it on.
	Record []byte
}

// Errors by which a Handler says what the RPC layer is to answer instead of
// results. Any other error drops the connection, too.
var (
	// ErrProcUnavail answers PROC_UNAVAIL.
	ErrProcUnavail = errors.New("rpc: procedure unavailable")
	// ErrGarbageArgs answers GARBAGE_ARGS.
	ErrGarbageArgs = errors.New("rpc: arguments do not decode")
	// ErrSystem answers SYSTEM_ERR.
	ErrSystem = errors.New("rpc: system error")
	// ErrTooWeak answers MSG_DENIED, AUTH_ERROR, AUTH_TOOWEAK.
	ErrTooWeak = errors.New("rpc: credential too weak")
	// ErrDrop sends nothing and closes the connection, so that the client
	// comes back with the same XID (rule R12).
	ErrDrop = errors.New("rpc: no answer, connection closed")
)

// Handler serves one version of one program.
type Handler interface {
	// ServeRPC decodes call.Args, acts, and appends the procedure's results to
	// w, which already holds a reply header of SUCCESS. On an error whatever
	// it appended is discarded. It is called concurrently, for calls of one
	// connection too. ctx ends when the server must stop at once.
	ServeRPC(ctx context.Context, call *Call, w *xdr.Writer) error
}
