package raftlog

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streams gives the StreamRaft streams of a Net the shape that hashicorp/raft
// wants, and remembers them: its transport closes none of the connections that
// it reads from, so Close does. Raft's transport for sending is given no stream
// that others open: see transport.accept.
type streams struct {
	net  Net
	name string
	dial time.Duration
	ln   net.Listener

	done chan struct{} // closed with it

	mu struct {
		sync.Mutex
		conns  map[*trackedConn]struct{}
		closed bool
	}
}

var _ raft.StreamLayer = (*streams)(nil)

func newStreams(n Net, name string, dial time.Duration) *streams {
	s := &streams{net: n, name: name, dial: dial, ln: n.Listener(StreamRaft), done: make(chan struct{})}
	s.mu.conns = map[*trackedConn]struct{}{}
	return s
}

// trackedConn leaves its streams when it is closed.
type trackedConn struct {
	net.Conn
	s *streams
}

func (c *trackedConn) Close() error {
	c.s.mu.Lock()
	delete(c.s.mu.conns, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}

func (s *streams) track(c net.Conn) (net.Conn, error) {
	t := &trackedConn{c, s}
	s.mu.Lock()
	closed := s.mu.closed
	if !closed {
		s.mu.conns[t] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	return t, nil
}

// Accept implements net.Listener, and has nothing until Close.
func (s *streams) Accept() (net.Conn, error) {
	<-s.done
	return nil, net.ErrClosed
}

// next waits for a stream that another member opens.
func (s *streams) next() (net.Conn, error) {
	c, err := s.ln.Accept()
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

// Dial implements raft.StreamLayer. A member's Raft address is its name.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, s.dial))
	defer cancel()
	c, err := s.net.Dial(ctx, string(address), StreamRaft)
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

// Close closes the listener and every stream.
func (s *streams) Close() error {
	s.mu.Lock()
	if !s.mu.closed {
		close(s.done)
	}
	s.mu.closed = true
	conns := make([]*trackedConn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Close() // it is being thrown away; its error says nothing
	}
	return s.ln.Close()
}

// Addr returns the member's name: hashicorp/raft takes it for its address.
func (s *streams) Addr() net.Addr { return memberAddr(s.name) }

type memberAddr string

func (memberAddr) Network() string  { return "member" }
func (a memberAddr) String() string { return string(a) }
