package rpcbind

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"twofold/nfs/xdr"
)

// Program number, versions and procedures (RFC 1833 sections 2.1 and 3.1). The
// first five procedures have the same numbers in every version.
const (
	program = 100000

	version2 = 2 // the port mapper
	version3 = 3
	version4 = 4

	procNull        = 0
	procSet         = 1
	procUnset       = 2
	procGetAddr     = 3 // GETPORT in version 2
	procDump        = 4
	procGetTime     = 6  // versions 3 and 4
	procGetVersAddr = 9  // version 4
	procGetAddrList = 11 // version 4
)

// Network identifiers (RFC 1833 section 3.2, RFC 5665 section 5.1).
const (
	netUDP  = "udp"
	netTCP  = "tcp"
	netUDP6 = "udp6"
	netTCP6 = "tcp6"
)

// Protocol numbers in version 2, those of IP.
const (
	protoTCP = 6
	protoUDP = 17
)

// Transport semantics in GETADDRLIST (RFC 1833 section 2.1).
const (
	semanticsDatagram      = 1 // NC_TPI_CLTS
	semanticsOrderlyStream = 3 // NC_TPI_COTS_ORD
)

// Limits of what is decoded.
const (
	// maxString bounds each string of an entry. The longest there are, paths of
	// AF_UNIX sockets, have 108 bytes.
	maxString = 256
	// maxDump bounds the entries of a rpcbind that are looked at.
	maxDump = 4096
)

var (
	errDumpTooLong = errors.New("rpcbind: more entries than are looked at")
	errNotPort     = errors.New("rpcbind: port over 65535")
)

// entry is struct rpcb: where one version of a program is on one transport.
type entry struct {
	program uint32
	version uint32
	netid   string
	addr    string // a universal address
	owner   string
}

// sameKey reports whether two entries cannot be registered at the same time.
func (e entry) sameKey(o entry) bool {
	return e.program == o.program && e.version == o.version && e.netid == o.netid
}

func (e entry) append(w *xdr.Writer) {
	w.Uint32(e.program)
	w.Uint32(e.version)
	w.String(e.netid)
	w.String(e.addr)
	w.String(e.owner)
}

func readEntry(r *xdr.Reader) entry {
	return entry{
		program: r.Uint32(),
		version: r.Uint32(),
		netid:   r.String(maxString),
		addr:    r.String(maxString),
		owner:   r.String(maxString),
	}
}

// readDump decodes an rpcblist: each entry is preceded by TRUE, the end is FALSE.
func readDump(r *xdr.Reader) ([]entry, error) {
	var list []entry
	for r.Bool() {
		if len(list) == maxDump {
			return nil, errDumpTooLong
		}
		list = append(list, readEntry(r))
	}
	return list, r.Err()
}

// mapping is struct mapping of version 2.
type mapping struct {
	program, version, proto uint32
	port                    uint16
}

func readMapping(r *xdr.Reader) mapping {
	m := mapping{program: r.Uint32(), version: r.Uint32(), proto: r.Uint32()}
	port := r.Uint32()
	if port > 1<<16-1 {
		r.Fail(errNotPort)
	}
	m.port = uint16(port)
	return m
}

func (m mapping) append(w *xdr.Writer) {
	w.Uint32(m.program)
	w.Uint32(m.version)
	w.Uint32(m.proto)
	w.Uint32(uint32(m.port))
}

// netid4 returns the network identifier that a version 2 protocol stands for.
// Version 2 knows IPv4 only.
func netid4(proto uint32) (string, bool) {
	switch proto {
	case protoTCP:
		return netTCP, true
	case protoUDP:
		return netUDP, true
	default:
		return "", false
	}
}

// transport describes a network identifier; ok is false for an unknown one.
type transport struct {
	semantics uint32
	family    string
	proto     string
	number    uint32 // of the protocol
}

func transportOf(netid string) (t transport, ok bool) {
	switch netid {
	case netTCP:
		return transport{semanticsOrderlyStream, "inet", "tcp", protoTCP}, true
	case netUDP:
		return transport{semanticsDatagram, "inet", "udp", protoUDP}, true
	case netTCP6:
		return transport{semanticsOrderlyStream, "inet6", "tcp", protoTCP}, true
	case netUDP6:
		return transport{semanticsDatagram, "inet6", "udp", protoUDP}, true
	default:
		return transport{}, false
	}
}

// formatAddr writes a universal address: the host's address, then the two octets
// of the port in decimal (RFC 5665 sections 5.2.3.3 and 5.2.3.4). There is no
// room for a zone.
func formatAddr(a netip.AddrPort) string {
	p := a.Port()
	return a.Addr().WithZone("").String() + "." + strconv.Itoa(int(p>>8)) + "." + strconv.Itoa(int(p&0xff))
}

// parseAddr reads a universal address of IPv4 or IPv6.
func parseAddr(s string) (netip.AddrPort, bool) {
	rest, low, ok1 := cutOctet(s)
	host, high, ok2 := cutOctet(rest)
	a, err := netip.ParseAddr(host)
	if !ok1 || !ok2 || err != nil || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(high)<<8|uint16(low)), true
}

// cutOctet splits off the last decimal octet.
func cutOctet(s string) (rest string, octet uint8, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", 0, false
	}
	v, err := strconv.ParseUint(s[i+1:], 10, 8)
	return s[:i], uint8(v), err == nil
}
