package gonfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	gonfs "github.com/willscott/go-nfs"
	"golang.org/x/time/rate"

	"twofold/nfs/export"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

const (
	progMount    = 100005
	versionMount = 3

	// MaxPath is MNTPATHLEN (RFC 1813 section 5.1.1).
	MaxPath = gonfs.MntPathLen
)

// replyLimits bounds a reply of go-nfs: MNT's has a handle and two flavors.
var replyLimits = rpc.RecordLimits{Bytes: 4 << 10, Fragments: 1}

// errClosed is returned after Close.
var errClosed = errors.New("gonfs: bridge closed")

// Config is what a Bridge needs. Logger may be nil.
type Config struct {
	FS      vfs.FS
	Exports Exports
	Handle  func(v vfs.Volume, root vfs.Ino, ref vfs.Ref) []byte // makes a file handle
	Logger  *slog.Logger
}

// Exports says by which export a client may mount a path. *export.Exports is one.
type Exports interface {
	// Mount returns the export and the names below it that have to be walked.
	// path is clean and absolute.
	Mount(path string, client netip.AddrPort) (e vfs.Export, rest string, v export.Verdict)
}

// Validate reports what is missing.
func (c *Config) Validate() error {
	if c.FS == nil || c.Exports == nil || c.Handle == nil {
		return errors.New("gonfs: FS, Exports and Handle are needed")
	}
	return nil
}

// Bridge hands MOUNT calls to go-nfs.
type Bridge struct {
	listener *listener
	cancel   context.CancelFunc
	served   chan struct{} // closed when the accept loop has ended
}

// New starts a go-nfs server on a listener in memory.
func New(cfg Config) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Bridge{listener: newListener(), cancel: cancel, served: make(chan struct{})}
	server := &gonfs.Server{Handler: &handler{cfg: cfg, pace: rate.Sometimes{Interval: warningPause}}, Context: ctx}
	go func() {
		defer close(b.served)
		_ = server.Serve(b.listener) // it ends when Close closes the listener, by that error
	}()
	return b, nil
}

// Close stops the server. Calls under way fail.
func (b *Bridge) Close() error {
	err := b.listener.Close()
	b.cancel()
	<-b.served
	return err
}

// Null has go-nfs answer NULL and returns its results.
func (b *Bridge) Null(ctx context.Context, call *rpc.Call) ([]byte, error) {
	return b.call(ctx, call, uint32(gonfs.MountProcNull), nil)
}

// Mnt has go-nfs answer MNT and returns its results and their status.
func (b *Bridge) Mnt(ctx context.Context, call *rpc.Call, path string) ([]byte, gonfs.MountStatus, error) {
	res, err := b.call(ctx, call, uint32(gonfs.MountProcMount), pathArgs(path))
	if err != nil {
		return nil, 0, err
	}
	r := xdr.NewReader(res)
	status := gonfs.MountStatus(r.Uint32())
	return res, status, r.Err()
}

// Umnt has go-nfs answer UMNT and returns its results.
func (b *Bridge) Umnt(ctx context.Context, call *rpc.Call, path string) ([]byte, error) {
	return b.call(ctx, call, uint32(gonfs.MountProcUmnt), pathArgs(path))
}

// pathArgs encodes a path. Linux's mountd takes an empty one for "/"; go-nfs
// takes it for the end of the record.
func pathArgs(path string) []byte {
	if path == "" {
		path = "/"
	}
	var w xdr.Writer
	w.String(path)
	return w.B
}

// call makes one call over a connection of its own. go-nfs reads a path with a
// single Read, so the whole record goes out in a single Write.
func (b *Bridge) call(ctx context.Context, call *rpc.Call, proc uint32, args []byte) ([]byte, error) {
	nc, err := b.listener.dial(&peer{ctx: ctx, client: call.Client})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer func() {
		stop()
		_ = nc.Close() // go-nfs's goroutines end by it
	}()
	var w xdr.Writer
	rpc.BeginRecord(&w)
	rpc.AppendCall(&w, call.XID, progMount, versionMount, proc, &rpc.Cred{Flavor: rpc.AuthNone})
	w.B = append(w.B, args...)
	rpc.EndRecord(&w, 0)
	if _, err := nc.Write(w.B); err != nil {
		return nil, fmt.Errorf("gonfs: write: %w", err)
	}
	rec, err := rpc.NewRecordReader(bufio.NewReader(nc), replyLimits).Next(grow)
	if err != nil {
		return nil, fmt.Errorf("gonfs: read: %w", err)
	}
	return rpc.ParseReply(rec)
}

// grow makes room for a reply, which replyLimits has bounded.
func grow(b []byte, n int, _ bool) ([]byte, error) { return append(b, make([]byte, n)...), nil }

// asPeer returns who is behind a connection of go-nfs.
func asPeer(c net.Conn) (*peer, bool) {
	p, ok := c.RemoteAddr().(*peer)
	return p, ok
}
