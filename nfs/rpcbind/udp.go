package rpcbind

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"twofold/nfs/xdr"
)

// Limits of datagrams.
const (
	// maxRequest bounds a datagram that is read; what is longer is cut, and then
	// does not decode.
	maxRequest = 4 << 10
	// maxSurplus is how many bytes per second, in all, UDP replies to other hosts
	// may be longer than their calls, and how many may gather. A source address can
	// be forged; GETPORT and GETADDR are shorter than their calls, and a DUMP now
	// and then is answered, but this server multiplies no flood.
	maxSurplus = 32 << 10
	// readPause follows a read that failed.
	readPause = 100 * time.Millisecond
)

// packetConn is a UDP socket that says to which of the host's addresses a
// datagram came, and answers from there: a client takes no reply from another.
type packetConn interface {
	read(b []byte) (n int, o origin, ifIndex int, err error)
	write(b []byte, o origin, ifIndex int) error
	Close() error
}

func newPacketConn(u *net.UDPConn, v6 bool) (packetConn, error) {
	if v6 {
		p := ipv6.NewPacketConn(u)
		return packets6{p}, p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	}
	p := ipv4.NewPacketConn(u)
	return packets4{p}, p.SetControlMessage(ipv4.FlagDst, true)
}

type packets4 struct{ *ipv4.PacketConn }

func (p packets4) read(b []byte) (int, origin, int, error) {
	n, cm, src, err := p.ReadFrom(b)
	o := origin{netid: netUDP, peer: peerOf(src)}
	if cm != nil {
		o.local, _ = netip.AddrFromSlice(cm.Dst.To4())
	}
	return n, o, 0, err
}

func (p packets4) write(b []byte, o origin, _ int) error {
	_, err := p.WriteTo(b, &ipv4.ControlMessage{Src: o.local.AsSlice()}, net.UDPAddrFromAddrPort(o.peer))
	return err
}

type packets6 struct{ *ipv6.PacketConn }

func (p packets6) read(b []byte) (int, origin, int, error) {
	n, cm, src, err := p.ReadFrom(b)
	o, ifIndex := origin{netid: netUDP6, peer: peerOf(src)}, 0
	if cm != nil {
		o.local, _ = netip.AddrFromSlice(cm.Dst)
		ifIndex = cm.IfIndex
	}
	return n, o, ifIndex, err
}

func (p packets6) write(b []byte, o origin, ifIndex int) error {
	cm := &ipv6.ControlMessage{Src: o.local.AsSlice()}
	if o.local.IsLinkLocalUnicast() {
		cm.IfIndex = ifIndex // such an address means nothing without its interface
	}
	_, err := p.WriteTo(b, cm, net.UDPAddrFromAddrPort(o.peer))
	return err
}

func peerOf(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort()
	}
	return netip.AddrPort{}
}

// serveUDP answers one datagram after the other until the socket is closed. What
// comes faster waits in the socket's buffer or is lost, as UDP has it.
func (s *server) serveUDP(p packetConn) {
	buf := make([]byte, maxRequest)
	var w xdr.Writer
	for {
		n, from, ifIndex, err := p.read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(readPause)
			continue
		}
		w.Truncate(0)
		if s.answerDatagram(buf[:n], from, &w) {
			// A reply that cannot be sent is lost, and the client asks again. One to
			// a broadcast never can, since that is no source address.
			_ = p.write(w.B, from, ifIndex)
		}
	}
}

// answerDatagram is answer with the rules for UDP. Nothing is said, and nothing
// logged, about what is not answered.
func (s *server) answerDatagram(rec []byte, from origin, w *xdr.Writer) bool {
	if from.peer.Port() == 0 || !from.local.IsValid() || from.local.IsMulticast() || !s.answer(rec, from, w) {
		return false
	}
	return from.peer.Addr().IsLoopback() || s.surplus.allow(w.Len()-len(rec), time.Now())
}

// surplus counts the bytes by which replies exceed their calls.
type surplus struct {
	mu   sync.Mutex
	used int
	last time.Time
}

// allow reports whether n more bytes may be sent now.
func (s *surplus) allow(n int, now time.Time) bool {
	if n <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := now.Sub(s.last); d >= time.Second {
		s.used, s.last = 0, now
	} else if d > 0 {
		back := int(d * maxSurplus / time.Second)
		s.used = max(0, s.used-back)
		s.last = now
	}
	if s.used+n > maxSurplus {
		return false
	}
	s.used += n
	return true
}
