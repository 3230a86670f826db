package transport

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// Mux carries all streams of one node. It implements raftlog.Net.
type Mux struct {
	cfg    Config
	tls    *tlsSetup    // nil for plain
	ln     net.Listener // nil for a probe
	log    *limitedLog
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the accepting goroutine, hellos, a running Meet
	kick   chan struct{}  // somebody met us: it is up, so ask it now
	fatal  chan error     // why this node can be no member, once

	mu struct {
		sync.Mutex
		closed    bool
		binding   *identity.Binding     // nil until met; set once
		roster    *Roster               // nil until the log has said who the members are
		conns     map[net.Conn]struct{} // every TCP connection, to close it
		peers     map[string]*peerState // one per other member
		listeners map[raftlog.StreamKind]*listener
		hellos    int                // inbound, not over
		helloFrom map[netip.Addr]int // the same by address; no zero entries
	}
}

var _ raftlog.Net = (*Mux)(nil)

// newMux checks the configuration and makes a Mux that can dial.
func newMux(cfg Config) (*Mux, error) {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Mux{cfg: cfg, log: newLimitedLog(cfg.Logger), kick: make(chan struct{}, 1), fatal: make(chan error, 1)}
	if cfg.TLS != nil {
		var err error
		if m.tls, err = loadTLS(*cfg.TLS, cfg.Self.Name); err != nil {
			return nil, err
		}
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.mu.binding, m.mu.roster = cfg.Binding, cfg.Roster
	m.mu.conns = make(map[net.Conn]struct{})
	m.mu.peers = make(map[string]*peerState)
	m.mu.listeners = make(map[raftlog.StreamKind]*listener)
	m.mu.helloFrom = make(map[netip.Addr]int)
	for _, p := range m.rosterLocked().Members {
		if p.Name != cfg.Self.Name {
			m.mu.peers[p.Name] = newPeerState()
		}
	}
	return m, nil
}

// Listen checks the configuration, opens the listener and answers hellos.
func Listen(cfg Config) (*Mux, error) {
	m, err := newMux(cfg)
	if err != nil {
		return nil, err
	}
	if err := m.listen(); err != nil {
		m.cancel()
		return nil, err
	}
	m.wg.Go(m.acceptLoop)
	return m, nil
}

func (m *Mux) listen() error {
	cfg := &m.cfg
	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for peers at %s: %w", cfg.Listen, err)
	}
	if m.loopbackOnly() && !addrOf(ln.Addr()).IsLoopback() {
		ln.Close()
		return fmt.Errorf("listen address %s leads to %s, which is not loopback: configure tls or set insecure_peers: true", cfg.Listen, ln.Addr())
	}
	m.ln = ln
	if m.tls == nil && cfg.InsecurePeers {
		cfg.Logger.Warn("connections between nodes are plain and unauthenticated", slog.String("listen", ln.Addr().String()))
	}
	return nil
}

// loopbackOnly reports that no plain byte may leave this host.
func (m *Mux) loopbackOnly() bool { return m.tls == nil && !m.cfg.InsecurePeers }

// Addr returns the address that the node listens at.
func (m *Mux) Addr() net.Addr { return m.ln.Addr() }

// Binding returns the cluster that this node is bound to, or nil.
func (m *Mux) Binding() *identity.Binding {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.binding
}

// checker returns the judge of hellos as of now.
func (m *Mux) checker() checker {
	m.mu.Lock()
	defer m.mu.Unlock()
	return checker{cfg: &m.cfg, binding: m.mu.binding, roster: m.rosterLocked(), fromLog: m.mu.roster != nil}
}

// Listener returns the inbound streams of a kind. Calls with the same kind
// return the same listener until it is closed.
func (m *Mux) Listener(kind raftlog.StreamKind) net.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.mu.listeners[kind]; l != nil {
		return l
	}
	l := newListener(m, kind)
	if m.mu.closed {
		l.shut()
		return l
	}
	m.mu.listeners[kind] = l
	return l
}

// consumer returns the listener of a kind, or nil if nobody asked for it.
func (m *Mux) consumer(kind raftlog.StreamKind) *listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.listeners[kind]
}

// forget takes a listener that is being closed out.
func (m *Mux) forget(l *listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.listeners[l.kind] == l {
		delete(m.mu.listeners, l.kind)
	}
}

// track notes a TCP connection so that Close can end it.
func (m *Mux) track(c net.Conn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	m.mu.conns[c] = struct{}{}
	return nil
}

// drop closes a TCP connection that did not become a stream.
func (m *Mux) drop(c net.Conn) {
	c.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.conns, c)
}

// Close ends all streams, listeners and goroutines of this node's transport.
// Connections are cut, not wound up: a peer that does not read cannot delay it.
func (m *Mux) Close() error {
	m.mu.Lock()
	if m.mu.closed {
		m.mu.Unlock()
		return nil
	}
	m.mu.closed = true
	conns, listeners := m.mu.conns, m.mu.listeners
	m.mu.conns = make(map[net.Conn]struct{})
	m.mu.listeners = make(map[raftlog.StreamKind]*listener)
	m.mu.Unlock()

	m.cancel()
	err := m.ln.Close()
	for c := range conns {
		c.Close()
	}
	for _, l := range listeners {
		l.shut()
	}
	m.wg.Wait()
	return err
}

// addrOf returns the IP of a TCP address, or the zero Addr.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
