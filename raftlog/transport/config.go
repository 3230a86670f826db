package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// Errors of this package. Availability, all of them, but the last three.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("transport: closed")
	// ErrNotMet is returned by Dial before the first meeting is over.
	ErrNotMet = errors.New("transport: the members have not all met yet")
	// ErrBusy is returned when a named limit is reached.
	ErrBusy = errors.New("transport: too many streams")
	// ErrFormattedAnew is returned by Meet when the cluster lists another node
	// id under this node's name.
	ErrFormattedAnew = errors.New("transport: formatted anew")
	// ErrDisagree is returned by Meet when bound members name different clusters.
	ErrDisagree = errors.New("transport: members disagree about the cluster")
	// ErrStranger is returned by Probe and Meet, and comes from Fatal, when
	// most members are of one cluster and this node is not of it.
	ErrStranger = errors.New("transport: not a member of this cluster")
)

// Member is one member as the configuration has it.
type Member struct {
	Name string
	Role raftlog.Role
	Addr string // host:port; the host is a name or an IPv4 or IPv6 address
}

// TLS names the PEM files of a node.
type TLS struct {
	Cert string // certificate chain of this node, its own first
	Key  string
	CA   string // the only authorities that are trusted
}

// Range is a range of versions, both ends included.
type Range struct {
	Min uint32 `json:"min"`
	Max uint32 `json:"max"`
}

// Overlaps reports that there is a version in both ranges.
func (r Range) Overlaps(o Range) bool { return r.Min <= o.Max && o.Min <= r.Max }

// String returns "2" or "2 to 3".
func (r Range) String() string {
	if r.Min == r.Max {
		return strconv.FormatUint(uint64(r.Min), 10)
	}
	return fmt.Sprintf("%d to %d", r.Min, r.Max)
}

// protocol is what this package speaks.
var protocol = Range{Min: 1, Max: 1}

// Config is what a node's transport needs to know.
type Config struct {
	Listen      string          // host:port to listen at
	Self        identity.Member // from the formatted directory
	ClusterName string
	Members     []Member // all of them, this node too
	// Binding is the recorded cluster, or nil before the first meeting.
	Binding *identity.Binding
	// Bind records the binding that Meet finds and returns once it is durable.
	// It is needed if Binding is nil; identity.Dir.Bind is made for it.
	Bind func(identity.Binding) error
	// Roster is the last one that the log gave, or nil.
	Roster *Roster
	// Join says that the directory was formatted for a cluster that there is
	// already. The node waits until it is added, and founds nothing.
	Join bool
	// Format is the range of log and state formats that this node can work
	// with; the zero value means 1. It is compared, not understood.
	Format Range
	// TLS is nil for plain connections.
	TLS *TLS
	// InsecurePeers allows plain connections beyond loopback.
	InsecurePeers bool
	// Logger may be nil.
	Logger *slog.Logger
	// HelloTimeout replaces the constant of that name if it is not zero.
	HelloTimeout time.Duration
}

func (c *Config) setDefaults() {
	if c.Format == (Range{}) {
		c.Format = Range{Min: 1, Max: 1}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.HelloTimeout == 0 {
		c.HelloTimeout = HelloTimeout
	}
}

// Validate checks everything that can be checked without a file or a socket.
func (c Config) Validate() error {
	if err := identity.CheckName("cluster name", c.ClusterName); err != nil {
		return err
	}
	if c.Self.NodeID.IsZero() {
		return fmt.Errorf("node %q has no node id: it is not formatted", c.Self.Name)
	}
	if c.Format.Min > c.Format.Max {
		return fmt.Errorf("format range %d to %d is empty", c.Format.Min, c.Format.Max)
	}
	if _, _, err := splitAddr(c.Listen, true); err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	if err := c.checkMembers(); err != nil {
		return err
	}
	if err := c.checkBinding(); err != nil {
		return err
	}
	return c.checkPlain()
}

func (c Config) checkMembers() error {
	if n := len(c.Members); n == 0 || n > identity.MaxMembers {
		return fmt.Errorf("%d members are configured: from 1 to %d are possible", n, identity.MaxMembers)
	}
	names, addrs := map[string]bool{}, map[string]string{}
	for _, m := range c.Members {
		if err := identity.CheckName("member name", m.Name); err != nil {
			return err
		}
		if m.Role != raftlog.RoleData && m.Role != raftlog.RoleWitness {
			return fmt.Errorf("member %q has the unknown role %q", m.Name, m.Role)
		}
		if names[m.Name] {
			return fmt.Errorf("two members are named %q", m.Name)
		}
		if _, _, err := splitAddr(m.Addr, false); err != nil {
			return fmt.Errorf("address of member %q: %w", m.Name, err)
		}
		if other, ok := addrs[m.Addr]; ok {
			return fmt.Errorf("members %q and %q have the same address %s", other, m.Name, m.Addr)
		}
		names[m.Name], addrs[m.Addr] = true, m.Name
	}
	self, ok := c.member(c.Self.Name)
	if !ok {
		return fmt.Errorf("this node, %q, is not among the configured members", c.Self.Name)
	}
	if self.Role != c.Self.Role {
		return fmt.Errorf("this node, %q, has role %q, but its entry among the members says %q", c.Self.Name, c.Self.Role, self.Role)
	}
	return nil
}

// checkBinding compares the recorded cluster with the configured members.
func (c Config) checkBinding() error {
	if c.Binding == nil {
		if c.Bind == nil {
			return errors.New("an unbound node needs a way to record its binding")
		}
		return nil
	}
	if err := c.Binding.Validate(); err != nil {
		return err
	}
	if c.Binding.Cluster != c.ClusterName {
		return fmt.Errorf("this node is bound to cluster %q, but the configuration says %q", c.Binding.Cluster, c.ClusterName)
	}
	if !c.Binding.Lists(c.Self) {
		return fmt.Errorf("the recorded cluster does not list this node (%s, id %s)", c.Self.Name, c.Self.NodeID)
	}
	if c.Roster != nil || c.Binding.Joined != nil || len(c.Binding.Ancestors) > 0 {
		return nil // the log says who the members are
	}
	recorded, configured := listMembers(c.Binding.Members), listMembers(c.plainMembers())
	if recorded != configured {
		return fmt.Errorf("the recorded cluster has the members %s, but the configuration lists %s: correct the configuration", recorded, configured)
	}
	return nil
}

// checkPlain refuses plain connections that could leave this host. A host name
// other than localhost may resolve to anything at the next dial.
func (c Config) checkPlain() error {
	if c.TLS != nil || c.InsecurePeers {
		return nil
	}
	const remedy = "connections between nodes are plain, which is allowed on loopback only: configure tls (cert, key and ca), or set insecure_peers: true"
	if !isLoopback(c.Listen) {
		return fmt.Errorf("listen address %s is not loopback, and %s", c.Listen, remedy)
	}
	for _, m := range c.Members {
		if !isLoopback(m.Addr) {
			return fmt.Errorf("address %s of member %q is not loopback, and %s", m.Addr, m.Name, remedy)
		}
	}
	return nil
}

// member returns the configured member of that name.
func (c Config) member(name string) (Member, bool) {
	for _, m := range c.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// plainMembers returns the configured members without node ids.
func (c Config) plainMembers() []identity.Member {
	members := make([]identity.Member, 0, len(c.Members))
	for _, m := range c.Members {
		members = append(members, identity.Member{Name: m.Name, Role: m.Role})
	}
	return members
}

// splitAddr checks host:port. The host may be empty, and the port zero, only
// where wildcard is set.
func splitAddr(addr string, wildcard bool) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port: %w", addr, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q has no port number", addr)
	}
	if !wildcard && (host == "" || n == 0) {
		return "", 0, fmt.Errorf("%q needs a host and a port above zero", addr)
	}
	return host, uint16(n), nil
}

// isLoopback reports that addr cannot lead away from this host. The name
// localhost is loopback by RFC 6761, section 6.3; a dial checks it once more.
func isLoopback(addr string) bool {
	host, _, err := splitAddr(addr, true)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
