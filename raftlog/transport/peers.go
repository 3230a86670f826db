package transport

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// PeerInfo is what this node knows of another member, for status.
type PeerInfo struct {
	// NodeID is the recorded id, or before the first meeting the zero value.
	NodeID identity.NodeID
	// Addrs are the addresses that it last reported of itself. They are its own
	// word: good for display and for mapping clients, not for trust.
	Addrs []netip.Addr
	// Format is the range that it last reported.
	Format Range
	// Connected says that a stream is open in either direction.
	Connected bool
	// Insecure says that streams with it are plain and leave this host, or would.
	Insecure bool
	// Problem is why the last attempt in either direction failed; empty after
	// one that succeeded.
	Problem string
}

// peerState is what the Mux keeps per other member, under Mux.mu.
type peerState struct {
	open    map[*stream]struct{}
	inbound map[raftlog.StreamKind]int // of those open, the ones that it opened
	addrs   []netip.Addr
	format  Range
	remote  netip.Addr // where the last stream led
	problem string
	metUs   bool // it sent a Meet since this process started
	foreign *foreign
}

func newPeerState() *peerState {
	return &peerState{open: map[*stream]struct{}{}, inbound: map[raftlog.StreamKind]int{}}
}

// PeerInfo returns what is known of another member. The result is false for a
// name that is not another member's.
func (m *Mux) PeerInfo(name string) (PeerInfo, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.peers[name]
	if p == nil {
		return PeerInfo{}, false
	}
	info := PeerInfo{
		Addrs:     slices.Clone(p.addrs),
		Format:    p.format,
		Connected: len(p.open) > 0,
		Insecure:  m.tls == nil && !p.remote.IsLoopback() && m.cfg.InsecurePeers,
		Problem:   p.problem,
	}
	if m.mu.binding != nil {
		member, _ := m.rosterLocked().find(name)
		info.NodeID = member.NodeID
	}
	return info, true
}

// full reports that no further stream would be admitted.
func (p *peerState) full(kind raftlog.StreamKind, inbound bool) bool {
	return len(p.open) >= MaxStreamsPerPeer || inbound && p.inbound[kind] >= MaxInboundPerKind
}

// admit turns a connection whose hello is over into a stream, unless a limit is
// reached or the Mux is closed.
func (m *Mux) admit(conn, raw net.Conn, h *hello, inbound bool) (*stream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	p := m.mu.peers[h.Node]
	if k, ok := m.rosterLocked().find(h.Node); p == nil || !ok || k.NodeID != h.NodeID {
		return nil, fmt.Errorf("node %s was removed during its hello", h.Node)
	}
	if p.full(h.Kind, inbound) {
		return nil, ErrBusy
	}
	p.addrs, p.format, p.problem, p.foreign = h.Addrs, h.Format, "", nil
	p.remote = addrOf(raw.RemoteAddr())
	s := &stream{Conn: conn, m: m, raw: raw, peer: h.Node, kind: h.Kind, inbound: inbound, state: p}
	p.open[s] = struct{}{}
	if inbound {
		p.inbound[h.Kind]++
	}
	return s, nil
}

// release gives the place of a closed stream back.
func (m *Mux) release(s *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.conns, s.raw)
	delete(s.state.open, s)
	if s.inbound {
		s.state.inbound[s.kind]--
	}
}

// crowded reports that no further stream with the member would be admitted.
func (m *Mux) crowded(member string, kind raftlog.StreamKind, inbound bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.peers[member]
	return p != nil && p.full(kind, inbound)
}

// heardOf notes what a member said of itself in a hello that led to no stream.
func (m *Mux) heardOf(h *hello) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.mu.peers[h.Node]; p != nil {
		p.addrs, p.format = h.Addrs, h.Format
	}
}

// setProblem notes why an attempt with a member failed, or with an empty text
// that one succeeded.
func (m *Mux) setProblem(member, problem string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.mu.peers[member]; p != nil {
		p.problem = problem
	}
}

// localAddrs returns the addresses at which peers can know this node: the one
// that this connection uses, and those that it listens at.
func (m *Mux) localAddrs(conn net.Conn) []netip.Addr {
	var addrs []netip.Addr
	add := func(a netip.Addr) {
		if a.IsValid() && len(addrs) < MaxAddrs && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	add(addrOf(conn.LocalAddr()))
	if m.ln == nil { // a probe
		return addrs
	}
	listen := addrOf(m.ln.Addr())
	if !listen.IsUnspecified() {
		add(listen)
		return addrs
	}
	// An error means that the list is shorter; it is information only.
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().IsGlobalUnicast() {
				add(ip.Unmap())
			}
		}
	}
	return addrs
}
