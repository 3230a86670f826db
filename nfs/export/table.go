package export

import (
	"fmt"
	"net/netip"
	"slices"
)

// MaxRules bounds the rules of one table; each look-up walks over them.
const MaxRules = 256

// Table is a set of rules.
type Table struct {
	rules []Rule // longest prefix first, so that the first match is the answer
}

// New checks the rules and makes a table of them. A nil or empty list is a
// table that admits nobody.
func New(rules []Rule) (*Table, error) {
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("%d export rules, at most %d are allowed", len(rules), MaxRules)
	}
	t := &Table{rules: slices.Clone(rules)}
	seen := make(map[netip.Prefix]bool, len(rules))
	for i := range t.rules {
		r := &t.rules[i]
		if err := r.Validate(); err != nil {
			return nil, err
		}
		r.Clients, _ = normalize(r.Clients) // checked by Validate
		if seen[r.Clients] {
			return nil, fmt.Errorf("two export rules for %s", r.Clients)
		}
		seen[r.Clients] = true
	}
	slices.SortStableFunc(t.rules, func(a, b Rule) int { return b.Clients.Bits() - a.Clients.Bits() })
	return t, nil
}

// Find returns the rule for a client, by its address and source port. A client
// whose most specific rule is secure and whose port is not privileged has no
// rule; a wider rule is not tried.
func (t *Table) Find(client netip.AddrPort) (Rule, bool) {
	addr := client.Addr().Unmap().WithZone("")
	for i := range t.rules {
		r := &t.rules[i]
		if r.Clients.Contains(addr) {
			if r.Secure && client.Port() >= portSecure {
				return Rule{}, false
			}
			return *r, true
		}
	}
	return Rule{}, false
}

// Rules returns a copy of the rules, longest prefix first.
func (t *Table) Rules() []Rule { return slices.Clone(t.rules) }
