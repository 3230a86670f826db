package rafttest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// maxBuffered bounds the bytes on their way in one direction of a stream.
const maxBuffered = 32 << 20

// stream is one end of a connection.
type stream struct {
	n       *Network
	route   route // of what is written here
	in, out *pipe
	peer    *stream
}

var _ net.Conn = (*stream)(nil)

func (s *stream) Read(b []byte) (int, error)  { return s.in.read(b) }
func (s *stream) Write(b []byte) (int, error) { return s.out.write(b) }

// Close breaks both directions at once; what was not read yet is lost.
func (s *stream) Close() error {
	s.n.mu.Lock()
	delete(s.n.mu.streams, s)
	delete(s.n.mu.streams, s.peer)
	s.n.mu.Unlock()
	s.in.close()
	s.out.close()
	return nil
}

func (s *stream) LocalAddr() net.Addr  { return addr(s.route.from) }
func (s *stream) RemoteAddr() net.Addr { return addr(s.route.to) }

func (s *stream) SetDeadline(t time.Time) error {
	s.in.setDeadline(&s.in.mu.readBy, t)
	s.out.setDeadline(&s.out.mu.writeBy, t)
	return nil
}

func (s *stream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(&s.in.mu.readBy, t)
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(&s.out.mu.writeBy, t)
	return nil
}

// chunk is one write on its way.
type chunk struct {
	data   []byte
	at     time.Time // when it arrives, holds aside
	kind   Message   // of raft's, if the stream is one
	answer bool
}

// pipe is one direction of a stream.
type pipe struct {
	n        *Network
	route    route
	exchange *exchange // of the whole stream; under n.mu
	dialer   bool      // what is written here comes from who opened the stream

	mu struct {
		sync.Mutex
		chunks          []chunk
		bytes           int
		closed          bool
		readBy, writeBy time.Time
		changed         chan struct{} // closed at every change
	}
}

func newPipe(n *Network, r route) *pipe {
	p := &pipe{n: n, route: r}
	p.mu.changed = make(chan struct{})
	return p
}

func (p *pipe) broadcastLocked() {
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.closed {
		p.mu.closed = true
		p.broadcastLocked()
	}
}

func (p *pipe) setDeadline(d *time.Time, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*d = t
	p.broadcastLocked()
}

func (p *pipe) write(b []byte) (int, error) {
	for {
		pol, _ := p.n.policy(p.route)
		p.mu.Lock()
		switch {
		case p.mu.closed:
			p.mu.Unlock()
			return 0, net.ErrClosed
		case passed(p.mu.writeBy):
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case p.mu.bytes < maxBuffered:
			c := chunk{data: append([]byte(nil), b...), at: time.Now().Add(pol.delay)}
			c.kind, c.answer = p.n.note(p, b)
			p.mu.chunks = append(p.mu.chunks, c)
			p.mu.bytes += len(b)
			p.broadcastLocked()
			p.mu.Unlock()
			return len(b), nil
		}
		changed, by := p.mu.changed, p.mu.writeBy
		p.mu.Unlock()
		wait(by, changed, nil)
	}
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		pol, moved := p.n.policy(p.route)
		p.mu.Lock()
		var next time.Time
		if passed(p.mu.readBy) {
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		if len(p.mu.chunks) > 0 && !pol.held && !p.mu.closed {
			c := &p.mu.chunks[0]
			held, changed := p.n.holds(p.route, c.kind, c.answer)
			if held {
				moved = changed
			} else if !c.at.After(time.Now()) {
				n := copy(b, c.data)
				if c.data = c.data[n:]; len(c.data) == 0 {
					p.mu.chunks = p.mu.chunks[1:]
				}
				p.mu.bytes -= n
				p.broadcastLocked()
				p.mu.Unlock()
				return n, nil
			}
			if !held {
				next = c.at
			}
		} else if p.mu.closed {
			p.mu.Unlock()
			return 0, io.EOF
		}
		changed, by := p.mu.changed, p.mu.readBy
		p.mu.Unlock()
		if by.IsZero() || !next.IsZero() && next.Before(by) {
			by = next
		}
		wait(by, changed, moved)
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !t.After(time.Now()) }

// wait returns at a time, if there is one, or at a change.
func wait(by time.Time, a, b <-chan struct{}) {
	var timeout <-chan time.Time
	if !by.IsZero() {
		t := time.NewTimer(time.Until(by))
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-timeout:
	case <-a:
	case <-b:
	}
}
