package export

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Limits of one export's client list. Those of the whole table are in package
// vfs.
const (
	MaxClients = 1024 // clients of one export
	maxHost    = 253  // bytes of a host name (RFC 1035 section 2.3.4, without the last dot)
	maxLabel   = 63   // bytes between two dots of it
)

// everybody is the client that stands for all.
const everybody = "*"

// Client is one client of an export: a network, a host by its name, or with
// neither everybody.
type Client struct {
	Net  netip.Prefix // masked, IPv4 unmapped; a single address has all its bits
	Host string       // in lower case, without the last dot
	Rule Rule
}

// Name is the client as the table writes it, without options.
func (c *Client) Name() string {
	switch {
	case c.Host != "":
		return c.Host
	case !c.Net.IsValid():
		return everybody
	case c.Net.IsSingleIP():
		return c.Net.Addr().String()
	default:
		return c.Net.String()
	}
}

// String is the client with its options.
func (c *Client) String() string { return c.Name() + "(" + c.Rule.String() + ")" }

// ParseClients reads a list of clients with their options, CLIENT(opt,opt)
// CLIENT(opt), as the Clients of a vfs.Export has them. Two entries for the
// same clients are an error.
func ParseClients(text string) ([]Client, error) {
	return parseClients(strings.Fields(text), DefaultRule())
}

// FormatClients is the canonical text of clients: the most specific ones first.
func FormatClients(clients []Client) string {
	sorted := slices.Clone(clients)
	slices.SortFunc(sorted, compareClients)
	words := make([]string, len(sorted))
	for i := range sorted {
		words[i] = sorted[i].String()
	}
	return strings.Join(words, " ")
}

// compareClients puts addresses and longer prefixes first, then host names, then
// everybody.
func compareClients(a, b Client) int {
	class := func(c *Client) int {
		switch {
		case c.Net.IsValid():
			return 0
		case c.Host != "":
			return 1
		default:
			return 2
		}
	}
	return cmp.Or(class(&a)-class(&b), wider(a.Net)-wider(b.Net),
		a.Net.Addr().Compare(b.Net.Addr()), strings.Compare(a.Host, b.Host))
}

// wider is how many bits of an address a network leaves open.
func wider(p netip.Prefix) int {
	if !p.IsValid() {
		return 0
	}
	return p.Addr().BitLen() - p.Bits()
}

// parseClients reads the words of a list. What a client's own options do not
// say is as in base.
func parseClients(words []string, base Rule) ([]Client, error) {
	if len(words) == 0 {
		return nil, errors.New("no clients: write *(ro) for everybody")
	}
	if len(words) > MaxClients {
		return nil, fmt.Errorf("%d clients, at most %d are allowed: use networks", len(words), MaxClients)
	}
	clients := make([]Client, 0, len(words))
	for i, w := range words {
		if strings.HasPrefix(w, "(") {
			return nil, lonelyOptions(words, i)
		}
		c, err := parseClient(w, base)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, distinct(clients)
}

// lonelyOptions explains the famous trap of exports(5), where a space before
// the parenthesis exports to the world.
func lonelyOptions(words []string, i int) error {
	if i == 0 {
		return fmt.Errorf("options %s without a client: write *%s for everybody", words[i], words[i])
	}
	return fmt.Errorf("a space before %s: exports(5) would give everybody these options, and %s the default ones: write %s%s, or *%s for everybody",
		words[i], words[i-1], words[i-1], words[i], words[i])
}

// distinct refuses lists in which the same clients are twice, since neither
// entry would be the more specific one.
func distinct(clients []Client) error {
	seen := make(map[string]bool, len(clients))
	for i := range clients {
		name := clients[i].Name()
		if seen[name] {
			return fmt.Errorf("client %s is there twice: join its options into one entry", name)
		}
		seen[name] = true
	}
	return nil
}

// parseClient reads CLIENT, CLIENT() or CLIENT(opt,opt).
func parseClient(word string, base Rule) (Client, error) {
	name, opts, hasOpts := strings.Cut(word, "(")
	if hasOpts {
		var closed bool
		opts, closed = strings.CutSuffix(opts, ")")
		if !closed || strings.ContainsAny(opts, "()") {
			return Client{}, fmt.Errorf("client %q: write CLIENT(option,option), without spaces inside", word)
		}
	} else if strings.Contains(name, ")") {
		return Client{}, fmt.Errorf("client %q: a closing parenthesis without an opening one", word)
	}
	c, err := parseName(name)
	if err != nil {
		return Client{}, err
	}
	c.Rule = base
	if err := c.Rule.options(opts); err != nil {
		return Client{}, fmt.Errorf("client %s: %w", name, err)
	}
	return c, nil
}

// parseName reads a client without its options.
func parseName(s string) (Client, error) {
	switch {
	case s == everybody:
		return Client{}, nil
	case strings.HasPrefix(s, "@"):
		return Client{}, fmt.Errorf("client %q: netgroups are not served: list hosts or networks", s)
	case strings.ContainsAny(s, "*?["):
		return Client{}, fmt.Errorf("client %q: wildcards in names are not served: list hosts or networks, or write * alone for everybody", s)
	case strings.Contains(s, "/"):
		p, err := parseNetwork(s)
		return Client{Net: p}, err
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return Client{}, fmt.Errorf("client %q: an address with a zone means another host at each node: leave the zone out", s)
		}
		a = a.Unmap()
		return Client{Net: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	host, err := parseHost(s)
	return Client{Host: host}, err
}

// parseNetwork reads ADDRESS/BITS or ADDRESS/NETMASK and clears the host bits.
func parseNetwork(s string) (netip.Prefix, error) {
	addr, mask, _ := strings.Cut(s, "/")
	p, err := netip.ParsePrefix(s)
	if m, merr := netip.ParseAddr(mask); merr == nil && m.Is4() {
		a, aerr := netip.ParseAddr(addr)
		bits, ok := maskBits(m)
		if aerr != nil || !a.Is4() || !ok {
			return netip.Prefix{}, fmt.Errorf("client %q: not an IPv4 network with its netmask, like 10.0.0.0/255.255.255.0", s)
		}
		p, err = netip.PrefixFrom(a, bits), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("client %q: not a network such as 10.0.0.0/24 or fd00::/64", s)
	}
	if !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	const mappedBits = 96 // ::ffff:0:0/96 holds all of IPv4
	if p.Bits() < mappedBits {
		return netip.Prefix{}, fmt.Errorf("client %q: a mapped IPv4 network needs a prefix length of at least %d", s, mappedBits)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked(), nil
}

// maskBits counts the ones of a netmask, which must all stand before the zeros.
func maskBits(m netip.Addr) (int, bool) {
	ones := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	for bits := range ones.BitLen() + 1 {
		if netip.PrefixFrom(ones, bits).Masked().Addr() == m {
			return bits, true
		}
	}
	return 0, false
}

// parseHost checks a host name and brings it into one form.
func parseHost(s string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(s, "."))
	if host == "" || len(host) > maxHost {
		return "", fmt.Errorf("client %q: not an address, a network, a host name or *", s)
	}
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabel || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' {
			return "", fmt.Errorf("client %q: not an address, a network, a host name or *", s)
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("client %q: neither an address nor a host name, which does not end in a number", s)
	}
	return host, nil
}
