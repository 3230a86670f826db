package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// Programs, and where the port mapper and NFS are if nobody says otherwise.
const (
	progNFS    = 100003
	progMount  = 100005
	progMapper = 100000

	nfsVersion    = 3
	mapperVersion = 2
	mapperGetPort = 3
	protoTCP      = 6

	mapperPort = 111
	nfsPort    = 2049
)

// Target is one server's address and export.
type Target struct {
	Host      string
	NFSPort   int // 0: ask the port mapper
	MountPort int // 0: where NFS is if its port is given and MOUNT is there too, else ask the port mapper
	Path      string
}

// ParseTarget reads host[:port[:mountport]][/export]. An IPv6 address is in brackets.
func ParseTarget(s string) (Target, error) {
	t := Target{Path: "/"}
	addr := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		addr, t.Path = s[:i], s[i:]
	}
	rest := ""
	if strings.HasPrefix(addr, "[") {
		end := strings.IndexByte(addr, ']')
		if end < 0 {
			return t, fmt.Errorf("target %q: the bracket is not closed", s)
		}
		t.Host, rest = addr[1:end], strings.TrimPrefix(addr[end+1:], ":")
		if _, err := netip.ParseAddr(t.Host); err != nil {
			return t, fmt.Errorf("target %q: %w", s, err)
		}
	} else {
		t.Host, rest, _ = strings.Cut(addr, ":")
	}
	if t.Host == "" {
		return t, fmt.Errorf("target %q: no host: write host[:port[:mountport]][/export]", s)
	}
	if rest == "" {
		return t, nil
	}
	ports := strings.Split(rest, ":")
	if len(ports) > 2 {
		return t, fmt.Errorf("target %q: more than two ports; an IPv6 address needs brackets", s)
	}
	for i, p := range ports {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return t, fmt.Errorf("target %q: %q is no port", s, p)
		}
		if i == 0 {
			t.NFSPort = int(n)
		} else {
			t.MountPort = int(n)
		}
	}
	return t, nil
}

// String is what ParseTarget reads.
func (t Target) String() string {
	s := t.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if t.NFSPort != 0 {
		s += fmt.Sprintf(":%d", t.NFSPort)
		if t.MountPort != 0 {
			s += fmt.Sprintf(":%d", t.MountPort)
		}
	}
	return s + t.Path
}

func (t Target) addr(port int) string { return net.JoinHostPort(t.Host, strconv.Itoa(port)) }

// locate finds the ports that were not given.
func (t *Target) locate(ctx context.Context) error {
	given := t.NFSPort != 0
	if !given {
		port, err := t.askMapper(ctx, progNFS)
		if err != nil {
			return fmt.Errorf("%s: no port is given, and the port mapper does not help: %w", t, err)
		}
		t.NFSPort = port
	}
	if t.MountPort != 0 {
		return nil
	}
	if given && t.hasMount(ctx) {
		t.MountPort = t.NFSPort
		return nil
	}
	port, err := t.askMapper(ctx, progMount)
	if err != nil {
		return fmt.Errorf("%s: MOUNT is not at the port of NFS, and the port mapper does not help (%w): give both ports, host:port:mountport", t, err)
	}
	t.MountPort = port
	return nil
}

// hasMount finds out whether MOUNT is served where NFS is.
func (t *Target) hasMount(ctx context.Context) bool {
	c, err := client.Dial(ctx, t.addr(t.NFSPort))
	if err != nil {
		return false
	}
	defer c.Close()
	return c.MountNull(ctx) == nil
}

// askMapper asks for a program's port (RFC 1833 section 3).
func (t *Target) askMapper(ctx context.Context, prog uint32) (int, error) {
	c, err := client.Dial(ctx, t.addr(mapperPort), client.WithCred(rpc.Cred{Flavor: rpc.AuthNone}))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var w xdr.Writer
	for _, v := range []uint32{prog, nfsVersion, protoTCP, 0} {
		w.Uint32(v)
	}
	res, err := c.Call(ctx, progMapper, mapperVersion, mapperGetPort, w.B)
	if err != nil {
		return 0, err
	}
	r := xdr.NewReader(res)
	port := r.Uint32()
	switch {
	case r.Err() != nil:
		return 0, r.Err()
	case port == 0 && prog == progNFS:
		return nfsPort, nil
	case port == 0 || port > 65535:
		return 0, errors.New("it does not know the program")
	}
	return int(port), nil
}
