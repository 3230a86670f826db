package rpcbind

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// Mode says how clients are to learn the port.
type Mode string

// The modes.
const (
	// ModeAuto registers with the host's rpcbind if one runs, and else serves
	// port 111 itself if it may.
	ModeAuto Mode = "auto"
	// ModeRegister registers, and waits for a rpcbind if none runs.
	ModeRegister Mode = "register"
	// ModeServe serves port 111 itself.
	ModeServe Mode = "serve"
	// ModeOff does nothing: clients name the port.
	ModeOff Mode = "off"
)

const (
	// CheckInterval is how often the entries at rpcbind are looked at. One that
	// restarted has lost them, unless it runs with -w.
	CheckInterval = time.Minute
	// callTime bounds one conversation with rpcbind.
	callTime = 5 * time.Second
	// maxServices bounds the programs of one node.
	maxServices = 16

	defaultSocket = "/run/rpcbind.sock"
	defaultTCP    = "127.0.0.1:111"
	port111       = 111
)

// Service is one version of a program on one TCP listener. An Addr of [::] takes
// IPv4 too, as Go's listeners do.
type Service struct {
	Program uint32
	Version uint32
	Addr    netip.AddrPort
}

// Config is what Start needs. The zero values of all fields but the first two are
// right for a host; tests set them.
type Config struct {
	Mode     Mode
	Services []Service
	Logger   *slog.Logger // nil: nothing is logged
	// Absent are programs that clients look for and that are not served. Our own
	// server tells the address of the services for them, without listing them, so
	// that a client is told PROG_UNAVAIL there. Without an address the Linux
	// client asks again every three seconds without an end (call_bind_status,
	// net/sunrpc/clnt.c, since Linux 6.3 and 6.1.28): a lock would hang instead of
	// failing. They are not registered with a rpcbind of the host, whose own lockd
	// may need the entry.
	Absent []Service

	Socket string           // rpcbind's AF_UNIX socket; /run/rpcbind.sock
	TCP    string           // where it is tried next; 127.0.0.1:111
	Listen []netip.AddrPort // for TCP and UDP of our own server; port 111 of 0.0.0.0 and [::]
	Check  time.Duration    // CheckInterval
}

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	switch c.Mode {
	case ModeOff:
		return nil
	case ModeAuto, ModeRegister, ModeServe:
	default:
		return fmt.Errorf("rpcbind: mode %q is unknown: use auto, register, serve or off", c.Mode)
	}
	if n := len(c.Services); n == 0 || n > maxServices {
		return fmt.Errorf("rpcbind: %d services, 1 to %d are allowed", n, maxServices)
	}
	for _, s := range slices.Concat(c.Services, c.Absent) {
		if !s.Addr.IsValid() || s.Addr.Port() == 0 {
			return fmt.Errorf("rpcbind: program %d has no address to register: %q", s.Program, s.Addr)
		}
	}
	if c.Check < 0 {
		return fmt.Errorf("rpcbind: the check interval %s is negative", c.Check)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Socket == "" {
		c.Socket = defaultSocket
	}
	if c.TCP == "" {
		c.TCP = defaultTCP
	}
	if c.Check == 0 {
		c.Check = CheckInterval
	}
	if c.Listen == nil {
		c.Listen = []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), port111),
			netip.AddrPortFrom(netip.IPv6Unspecified(), port111),
		}
	}
	return c
}

// entries returns what is registered for a service.
func (s Service) entries(owner string) []entry {
	a := netip.AddrPortFrom(s.Addr.Addr().Unmap(), s.Addr.Port())
	one := func(netid string, a netip.AddrPort) entry {
		return entry{program: s.Program, version: s.Version, netid: netid, addr: formatAddr(a), owner: owner}
	}
	switch {
	case a.Addr().Is4():
		return []entry{one(netTCP, a)}
	case a.Addr().IsUnspecified():
		return []entry{
			one(netTCP, netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())),
			one(netTCP6, a),
		}
	default:
		return []entry{one(netTCP6, a)}
	}
}

// holds reports whether an address of a network identifier is one at which
// nobody but the service's listener can listen. On Linux no second socket can
// listen on a port whose wildcard address is taken.
func (s Service) holds(netid, addr string) bool {
	a, ok := parseAddr(addr)
	mine := s.Addr.Addr().Unmap()
	if !ok || a.Port() != s.Addr.Port() {
		return false
	}
	switch netid {
	case netTCP:
		return a.Addr().Is4() && (mine.IsUnspecified() || mine == a.Addr())
	case netTCP6:
		return a.Addr().Is6() && mine.Is6() && (mine.IsUnspecified() || mine.WithZone("") == a.Addr())
	default:
		return false
	}
}
