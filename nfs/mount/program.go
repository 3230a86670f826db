package mount

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"twofold/nfs/export"
	"twofold/nfs/gonfs"
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

// refusalPause is the least time between two messages about refused mounts.
const refusalPause = time.Second

// Config is what the program needs. Logger may be nil.
type Config struct {
	FS      vfs.FS
	Exports *export.Table
	Handle  func(vfs.Volume, vfs.Ref) []byte // makes a file handle
	Logger  *slog.Logger
}

// Program is the rpc.Handler of program 100005, version 3.
type Program struct {
	exports *export.Table
	bridge  *gonfs.Bridge
	log     *slog.Logger
	mounts  mountList

	refused struct {
		sync.Mutex
		last time.Time // when a refusal was logged
	}
}

// New starts the program.
func New(cfg Config) (*Program, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b, err := gonfs.New(gonfs.Config(cfg))
	if err != nil {
		return nil, err
	}
	return &Program{exports: cfg.Exports, bridge: b, log: cfg.Logger}, nil
}

// Close ends the bridge to go-nfs. Calls that still run get no answer.
func (p *Program) Close() error { return p.bridge.Close() }

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
		p.dump(w)
	case procUmnt:
		return p.umnt(ctx, call, w)
	case procUmntAll:
		p.mounts.removeAll(host(call))
	case procExport:
		p.export(w)
	default:
		return rpc.ErrProcUnavail
	}
	return nil
}

// dirpath decodes the argument of MNT and UMNT.
func dirpath(call *rpc.Call) (string, error) {
	r := xdr.NewReader(call.Args)
	path := r.String(gonfs.MaxPath)
	if r.Err() != nil {
		return "", rpc.ErrGarbageArgs
	}
	return path, nil
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
		p.mounts.add(host(call), path)
		p.log.Debug("mounted", "client", call.Client, "path", path)
	} else if p.mayLogRefusal() {
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
	p.mounts.remove(host(call), path)
	w.B = append(w.B, res...)
	return nil
}

// dump appends mountlist.
func (p *Program) dump(w *xdr.Writer) {
	for _, m := range p.mounts.all() {
		w.Bool(true)
		w.String(m.host)
		w.String(m.path)
	}
	w.Bool(false)
}

// export appends exports.
func (p *Program) export(w *xdr.Writer) {
	rules := p.exports.Rules()
	if len(rules) > 0 {
		w.Bool(true)
		w.String("/")
		for _, r := range rules {
			w.Bool(true)
			w.String(r.Clients.String())
		}
		w.Bool(false)
	}
	w.Bool(false)
}

// host names the client of a call in the list of mounts.
func host(call *rpc.Call) string { return call.Client.Addr().String() }

// mayLogRefusal keeps a client that is refused in a loop from filling the log.
func (p *Program) mayLogRefusal() bool {
	p.refused.Lock()
	defer p.refused.Unlock()
	now := time.Now()
	if now.Sub(p.refused.last) < refusalPause {
		return false
	}
	p.refused.last = now
	return true
}
