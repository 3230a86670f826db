package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"
)

// The control protocol: a stream carries pings one way and pongs the other, in
// the same order; see doc.go, Format.
const (
	controlVersion byte = 2

	controlPing    byte = 1 // asks how the member is, and perhaps for a lease
	controlPong    byte = 2 // answers each of the others
	controlReturn  byte = 3 // gives a lease back
	controlRelease byte = 4 // lets a candidate off the promise to the sender (rule R6)

	pingBytes = 56 // and the name
	pongBytes = 96

	flagWants byte = 1 << 0 // of a ping

	flagLeader byte = 1 << 0 // of a pong
	flagReady  byte = 1 << 1
	// flagStalled is of a node whose disk does not answer. A version without it
	// takes no notice.
	flagStalled byte = 1 << 2
	flagBarred  byte = 1 << 3
)

// ping is what a member says to another of its own accord.
type ping struct {
	Kind        byte
	Wants       bool          // asks for a lease
	Term        Term          // the sender's own, read before the ping left
	Promise     time.Duration // length of the sender's promises
	Incarnation uint64        // of the sender's process
	At          time.Duration // by the sender's clock: a lease counts from then
	Applied     Index
	Name        string // of the candidate of a release
}

// pong is what a member says of itself.
type pong struct {
	Role      Role
	Leader    bool
	Ready     bool
	Stalled   bool  // its disk does not answer
	Barred    bool  // it could not take the lead now if it were handed over
	Term      Term  // read after the ping had arrived
	Last      Index // last entry of its log
	Commit    Index
	Delivered Index
	Applied   Index
	Durable   Index
	LogBytes  uint64
	First     Index         // first entry of its log
	Promise   time.Duration // length of the member's promises
	Lease     time.Duration // granted, from the ping's instant on; 0 for none
}

func encodePing(seq uint64, p ping) []byte {
	b := make([]byte, pingBytes, pingBytes+len(p.Name))
	b[0], b[1], b[3] = controlVersion, p.Kind, byte(len(p.Name))
	if p.Wants {
		b[2] |= flagWants
	}
	for i, v := range []uint64{seq, uint64(p.Term), uint64(p.Promise.Microseconds()), p.Incarnation, uint64(p.At), uint64(p.Applied)} {
		binary.BigEndian.PutUint64(b[8+8*i:], v)
	}
	return append(b, p.Name...)
}

// readPing reads one ping.
func readPing(r io.Reader) (seq uint64, p ping, err error) {
	var b [pingBytes + math.MaxUint8]byte
	if _, err := io.ReadFull(r, b[:pingBytes]); err != nil {
		return 0, p, err
	}
	switch b[1] {
	case controlPing, controlReturn, controlRelease:
	default:
		return 0, p, fmt.Errorf("raftlog: control message %d of version %d", b[1], b[0])
	}
	if b[0] != controlVersion || b[3] != 0 && b[1] != controlRelease {
		return 0, p, fmt.Errorf("raftlog: control message %d of version %d", b[1], b[0])
	}
	name := b[pingBytes : pingBytes+int(b[3])]
	if _, err := io.ReadFull(r, name); err != nil {
		return 0, p, err
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	promise, ok := micros(at(2))
	if !ok {
		return 0, p, errors.New("raftlog: a ping has a promise length out of range")
	}
	p = ping{
		Kind: b[1], Wants: b[2]&flagWants != 0, Term: Term(at(1)), Promise: promise,
		Incarnation: at(3), At: time.Duration(at(4)), Applied: Index(at(5)), Name: string(name),
	}
	return at(0), p, nil
}

// micros reads a length in microseconds, of an hour at most.
func micros(v uint64) (time.Duration, bool) {
	if v > uint64(time.Hour.Microseconds()) {
		return 0, false
	}
	return time.Duration(v) * time.Microsecond, true
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
	if p.Stalled {
		b[3] |= flagStalled
	}
	if p.Barred {
		b[3] |= flagBarred
	}
	for i, v := range []uint64{
		seq, uint64(p.Term), uint64(p.Last), uint64(p.Commit), uint64(p.Delivered), uint64(p.Applied), uint64(p.Durable), p.LogBytes,
		uint64(p.Promise.Microseconds()), uint64(p.Lease.Microseconds()), uint64(p.First),
	} {
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
	p.Stalled, p.Barred = b[3]&flagStalled != 0, b[3]&flagBarred != 0
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	p.Term, p.Last, p.Commit, p.Delivered = Term(at(1)), Index(at(2)), Index(at(3)), Index(at(4))
	p.Applied, p.Durable, p.LogBytes = Index(at(5)), Index(at(6)), at(7)
	var ok, ok2 bool
	p.Promise, ok = micros(at(8))
	p.Lease, ok2 = micros(at(9))
	if !ok || !ok2 {
		return 0, p, errors.New("raftlog: a pong has a length of time out of range")
	}
	p.First = Index(at(10))
	return at(0), p, nil
}

// controlServer answers pings.
type controlServer struct {
	ln     net.Listener
	answer func(peer string, p ping) pong // called after a ping arrived
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		conns  map[net.Conn]struct{}
		byPeer map[string]int // how many of them; no zero entries
		closed bool
	}
}

func newControlServer(ln net.Listener, answer func(string, ping) pong) *controlServer {
	s := &controlServer{ln: ln, answer: answer}
	s.mu.conns = map[net.Conn]struct{}{}
	s.mu.byPeer = map[string]int{}
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
	peer := c.RemoteAddr().String()
	if s.mu.closed || s.mu.byPeer[peer] >= maxControlPerPeer {
		return false
	}
	s.mu.conns[c] = struct{}{}
	s.mu.byPeer[peer]++
	return true
}

func (s *controlServer) drop(c net.Conn) {
	peer := c.RemoteAddr().String()
	s.mu.Lock()
	delete(s.mu.conns, c)
	if s.mu.byPeer[peer]--; s.mu.byPeer[peer] == 0 {
		delete(s.mu.byPeer, peer)
	}
	s.mu.Unlock()
	c.Close()
}

// serve answers until the other side goes or says something strange.
func (s *controlServer) serve(c net.Conn) {
	var out [pongBytes]byte
	peer := c.RemoteAddr().String()
	for {
		seq, p, err := readPing(c)
		if err != nil {
			return
		}
		encodePong(&out, seq, s.answer(peer, p))
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
