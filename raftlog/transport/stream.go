package transport

import (
	"net"
	"sync"

	"twofold/raftlog"
)

// memberAddr is a member's name as a net.Addr.
type memberAddr string

// Network names this package's kind of address.
func (memberAddr) Network() string { return "twofold" }

// String returns the member's name.
func (a memberAddr) String() string { return string(a) }

// stream is a connection after its hello.
type stream struct {
	net.Conn // TLS or TCP
	m        *Mux
	raw      net.Conn // TCP
	peer     string
	kind     raftlog.StreamKind
	inbound  bool // the member opened it
	state    *peerState
	once     sync.Once
}

// LocalAddr has this node's name.
func (s *stream) LocalAddr() net.Addr { return memberAddr(s.m.cfg.Self.Name) }

// RemoteAddr has the member's name.
func (s *stream) RemoteAddr() net.Addr { return memberAddr(s.peer) }

// Close closes the connection and gives its place back.
func (s *stream) Close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		err = s.Conn.Close()
		s.m.release(s)
	})
	return err
}

// listener hands out the inbound streams of one kind.
type listener struct {
	m    *Mux
	kind raftlog.StreamKind
	ch   chan *stream
	done chan struct{}
	mu   struct {
		sync.Mutex
		closed bool
	}
}

func newListener(m *Mux, kind raftlog.StreamKind) *listener {
	return &listener{m: m, kind: kind, ch: make(chan *stream, AcceptQueue), done: make(chan struct{})}
}

// Accept waits for the next stream.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case s := <-l.ch:
		return s, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr has this node's own name.
func (l *listener) Addr() net.Addr { return memberAddr(l.m.cfg.Self.Name) }

// Close ends Accept and closes the streams that wait for it. The next call of
// Mux.Listener with this kind begins anew.
func (l *listener) Close() error {
	l.m.forget(l)
	l.shut()
	return nil
}

// shut is Close without the Mux's lock.
func (l *listener) shut() {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return
	}
	l.mu.closed = true
	close(l.done)
	l.mu.Unlock()
	// Nothing is pushed any more, so this loop ends.
	for {
		select {
		case s := <-l.ch:
			s.Close()
		default:
			return
		}
	}
}

// full reports that a push would fail.
func (l *listener) full() bool { return len(l.ch) == cap(l.ch) }

// push queues a stream for Accept, or reports that it cannot.
func (l *listener) push(s *stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return false
	}
	select {
	case l.ch <- s:
		return true
	default:
		return false
	}
}
