package export

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// optionNames lists what ParseRule understands, for error messages.
const optionNames = "ro, rw, root_squash, no_root_squash, secure, insecure, anonuid=N, anongid=N"

// ParseRule makes a rule of a network and of options named as in exports(5).
// clients is an address or a network in CIDR form; a bare address is one host.
// What no option sets is as in [DefaultRule]. An option that is unknown, given
// twice or contradicted by another one is an error.
func ParseRule(clients string, options []string) (Rule, error) {
	p, err := ParseClients(clients)
	if err != nil {
		return Rule{}, err
	}
	r := DefaultRule(p)
	given := make(map[string]string, len(options))
	for _, o := range options {
		topic, err := r.set(o)
		if err != nil {
			return Rule{}, fmt.Errorf("export rule for %s: %w", clients, err)
		}
		if before, ok := given[topic]; ok {
			return Rule{}, fmt.Errorf("export rule for %s: options %q and %q exclude each other", clients, before, o)
		}
		given[topic] = o
	}
	return r, r.Validate()
}

// ParseClients reads a network in CIDR form, or the address of one host.
func ParseClients(s string) (netip.Prefix, error) {
	if s == "*" {
		return netip.Prefix{}, fmt.Errorf(`export clients "*": write 0.0.0.0/0 for every IPv4 client, ::/0 for every IPv6 client`)
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("export clients %q: not an IP address and not a network such as 10.0.0.0/24", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("export clients %q: not a network such as 10.0.0.0/24 or fd00::/64", s)
	}
	return normalize(p)
}

// set applies one option and returns the topic that it settles.
func (r *Rule) set(option string) (topic string, err error) {
	name, value, hasValue := strings.Cut(option, "=")
	switch {
	case name == "anonuid" && hasValue:
		r.AnonUID, err = parseID(option, value)
		return name, err
	case name == "anongid" && hasValue:
		r.AnonGID, err = parseID(option, value)
		return name, err
	case hasValue:
		return "", fmt.Errorf("unknown option %q; known are %s", option, optionNames)
	}
	switch name {
	case "ro", "rw":
		r.ReadWrite = name == "rw"
		return "rw", nil
	case "root_squash", "no_root_squash":
		r.RootSquash = name == "root_squash"
		return "root_squash", nil
	case "secure", "insecure":
		r.Secure = name == "secure"
		return "secure", nil
	default:
		return "", fmt.Errorf("unknown option %q; known are %s", option, optionNames)
	}
}

func parseID(option, value string) (uint32, error) {
	id, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("option %q: %q is not a user or group id", option, value)
	}
	return uint32(id), nil
}
