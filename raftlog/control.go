package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// The control protocol: a stream carries pings one way and pongs the other, in
// the same order; see doc.go, Format.
const (
	controlVersion byte = 1
	controlPing    byte = 1
	controlPong    byte = 2

	pingBytes = 16
	pongBytes = 72

	flagLeader byte = 1 << 0
	flagReady  byte = 1 << 1
)

// pong is what a member says of itself.
type pong struct {
	Role      Role
	Leader    bool
	Ready     bool
	Term      Term  // read after the ping had arrived
	Last      Index // last entry of its log
	Commit    Index
	Delivered Index
	Applied   Index
	Durable   Index
	LogBytes  uint64
}

func encodePing(b *[pingBytes]byte, seq uint64) {
	b[0], b[1] = controlVersion, controlPing
	binary.BigEndian.PutUint64(b[8:], seq)
}

func decodePing(b *[pingBytes]byte) (seq uint64, err error) {
	if b[0] != controlVersion || b[1] != controlPing {
		return 0, fmt.Errorf("raftlog: control message %d of version %d", b[1], b[0])
	}
	return binary.BigEndian.Uint64(b[8:]), nil
}

func encodePong(b *[pongBytes]byte, seq uint64, p pong) {
	b[0], b[1], b[2], b[3] = controlVersion, controlPong, 0, 0
	if p.Role == RoleWitness {
		b[2] = 1
	}
	if p.Leader {
		b[3] |= flagLeader
	}
	if p.Ready {
		b[3] |= flagReady
	}
	for i, v := range []uint64{seq, uint64(p.Term), uint64(p.Last), uint64(p.Commit), uint64(p.Delivered), uint64(p.Applied), uint64(p.Durable), p.LogBytes} {
		binary.BigEndian.PutUint64(b[8+8*i:], v)
	}
}

func decodePong(b *[pongBytes]byte) (seq uint64, p pong, err error) {
	if b[0] != controlVersion || b[1] != controlPong || b[2] > 1 {
		return 0, p, fmt.Errorf("raftlog: control message %d of version %d", b[1], b[0])
	}
	p.Role = RoleData
	if b[2] == 1 {
		p.Role = RoleWitness
	}
	p.Leader, p.Ready = b[3]&flagLeader != 0, b[3]&flagReady != 0
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	p.Term, p.Last, p.Commit, p.Delivered = Term(at(1)), Index(at(2)), Index(at(3)), Index(at(4))
	p.Applied, p.Durable, p.LogBytes = Index(at(5)), Index(at(6)), at(7)
	return at(0), p, nil
}

// controlServer answers pings.
type controlServer struct {
	ln     net.Listener
	answer func() pong // called after a ping arrived
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		conns  map[net.Conn]struct{}
		closed bool
	}
}

func newControlServer(ln net.Listener, answer func() pong) *controlServer {
	s := &controlServer{ln: ln, answer: answer}
	s.mu.conns = map[net.Conn]struct{}{}
	return s
}

func (s *controlServer) start() {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			c, err := s.ln.Accept()
			if err != nil {
				return // the listener is closed
			}
			if !s.add(c) {
				c.Close()
				continue
			}
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				defer s.drop(c)
				s.serve(c)
			}()
		}
	}()
}

func (s *controlServer) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || len(s.mu.conns) >= maxControlConns {
		return false
	}
	s.mu.conns[c] = struct{}{}
	return true
}

func (s *controlServer) drop(c net.Conn) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	s.mu.Unlock()
	c.Close()
}

// serve answers until the other side goes or says something strange.
func (s *controlServer) serve(c net.Conn) {
	var in [pingBytes]byte
	var out [pongBytes]byte
	for {
		if _, err := io.ReadFull(c, in[:]); err != nil {
			return
		}
		seq, err := decodePing(&in)
		if err != nil {
			return
		}
		encodePong(&out, seq, s.answer())
		if _, err := c.Write(out[:]); err != nil {
			return
		}
	}
}

func (s *controlServer) close() error {
	s.mu.Lock()
	s.mu.closed = true
	for c := range s.mu.conns {
		c.Close()
	}
	s.mu.Unlock()
	err := s.ln.Close()
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}
