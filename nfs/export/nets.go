package export

import (
	"net/netip"
	"slices"
)

// nets finds the longest network that an address is in. It takes as many look-ups
// as there are prefix lengths, however many networks there are: each call asks.
type nets struct {
	rules   map[netip.Prefix]*Rule
	lengths [2][]int // of IPv4 and IPv6, the longest first
}

// add takes a network in, which is masked and not mapped.
func (n *nets) add(p netip.Prefix, r *Rule) {
	if n.rules == nil {
		n.rules = make(map[netip.Prefix]*Rule)
	}
	n.rules[p] = r
	l := &n.lengths[family(p.Addr())]
	i, found := slices.BinarySearchFunc(*l, p.Bits(), func(a, b int) int { return b - a })
	if !found {
		*l = slices.Insert(*l, i, p.Bits())
	}
}

// find returns the rule of the longest network with an address, or nil.
func (n *nets) find(addr netip.Addr) *Rule {
	for _, bits := range n.lengths[family(addr)] {
		// The error is for more bits than there are.
		if p, err := addr.Prefix(bits); err == nil && n.rules[p] != nil {
			return n.rules[p]
		}
	}
	return nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}
