package gonfs

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// listener is a net.Listener in memory.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr names the listener.
func (l *listener) Addr() net.Addr { return memoryAddr{} }

// dial makes a connection whose remote address, at the server's end, is p.
func (l *listener) dial(p *peer) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- peerConn{Conn: far, peer: p}:
		return near, nil
	case <-l.closed:
		return nil, errClosed
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// peerConn is the server's end of a connection in memory.
type peerConn struct {
	net.Conn
	peer *peer
}

// RemoteAddr returns the *peer.
func (c peerConn) RemoteAddr() net.Addr { return c.peer }

// peer is the address of the client whose call a connection carries, and the
// context of that call: an address is the one thing of ours that go-nfs hands
// to its handler.
type peer struct {
	ctx    context.Context
	client netip.AddrPort
}

// Network names the kind of the client's own connection.
func (p *peer) Network() string { return "tcp" }

// String returns the client's address and port.
func (p *peer) String() string { return p.client.String() }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }
