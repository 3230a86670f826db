package export

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"twofold/replica/vfs"
)

// Resolver finds the addresses of host names. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what Exports needs.
type Config struct {
	Resolver Resolver     // nil: net.DefaultResolver
	Logger   *slog.Logger // nil: nothing is logged
}

// Exports is the export table in force.
type Exports struct {
	log      *slog.Logger
	resolver Resolver

	current atomic.Pointer[table] // never nil

	mu struct {
		sync.Mutex
		source []vfs.Export     // what current was compiled from
		hosts  map[string]*host // the names in source
	}

	wake   chan struct{} // tells the resolver that mu.hosts has changed
	cancel context.CancelFunc
	ended  chan struct{} // closed when the resolver has ended
}

// New returns an empty table, which admits nobody, and starts the goroutine
// that resolves host names.
func New(cfg Config) *Exports {
	x := &Exports{log: cfg.Logger, resolver: cfg.Resolver, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if x.resolver == nil {
		x.resolver = net.DefaultResolver
	}
	x.mu.hosts = make(map[string]*host)
	x.current.Store(&table{})
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	go x.resolve(ctx)
	return x
}

// Close ends the resolving of host names. The table stays as it is.
func (x *Exports) Close() error {
	x.cancel()
	<-x.ended
	return nil
}

// Set puts a table in force, for calls that begin afterwards. On an error the
// old one stays in force. A host name of the new table that the old one did not
// have matches nobody until it is resolved, in the background.
func (x *Exports) Set(et vfs.ExportTable) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	t, err := newTable(et.Exports, x.addrsLocked)
	if err != nil {
		return fmt.Errorf("export table version %d: %w", et.Version, err)
	}
	x.mu.source = append([]vfs.Export(nil), et.Exports...)
	now, hosts := time.Now(), make(map[string]*host, len(t.hosts))
	for _, name := range t.hosts {
		if hosts[name] = x.mu.hosts[name]; hosts[name] == nil {
			hosts[name] = &host{due: now}
		}
	}
	x.mu.hosts = hosts
	x.current.Store(t)
	x.kick()
	return nil
}

// Find returns the rule that an export has for a client, by the inode of the
// export's root and by the client's address and source port. The Rule is valid
// if the verdict is Admitted. It takes no lock and allocates nothing.
func (x *Exports) Find(root vfs.Ino, client netip.AddrPort) (Rule, Verdict) {
	e := x.current.Load().byRoot[root]
	if e == nil {
		return Rule{}, NotExported
	}
	return e.find(client)
}

// Mount returns the export by which a client may mount a path, and the names
// below it that have to be walked, without a slash in front. path must be clean
// (path.Clean) and absolute. As in mountd it is the longest export at or above
// the path that is for this client. The export is valid if the verdict is
// Admitted.
func (x *Exports) Mount(path string, client netip.AddrPort) (export vfs.Export, rest string, v Verdict) {
	e, rest, v := x.current.Load().mount(path, client)
	if v != Admitted {
		return vfs.Export{}, "", v
	}
	return e.Export, rest, v
}

// Admits reports whether a client is one of any export, whatever its port.
func (x *Exports) Admits(client netip.AddrPort) bool {
	return x.current.Load().admits(client.Addr().Unmap().WithZone(""))
}

// List returns the exports in the order of their paths. They must not be
// changed.
func (x *Exports) List() []*Entry { return x.current.Load().entries }
