// Package rpc has the messages of ONC RPC version 2 (RFC 5531) over TCP: call
// and reply headers, AUTH_NONE and AUTH_SYS credentials, and record marking.
//
// # Purpose
//
// It is what the server (package nfs), the client (nfs/client) and the bridge to
// go-nfs share. Sockets, limits across calls and goroutines belong to package
// nfs; here bytes are parsed and built.
//
// # Contract
//
// Whatever comes from the wire is bounded: a record and its fragments by
// [RecordLimits], a credential by [MaxAuth] bytes, a machine name by
// [MaxMachine], a group list by [MaxGroups]. Nothing is allocated by a length
// from the wire except through the caller's own function ([Grow]).
//
// Which calls are refused how follows RFC 5531 section 9 and, where it leaves a
// choice, Linux (svc_process_common in net/sunrpc/svc.c, net/sunrpc/svcauth.c):
//
//	not a call, e.g. a reply       ignored                  [ErrNotCall]
//	ends before the procedure      connection closed        [ErrShortCall]
//	RPC version other than 2       MSG_DENIED, RPC_MISMATCH [ErrRPCMismatch]
//	ends within the credential     GARBAGE_ARGS             [ErrGarbageArgs]
//	unknown flavor, bad credential AUTH_BADCRED             [AuthError]
//	AUTH_SHORT                     AUTH_REJECTEDCRED        [AuthError]
//	verifier other than AUTH_NONE  AUTH_BADVERF             [AuthError]
//
// RPCSEC_GSS (6) and AUTH_TLS (7, whose probe is a NULL call: RFC 9289 section
// 4.1) are unknown flavors here, so a client that may goes on without them.
// AUTH_SHORT stands for a credential that the server gave a name to. This one
// never does, so the client's name is out of date, for which RFC 5531 appendix A
// has AUTH_REJECTEDCRED: the client then shows its AUTH_SYS credential again.
// Linux answers AUTH_BADCRED there, too. AUTH_REJECTEDVERF belongs to flavors
// whose verifiers expire, and AUTH_TOOWEAK to a [Handler].
//
// Credentials are judged before the program is looked up, as Linux does it.
//
// # Concurrency
//
// There are no goroutines and no locks: each value belongs to one goroutine at a
// time. A [Cred] that a [CredCache] gave out is shared by calls and read only.
//
// # Format
//
// A record on TCP is one or more fragments, each led by a mark of four bytes:
// the highest bit says "last fragment", the others are its length (RFC 5531
// section 11).
//
//	call:  xid 0 2 prog vers proc  flavor len cred...  flavor len verf...  args
//	reply: xid 1 0                 flavor len verf...  accept_stat         results
//	       xid 1 1                 reject_stat ...
package rpc
