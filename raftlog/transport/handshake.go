package transport

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"twofold/raftlog"
)

// keepAlive is for both ends: dialled and accepted connections.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}
}

// prepare sets a new connection's options and the deadline of its hello.
func (m *Mux) prepare(raw net.Conn) error {
	if t, ok := raw.(*net.TCPConn); ok {
		if err := t.SetNoDelay(true); err != nil {
			return err
		}
		if err := setUserTimeout(t); err != nil {
			return err
		}
	}
	return raw.SetDeadline(time.Now().Add(m.cfg.HelloTimeout))
}

// ownHello is what this node says on a connection.
func (m *Mux) ownHello(raw net.Conn, kind raftlog.StreamKind, to string) *hello {
	h := &hello{
		Protocol: protocol,
		Format:   m.cfg.Format,
		Kind:     kind,
		Cluster:  m.cfg.ClusterName,
		Node:     m.cfg.Self.Name,
		NodeID:   m.cfg.Self.NodeID,
		Role:     m.cfg.Self.Role,
		Wanted:   to,
		Addrs:    m.localAddrs(raw),
		Members:  m.cfg.plainMembers(),
		Probe:    m.ln == nil,
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.mu.binding; b != nil {
		h.ClusterID, h.Members, h.Ancestors, h.Joined = b.ClusterID, b.Members, b.Ancestors, b.Joined != nil
	} else {
		h.Join = m.cfg.Join
	}
	if m.mu.roster != nil {
		h.ConfigIndex = m.mu.roster.Index
	}
	return h
}

// secure performs the TLS handshake, if TLS is configured. An empty member name
// is the acceptor's side.
func (m *Mux) secure(ctx context.Context, raw net.Conn, member string) (net.Conn, certificate, error) {
	if m.tls == nil {
		return raw, certificate{}, nil
	}
	var conn *tls.Conn
	if member == "" {
		conn = tls.Server(raw, m.tls.server())
	} else {
		conn = tls.Client(raw, m.tls.client(member))
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, certificate{}, explainTLS(err, true)
	}
	peer := conn.ConnectionState().PeerCertificates
	if len(peer) == 0 {
		return nil, certificate{}, errors.New("the other end showed no certificate")
	}
	return conn, certificate{peer[0]}, nil
}

// readHello reads the peer's hello. A refusal is about its form.
func readHello(conn net.Conn) (*hello, *Refusal, error) {
	data, err := readFrame(conn)
	if err != nil {
		return nil, nil, explainTLS(err, false)
	}
	h, r := decodeHello(data)
	return h, r, nil
}

// readVerdict reads the dialler's last word.
func readVerdict(conn net.Conn, from string) (*Refusal, error) {
	data, err := readFrame(conn)
	if err != nil {
		return nil, err
	}
	var v verdict
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("verdict does not decode: %w", err)
	}
	if v.Refused != nil {
		v.Refused.adopt(from)
	}
	return v.Refused, nil
}
