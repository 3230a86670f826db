package mount

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/export"
	"twofold/nfs/gonfs"
	"twofold/nfs/pace"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Procedures (RFC 1813 section 5.2).
const (
	procNull    = 0
	procMnt     = 1
	procDump    = 2
	procUmnt    = 3
	procUmntAll = 4
	procExport  = 5
)

// Config is what the program needs.
type Config struct {
	FS      vfs.FS
	Exports *export.Exports
	Handle  func(v vfs.Volume, root vfs.Ino, ref vfs.Ref) []byte // makes a file handle
	Mounts  vfs.MountList                                        // nil: no list is kept, and DUMP's is empty
	Logger  *slog.Logger                                         // nil: nothing is logged
}

// linePause is the least time between two lines of one kind in the log that
// clients can cause, so that one in a loop does not fill it.
const linePause = time.Second

// Program is the rpc.Handler of program 100005, version 3.
type Program struct {
	exports *export.Exports
	bridge  *gonfs.Bridge
	mounts  *recorder
	log     *slog.Logger
	refused rate.Sometimes
	failed  rate.Sometimes
}

// New starts the program.
func New(cfg Config) (*Program, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Exports == nil {
		return nil, errors.New("mount: Exports are needed")
	}
	b, err := gonfs.New(gonfs.Config{FS: cfg.FS, Exports: cfg.Exports, Handle: cfg.Handle, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return &Program{
		exports: cfg.Exports, bridge: b, mounts: newRecorder(cfg.Mounts, cfg.Logger), log: cfg.Logger,
		refused: rate.Sometimes{Interval: linePause}, failed: rate.Sometimes{Interval: linePause},
	}, nil
}

// Close ends the bridge to go-nfs and the work on the list of mounts. Calls that
// still run get no answer.
func (p *Program) Close() error {
	p.mounts.close()
	return p.bridge.Close()
}

// ServeRPC serves one call.
func (p *Program) ServeRPC(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	switch call.Proc {
	case procNull:
		res, err := p.bridge.Null(ctx, call)
		w.B = append(w.B, res...)
		return err
	case procMnt:
		return p.mnt(ctx, call, w)
	case procDump:
		return p.dump(ctx, w)
	case procUmnt:
		return p.umnt(ctx, call, w)
	case procUmntAll:
		if p.exports.Admits(call.Client) {
			p.mounts.removeAll(host(call))
		}
	case procExport:
		p.export(w)
	default:
		return rpc.ErrProcUnavail
	}
	return nil
}

func (p *Program) mnt(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	path, err := dirpath(call)
	if err != nil {
		return err
	}
	res, status, err := p.bridge.Mnt(ctx, call, path)
	if err != nil {
		return err
	}
	if status == 0 {
		p.mounts.add(entry(call, path))
		p.log.Debug("mounted", "client", call.Client, "path", path)
	} else if pace.Due(&p.refused) {
		p.log.Warn("mount refused", "client", call.Client, "path", path, "mountstat", uint32(status))
	}
	w.B = append(w.B, res...)
	return nil
}

func (p *Program) umnt(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	path, err := dirpath(call)
	if err != nil {
		return err
	}
	res, err := p.bridge.Umnt(ctx, call, path)
	if err != nil {
		return err
	}
	// Each change is an entry of the cluster's log; strangers get none.
	if p.exports.Admits(call.Client) {
		p.mounts.remove(entry(call, path))
	}
	w.B = append(w.B, res...)
	return nil
}

// dump answers with the cluster's list. MOUNT has no status for a list that
// cannot be read, so that the client is told of a system error: an empty list
// would be a lie.
func (p *Program) dump(ctx context.Context, w *xdr.Writer) error {
	mounts, err := p.mounts.all(ctx)
	if err != nil {
		if pace.Due(&p.failed) {
			p.log.Warn("the list of mounts cannot be read", "err", err)
		}
		return rpc.ErrSystem
	}
	appendMounts(w, mounts)
	return nil
}

// export appends exports: every path with its clients as the table names them.
func (p *Program) export(w *xdr.Writer) {
	for _, e := range p.exports.List() {
		w.Bool(true)
		w.String(e.Path)
		for _, name := range e.Names() {
			w.Bool(true)
			w.String(name)
		}
		w.Bool(false)
	}
	w.Bool(false)
}
