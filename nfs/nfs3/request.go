package nfs3

import (
	"context"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"twofold/nfs/export"
	"twofold/nfs/handle"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// request is one call on its way through its procedure.
type request struct {
	ctx    context.Context
	p      *Program
	call   *rpc.Call
	r      xdr.Reader  // the arguments
	w      *xdr.Writer // the reply
	vol    vfs.Volume
	root   vfs.Ino // of the export of the call's first handle, and of every handle in the reply
	rule   export.Rule
	change vfs.Call // who asks; its Cred holds for reads, too

	badTime  bool   // a time among the arguments has too many nanoseconds
	proposed bool   // a change was given to the volume
	status   status // of the reply
}

// refusal is an error that becomes an error reply without attributes.
type refusal status

// Error names the status.
func (r refusal) Error() string { return status(r).String() }

// admitted is what a handle says, after its export has admitted the client.
type admitted struct {
	root vfs.Ino // of the export
	rule export.Rule
	ref  vfs.Ref
}

// resolve is called when all arguments have been decoded. It checks that they
// were all there, that the handle is one of ours, and that the client may use
// its export.
func (q *request) resolve(fh []byte) (vfs.Ref, error) {
	if q.r.Err() != nil {
		return vfs.Ref{}, rpc.ErrGarbageArgs
	}
	vol, err := q.p.fs.Volume()
	if err != nil {
		return vfs.Ref{}, err
	}
	q.vol = vol
	a, st := q.admit(fh)
	if st != statusOK {
		return vfs.Ref{}, refusal(st)
	}
	q.root, q.rule = a.root, a.rule
	q.change.Cred = q.credBy(&q.rule)
	return a.ref, nil
}

// admit decodes a handle and holds the client against the rules of the export
// in which the handle was given out.
//
// A client that the export is not for gets what knfsd gives one whose export was
// taken away, NFS3ERR_STALE (nfsd_set_fh_dentry, fs/nfsd/nfsfh.c); a port that
// the export does not allow is NFS3ERR_PERM (nfsd_setuser_and_check_port).
func (q *request) admit(fh []byte) (admitted, status) {
	root, ref, kind := handle.Decode(q.vol, fh)
	if kind != vfs.OK {
		return admitted{}, statusOf(kind)
	}
	rule, verdict := q.p.exports.Find(root, q.call.Client)
	switch verdict {
	case export.Admitted:
		return admitted{root: root, rule: rule, ref: ref}, statusOK
	case export.BadPort:
		return admitted{}, statusPerm
	default:
		return admitted{}, statusStale
	}
}

// credBy is as whom the caller acts by a rule. The groups of a user who is not
// squashed are looked up, if this node does that.
func (q *request) credBy(rule *export.Rule) vfs.Cred {
	c := q.call.Cred
	if q.p.groups != nil && !rule.Squashes(c) {
		groups := q.p.groups(q.ctx, c.UID, c.Groups)
		c.Groups = groups[:min(len(groups), vfs.MaxGroups)]
	}
	return rule.Cred(c)
}

// cred is the caller after squashing.
func (q *request) cred() vfs.Cred { return q.change.Cred }

// mutate hands a change to the volume under the identity of this call.
func (q *request) mutate(op vfs.Op) (vfs.Result, error) {
	q.change.ID = callID(q.call, q.p.client(q.call.Client.Addr()))
	q.proposed = true
	return q.p.fs.Mutate(q.ctx, &q.change, op)
}

// callID is the identity of a call for the duplicate request cache (rule R11).
// The stamp of AUTH_SYS is left out: a client may choose another one each time
// (RFC 5531 appendix A).
func callID(call *rpc.Call, client [16]byte) vfs.CallID {
	cred := call.CredBytes
	if call.Cred.Flavor == rpc.AuthSys {
		cred = cred[min(rpc.StampLen, len(cred)):]
	}
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], call.Cred.Flavor)
	binary.BigEndian.PutUint32(head[4:], uint32(len(cred)))
	var sum xxhash.Digest
	sum.Reset()
	// A Digest's Write never fails; its error is there for io.Writer alone.
	_, _ = sum.Write(head[:])
	_, _ = sum.Write(cred)
	_, _ = sum.Write(call.Args)
	return vfs.CallID{
		Client: client,
		XID:    call.XID,
		Prog:   call.Prog,
		Vers:   call.Vers,
		Proc:   call.Proc,
		Sum:    sum.Sum64(),
	}
}

// null is procedure 0, which does nothing (RFC 1813 section 3.3.0).
func (q *request) null() error { return nil }
