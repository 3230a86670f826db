package nfs3

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"twofold/nfs/export"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Number and Version are those of the NFS program that this package serves.
const (
	Number  = 100003
	Version = 3
)

// Exports says which clients may use an export, and how. *export.Exports is one.
type Exports interface {
	// Find returns the rule that the export with this root directory has for a
	// client. It must not block.
	Find(root vfs.Ino, client netip.AddrPort) (export.Rule, export.Verdict)
}

// Groups finds the supplementary groups of a user, given those of its call. It
// returns before ctx ends, and never fails: what it cannot find out it answers
// as it thinks best. Nobody may change the result. The method Lookup of
// *groups.Cache is one.
type Groups func(ctx context.Context, uid uint32, wire []uint32) []uint32

// Observer counts calls. proc and status are of small fixed sets.
type Observer interface {
	Observe(proc, status string, d time.Duration)
}

// Config says what a Program works with.
type Config struct {
	FS      vfs.FS   // the volume; required
	Exports Exports  // who may use it; required
	Groups  Groups   // nil: a user has the groups of its call
	Metrics Observer // nil counts nothing
	// Client is the identity of a client in the duplicate request cache. nil
	// takes the address for it.
	Client func(netip.Addr) [16]byte
	Logger *slog.Logger // nil logs nothing
}

// Program is the NFS program, version 3. It implements rpc.Handler and
// rpc.ReplySizer.
type Program struct {
	fs       vfs.FS
	exports  Exports
	groups   Groups
	metrics  Observer
	client   func(netip.Addr) [16]byte
	log      limitedLog
	requests sync.Pool // of *request
}

var _ rpc.Handler = (*Program)(nil)

// New returns a Program.
func New(cfg Config) *Program {
	p := &Program{fs: cfg.FS, exports: cfg.Exports, groups: cfg.Groups, metrics: cfg.Metrics, client: cfg.Client}
	if p.client == nil {
		p.client = netip.Addr.As16
	}
	p.log.logger, p.log.pace.Interval = cfg.Logger, logInterval
	if p.log.logger == nil {
		p.log.logger = slog.New(slog.DiscardHandler)
	}
	p.requests.New = func() any { return new(request) }
	return p
}

// procedure is one row of the table of procedures.
type procedure struct {
	name string
	// failWords is the length, in XDR words, of what follows the status of an
	// error reply without attributes. They are all zero: "not there".
	failWords int
	// change says that the procedure changes the volume, so that it must not
	// happen twice if the client repeats the call.
	change bool
	serve  func(*request) error
}

// procedures is indexed by procedure number (RFC 1813 section 3.3). It is
// never written to.
var procedures = [...]procedure{
	0:  {"null", 0, false, (*request).null},
	1:  {"getattr", 0, false, (*request).getattr},
	2:  {"setattr", wccWords, true, (*request).setattr},
	3:  {"lookup", attrWords, false, (*request).lookup},
	4:  {"access", attrWords, false, (*request).access},
	5:  {"readlink", attrWords, false, (*request).readlink},
	6:  {"read", attrWords, false, (*request).read},
	7:  {"write", wccWords, true, (*request).write},
	8:  {"create", wccWords, true, (*request).create},
	9:  {"mkdir", wccWords, true, (*request).mkdir},
	10: {"symlink", wccWords, true, (*request).symlink},
	11: {"mknod", wccWords, true, (*request).mknod},
	12: {"remove", wccWords, true, (*request).remove},
	13: {"rmdir", wccWords, true, (*request).rmdir},
	14: {"rename", 2 * wccWords, true, (*request).rename},
	15: {"link", attrWords + wccWords, true, (*request).link},
	16: {"readdir", attrWords, false, (*request).readdir},
	17: {"readdirplus", attrWords, false, (*request).readdirplus},
	18: {"fsstat", attrWords, false, (*request).fsstat},
	19: {"fsinfo", attrWords, false, (*request).fsinfo},
	20: {"pathconf", attrWords, false, (*request).pathconf},
	21: {"commit", wccWords, false, (*request).commit},
}

// Words of a post_op_attr and of a wcc_data in which nothing is there.
const (
	attrWords = 1
	wccWords  = 2
)

// ServeRPC serves one call; see rpc.Handler.
func (p *Program) ServeRPC(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	if int64(call.Proc) >= int64(len(procedures)) {
		return rpc.ErrProcUnavail
	}
	proc := &procedures[call.Proc]
	start := time.Now()

	q := p.requests.Get().(*request)
	*q = request{ctx: ctx, p: p, call: call, w: w, r: *xdr.NewReader(call.Args)}
	base := w.Len()
	err := proc.serve(q)
	if err != nil {
		w.Truncate(base)
		err = p.settle(q, proc, err)
	}
	outcome := q.status.String()
	if err != nil {
		outcome = outcomeOf(err)
	}
	*q = request{}
	p.requests.Put(q)

	if p.metrics != nil {
		p.metrics.Observe(proc.name, outcome, time.Since(start))
	}
	return err
}

// settle turns what a procedure could not put into a reply itself into an error
// reply without attributes (nil), or into an answer of the RPC layer.
func (p *Program) settle(q *request, proc *procedure, err error) error {
	var refused refusal
	switch {
	case errors.Is(err, rpc.ErrGarbageArgs):
		return rpc.ErrGarbageArgs
	case errors.As(err, &refused):
		q.reply(status(refused))
	case vfs.NeverProposed(err) && !proc.change:
		q.reply(statusJukebox)
	case !q.proposed && errors.Is(err, vfs.ErrCorrupt):
		p.log.error("stored state is corrupt", proc.name, q.call, err)
		q.reply(statusIO)
	default:
		// A change may have happened, or the node cannot tell what is true:
		// silence makes the client ask again with the same XID (rule R12). That
		// this copy of a call was never proposed says nothing of an earlier
		// copy, and JUKEBOX would have the client come back under a new XID.
		p.log.warn("call left unanswered", proc.name, q.call, err)
		return rpc.ErrDrop
	}
	for range proc.failWords {
		q.w.Uint32(0)
	}
	return nil
}

// outcomeOf names an answer of the RPC layer in metrics.
func outcomeOf(err error) string {
	if errors.Is(err, rpc.ErrGarbageArgs) {
		return "garbage_args"
	}
	return "dropped"
}
