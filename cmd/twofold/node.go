package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"twofold/metrics"
	"twofold/nfs"
	"twofold/nfs/export"
	"twofold/nfs/groups"
	"twofold/nfs/mount"
	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
	"twofold/replica"
	"twofold/replica/vfs"
)

// node is one data node or witness with everything that belongs to it.
type node struct {
	cfg      *config
	base     *slog.Logger // for package raftlog, which adds the name itself
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  nodeMetrics

	nfsListener  net.Listener // nil on a witness
	httpListener net.Listener
	id           identity.Identity
	binding      *identity.Binding // nil before the first meeting
	remembered   *roster           // as it was at the start, or after the first meeting; nil for none
	dir          *identity.Dir
	mux          *transport.Mux
	store        *replica.Store // nil on a witness
	nfs          *nfs.Server    // nil on a witness
	programs     []nfs.Program  // that it serves
	mount        *mount.Program // nil on a witness
	http         *metrics.Server
	admin        *adminServer
	exports      *export.Exports // nil on a witness
	keeper       *exportKeeper   // nil on a witness
	groups       *groups.Cache   // nil unless the config asks for it
	mapper       portMapper
	seed         []vfs.Export // what the exports file said when the node was opened
	// hangups brings SIGHUPs; nil if nobody sends any.
	hangups <-chan os.Signal

	// parts are what there is only after the members have met.
	parts atomic.Pointer[nodeParts]

	// roster is who the members are now, by the newest configuration.
	roster atomic.Pointer[roster]

	// front is held by whoever begins or ends to serve clients, and guards nfs and
	// nfsListener once the node runs.
	front sync.Mutex
	// resumeLease undoes what a drain did to leases; guarded by front.
	resumeLease func()
	// refusal is why no clients are served; nil while they are.
	refusal  atomic.Pointer[string]
	stopping chan struct{} // closed when close begins
	short    atomic.Bool   // a witness's disk is down to its reserve

	running sync.WaitGroup
	// failed takes the first error of a goroutine that must not end.
	failed chan error
}

// nodeParts are set once, when this node takes part in the log.
type nodeParts struct {
	raft  *raftlog.Node
	store *replica.Store // nil on a witness
}

// nodeMetrics are the collectors of one node.
type nodeMetrics struct {
	nfs     *metrics.NFS
	raft    *metrics.Raft
	replica *metrics.Replica
	gateway *metrics.Gateway
}

// openNode binds the ports, takes the directory and opens what is in it. On an
// error nothing is left open, and nothing has been changed on disk unless the
// error is about the content of the directory itself.
func openNode(cfg *config, log *slog.Logger) (*node, error) {
	n := &node{cfg: cfg, base: log, log: log.With("node", cfg.Node), failed: make(chan error, 1), stopping: make(chan struct{})}
	n.mapper.node = n
	for _, step := range []func() error{
		n.readExports, n.checkDir, n.newMetrics, n.listen, n.probe, n.openMux, n.takeDir, n.openStore, n.recordFormats, n.newServers,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, n.closeFiles())
		}
	}
	return n, nil
}

// checkDir refuses a directory that is another node's, that a newer program or
// one with another log_store wrote, or that has no room for the log. Removing
// files must stay possible on a volume that is full, so the bound is lower than
// the one at which changes are refused.
func (n *node) checkDir() error {
	var err error
	if n.id, err = identity.Load(n.cfg.Dir, n.cfg.identity()); err != nil {
		return err
	}
	if n.binding, err = identity.LoadBinding(n.cfg.Dir, n.id); err != nil {
		return err
	}
	n.remembered = n.loadRoster()
	n.readdress()
	n.roster.Store(n.remembered)
	if n.remembered == nil {
		n.roster.Store(configuredRoster(n.cfg, n.binding))
	}
	if err := checkFormats(n.cfg.Dir); err != nil {
		return err
	}
	if err := checkLogKind(n.cfg); err != nil {
		return err
	}
	free, err := freeBytes(n.cfg.Dir)
	if err != nil {
		return err
	}
	if need := n.cfg.Reserve / startReserveShare; free < need {
		return fmt.Errorf("directory %s: %s are free and the log needs %s: make room, or lower reserve in the config",
			n.cfg.Dir, humanBytes(uint64(free)), need)
	}
	return nil
}

// startReserveShare is which part of the reserve must be free to start.
const startReserveShare = 4

// newMetrics makes the collectors that this role shows.
func (n *node) newMetrics() error {
	reg, err := metrics.NewRegistry(buildVersion(), n.cfg.Node, string(n.cfg.Role))
	if err != nil {
		return err
	}
	n.registry = reg
	if n.metrics.raft, err = metrics.NewRaft(reg); err != nil || !n.cfg.isData() {
		return err
	}
	if n.metrics.nfs, err = metrics.NewNFS(reg); err != nil {
		return err
	}
	if n.metrics.gateway, err = metrics.NewGateway(reg); err != nil {
		return err
	}
	n.metrics.replica, err = metrics.NewReplica(reg)
	return err
}

// listen binds the ports for clients and people.
func (n *node) listen() error {
	var err error
	if n.httpListener, err = bind("http.listen", n.cfg.HTTP.Listen); err != nil {
		return err
	}
	if n.cfg.isData() {
		n.nfsListener, err = bind("nfs.listen", n.cfg.NFS.Listen)
	}
	return err
}

// bind listens at the address that a key of the config names.
func bind(key, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, cannotListen(err))
	}
	return l, nil
}

// cannotListen adds what to do to the error of an address that cannot be had.
func cannotListen(err error) error {
	var dns *net.DNSError
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "stop what uses it, or choose another one in the config"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "choose an address of this machine in the config"
	case errors.Is(err, syscall.EACCES):
		remedy = "choose a port above 1023 in the config, or give the program the right (CAP_NET_BIND_SERVICE)"
	case errors.As(err, &dns):
		remedy = "correct the host name in the config"
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, remedy)
}

func (n *node) recordFormats() error { return recordFormats(n.cfg.Dir) }

// muxConfig is what the connections to the other members need.
func (n *node) muxConfig() (transport.Config, error) {
	members := make([]transport.Member, 0, len(n.cfg.Members))
	for _, m := range n.cfg.Members {
		members = append(members, transport.Member{Name: m.Name, Role: m.Role, Addr: m.Addr})
	}
	cfg := transport.Config{
		Listen:        n.cfg.Listen,
		Self:          n.id.Member(),
		ClusterName:   n.cfg.Cluster,
		Members:       members,
		Binding:       n.binding,
		Join:          n.id.Join,
		Bind:          func(b identity.Binding) error { return n.dir.Bind(b) },
		Format:        commonFormat,
		InsecurePeers: n.cfg.InsecurePeers,
		Logger:        n.log,
	}
	if t := n.cfg.TLS; t.Cert != "" {
		cfg.TLS = &transport.TLS{Cert: t.Cert, Key: t.Key, CA: t.CA}
	}
	if n.binding == nil || n.remembered == nil {
		return cfg, nil
	}
	r, err := n.remembered.forTransport()
	cfg.Roster = &r
	return cfg, err
}

// probe asks the members that are up whether this node can be one of them. Its
// directory may be sound and yet be of another cluster with the same names, or
// have been wiped: only the others know, and so far nothing was changed.
func (n *node) probe() error {
	cfg, err := n.muxConfig()
	if err != nil {
		return err
	}
	return n.ofDir(n.fence(transport.Probe(context.Background(), cfg)))
}

// ofDir names the directory in an error that says to whom it belongs.
func (n *node) ofDir(err error) error {
	for _, final := range []error{transport.ErrStranger, transport.ErrFormattedAnew, transport.ErrDisagree, transport.ErrRemoved, transport.ErrFenced} {
		if errors.Is(err, final) {
			return fmt.Errorf("directory %s: %w", n.cfg.Dir, err)
		}
	}
	return err
}

// openMux begins to answer the other members' hellos. Streams begin much later:
// their listeners are made when the log is opened.
func (n *node) openMux() error {
	cfg, err := n.muxConfig()
	if err != nil {
		return err
	}
	n.mux, err = transport.Listen(cfg)
	return cannotListen(err)
}

// takeDir locks the directory. It writes the process id there, so everything
// that can be refused without that comes before.
func (n *node) takeDir() error {
	var err error
	n.dir, err = identity.Open(n.cfg.Dir, n.cfg.identity())
	return err
}

// newServers makes the servers, which do not serve yet.
func (n *node) newServers() error {
	n.http = metrics.NewServer(metrics.ServerConfig{
		Gatherer: n.registry,
		Ready:    n.ready,
		Status:   func(ctx context.Context) any { return n.status(ctx) },
		Logger:   n.log,
	})
	var err error
	if n.admin, err = newAdminServer(n.dir.Path(), n); err != nil {
		return err
	}
	if !n.cfg.isData() {
		return nil
	}
	return n.openNFS()
}

// run serves until ctx ends or something fails. It does not close the node.
func (n *node) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.serve("http", func() error { return n.http.Serve(n.httpListener) })
	n.serve("admin", n.admin.serve)
	b, err := n.mux.Meet(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return n.ofDir(n.fence(err))
	}
	if err := n.learnMembers(b); err != nil {
		return err
	}
	if err := n.openLog(); err != nil {
		return err
	}
	p := n.parts.Load()
	n.serve("tender", func() error { return n.tendMembers(ctx, p) })
	n.serve("observer", func() error { return n.observe(ctx, p) })
	if n.cfg.isData() {
		n.serveClients(ctx, p)
	} else {
		n.serve("hangups", func() error { return ignoreHangups(ctx, n.log, n.hangups) })
	}
	return n.wait(ctx)
}

// volumePoll is how often a node that starts looks whether it knows its volume.
const volumePoll = 10 * time.Millisecond

// awaitVolume returns true once the volume is known, false if ctx ends first.
func awaitVolume(ctx context.Context, s *replica.Store) bool {
	tick := time.NewTicker(volumePoll)
	defer tick.Stop()
	for {
		if _, err := s.Volume(); err == nil {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// wait returns nil when ctx ends, or why the node cannot go on. That most members
// are of another cluster may come out only now, if they started after this node.
func (n *node) wait(ctx context.Context) error {
	p := n.parts.Load()
	var storeFatal <-chan error
	if p.store != nil {
		storeFatal = p.store.Fatal()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.failed:
		return err
	case err := <-p.raft.Fatal():
		return n.ofDisk(err)
	case err := <-n.mux.Fatal():
		return n.ofDir(n.fence(err))
	case err := <-storeFatal:
		return err
	}
}

// serve runs a server in a goroutine. That it ends with an error ends the node.
func (n *node) serve(name string, f func() error) {
	n.running.Go(func() {
		if err := f(); err != nil {
			n.fail(fmt.Errorf("%s server: %w", name, err))
		}
	})
}

// fail notes the first error after which the node must end.
func (n *node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}
