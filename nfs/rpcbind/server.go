package rpcbind

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// Limits of connections to our own server.
const (
	// maxConns bounds the connections. A client makes one call and goes, so at the
	// limit the oldest makes room.
	maxConns = 128
	// idleTime is how long a connection may be without a complete call.
	idleTime = 30 * time.Second
	// writeTime bounds the writing of one reply.
	writeTime = 5 * time.Second
	// acceptPause follows an accept that failed, such as for want of descriptors.
	acceptPause = 100 * time.Millisecond
)

// recordLimits holds for calls, of which SET has the largest.
var recordLimits = rpc.RecordLimits{Bytes: 4 << 10, Fragments: 16}

// server is our own port mapper.
type server struct {
	*table
	log     *slog.Logger
	surplus surplus
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		closed    bool
		listeners []net.Listener
		packets   []packetConn
		conns     []net.Conn // the oldest first
	}
}

// listen starts a server. A family that the host does not have is left out.
func listen(cfg *Config) (*server, error) {
	s := &server{log: cfg.Logger}
	var addrs []netip.AddrPort
	for _, a := range cfg.Listen {
		bound, err := s.bind(a)
		switch {
		case err == nil:
			addrs = append(addrs, bound)
		case !errors.Is(err, syscall.EAFNOSUPPORT) && !errors.Is(err, syscall.EADDRNOTAVAIL):
			s.close()
			return nil, bindError(a, err)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("rpcbind: this host has none of the addresses %v", cfg.Listen)
	}
	s.table = newTable(cfg.Services, cfg.Absent, addrs)
	for _, l := range s.mu.listeners {
		s.wg.Go(func() { s.acceptAll(l) })
	}
	for _, p := range s.mu.packets {
		s.wg.Go(func() { s.serveUDP(p) })
	}
	return s, nil
}

// bindError says what to do when an address cannot be had.
func bindError(a netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("rpcbind: serve on %s: %w: run rpcbind on this host, or give this process CAP_NET_BIND_SERVICE", a, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("rpcbind: serve on %s: %w: another port mapper is there; use mode register with it, or stop it", a, err)
	default:
		return fmt.Errorf("rpcbind: serve on %s: %w", a, err)
	}
}

// bind takes an address for TCP and UDP, and IPv6 for itself alone. With port 0
// UDP gets the port that TCP got.
func (s *server) bind(a netip.AddrPort) (netip.AddrPort, error) {
	netTCP, netUDP := netTCP+"4", netUDP+"4"
	if a.Addr().Is6() {
		netTCP, netUDP = netTCP6, netUDP6
	}
	l, err := net.ListenTCP(netTCP, net.TCPAddrFromAddrPort(a))
	if err != nil {
		return a, err
	}
	s.mu.listeners = append(s.mu.listeners, l)
	a = netip.AddrPortFrom(a.Addr(), uint16(l.Addr().(*net.TCPAddr).Port))
	u, err := net.ListenUDP(netUDP, net.UDPAddrFromAddrPort(a))
	if err != nil {
		return a, err
	}
	p, err := newPacketConn(u, a.Addr().Is6())
	if err != nil {
		_ = u.Close()
		return a, err
	}
	s.mu.packets = append(s.mu.packets, p)
	return a, nil
}

// close ends the server and waits for its goroutines.
func (s *server) close() {
	s.mu.Lock()
	s.mu.closed = true
	for _, l := range s.mu.listeners {
		_ = l.Close()
	}
	for _, p := range s.mu.packets {
		_ = p.Close()
	}
	for _, nc := range s.mu.conns {
		_ = nc.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// acceptAll takes connections until the server is closed.
func (s *server) acceptAll(l net.Listener) {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.start(nc)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.log.Warn("rpcbind: connection not accepted", "err", err)
			time.Sleep(acceptPause)
		}
	}
}

// start begins to serve a connection, and closes the oldest if there are too many.
func (s *server) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		_ = nc.Close()
		return
	}
	if len(s.mu.conns) == maxConns {
		_ = s.mu.conns[0].Close() // its goroutine ends
		s.mu.conns = s.mu.conns[1:]
	}
	s.mu.conns = append(s.mu.conns, nc)
	s.wg.Go(func() {
		s.serveConn(nc)
		s.mu.Lock()
		s.mu.conns = slices.DeleteFunc(s.mu.conns, func(c net.Conn) bool { return c == nc })
		s.mu.Unlock()
	})
}

// serveConn answers one call after the other. Whatever ends the connection is the
// client's business.
func (s *server) serveConn(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	from := originOf(nc)
	records := rpc.NewRecordReader(bufio.NewReader(nc), recordLimits)
	var buf []byte
	var w xdr.Writer
	for {
		if nc.SetReadDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		rec, err := records.Next(func(b []byte, n int, _ bool) ([]byte, error) {
			buf = slices.Grow(append(buf[:0], b...), n) // n is within recordLimits
			return buf[:len(b)+n], nil
		})
		if err != nil {
			return
		}
		w.Truncate(0)
		rpc.BeginRecord(&w)
		if !s.answer(rec, from, &w) {
			return
		}
		rpc.EndRecord(&w, 0)
		if nc.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
			return
		}
		if _, err := nc.Write(w.B); err != nil {
			return
		}
	}
}

// originOf describes the calls of a connection.
func originOf(nc net.Conn) origin {
	o := origin{netid: netTCP}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		o.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		o.local = a.AddrPort().Addr().Unmap()
	}
	if o.local.Is6() {
		o.netid = netTCP6
	}
	return o
}
