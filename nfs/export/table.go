package export

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"twofold/replica/vfs"
)

// Verdict says whether an export admits a client.
type Verdict uint8

// The verdicts.
const (
	NotExported Verdict = iota // there is no such export
	NoClient                   // the export is not for this client
	BadPort                    // the export is, but not for this source port
	Admitted
)

// Entry is one export of a compiled table.
type Entry struct {
	vfs.Export
	clients []Client // as the table has them, the most specific first

	exact map[netip.Addr]*Rule // addresses, and those of host names
	nets  nets
	any   *Rule // of everybody, or nil
}

// Names are the clients in the words of the table, without options.
func (e *Entry) Names() []string {
	names := make([]string, len(e.clients))
	for i := range e.clients {
		names[i] = e.clients[i].Name()
	}
	return names
}

// find returns the rule for a client. A client whose most specific rule is
// secure and whose port is not privileged is refused; a wider rule is not tried.
func (e *Entry) find(client netip.AddrPort) (Rule, Verdict) {
	addr := client.Addr().Unmap().WithZone("")
	rule := e.exact[addr]
	if rule == nil {
		rule = e.nets.find(addr)
	}
	if rule == nil {
		rule = e.any
	}
	switch {
	case rule == nil:
		return Rule{}, NoClient
	case rule.Secure && client.Port() >= portSecure:
		return Rule{}, BadPort
	default:
		return *rule, Admitted
	}
}

// addrsOf gives the addresses that a host name has now.
type addrsOf func(host string) []netip.Addr

// compile makes an entry of an export whose clients have been parsed.
func compile(x vfs.Export, clients []Client, addrs addrsOf) *Entry {
	e := &Entry{Export: x, clients: clients, exact: make(map[netip.Addr]*Rule)}
	for i := range clients {
		c := &clients[i]
		switch {
		case c.Net.IsSingleIP():
			e.exact[c.Net.Addr()] = &c.Rule
		case c.Net.IsValid():
			e.nets.add(c.Net, &c.Rule)
		case c.Host == "":
			e.any = &c.Rule
		}
	}
	for i := range clients {
		for _, a := range addrs(clients[i].Host) {
			if e.exact[a] == nil { // an address that is written wins, then the first name
				e.exact[a] = &clients[i].Rule
			}
		}
	}
	return e
}

// table is one state of all exports. It does not change once it is made.
type table struct {
	entries []*Entry // in the order of their paths
	byRoot  map[vfs.Ino]*Entry
	hosts   []string // the host names in it

	// Who is a client of any export, whatever its port.
	exact map[netip.Addr]struct{}
	nets  nets
	any   bool
}

// newTable compiles a list of exports.
func newTable(exports []vfs.Export, addrs addrsOf) (*table, error) {
	if err := checkSize(exports); err != nil {
		return nil, err
	}
	t := &table{byRoot: make(map[vfs.Ino]*Entry, len(exports)), exact: make(map[netip.Addr]struct{})}
	paths := make(map[string]bool, len(exports))
	for _, x := range exports {
		path, err := CleanPath(x.Path)
		switch {
		case err != nil:
			return nil, err
		case path != x.Path:
			return nil, fmt.Errorf("path %q: write %q", x.Path, path)
		case paths[path]:
			return nil, fmt.Errorf("export %s is there twice", path)
		case x.Root.Ino == 0:
			return nil, fmt.Errorf("export %s has no root directory", path)
		}
		if other := t.byRoot[x.Root.Ino]; other != nil {
			return nil, fmt.Errorf("exports %s and %s are the same directory, so that a handle could not tell whose rules hold: remove one",
				other.Path, path)
		}
		clients, err := ParseClients(x.Clients)
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", path, err)
		}
		slices.SortFunc(clients, compareClients)
		paths[path] = true
		t.add(compile(x, clients, addrs))
	}
	slices.SortFunc(t.entries, func(a, b *Entry) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(t.hosts)
	t.hosts = slices.Compact(t.hosts)
	return t, nil
}

// add puts an entry into the table and its clients among those of all exports.
func (t *table) add(e *Entry) {
	t.entries = append(t.entries, e)
	t.byRoot[e.Root.Ino] = e
	t.any = t.any || e.any != nil
	for a := range e.exact {
		t.exact[a] = struct{}{}
	}
	for n, rule := range e.nets.rules {
		t.nets.add(n, rule)
	}
	for i := range e.clients {
		if h := e.clients[i].Host; h != "" {
			t.hosts = append(t.hosts, h)
		}
	}
}

// admits reports whether a client is one of any export.
func (t *table) admits(addr netip.Addr) bool {
	if t.any {
		return true
	}
	if _, ok := t.exact[addr]; ok {
		return true
	}
	return t.nets.find(addr) != nil
}

// below returns what of a clean path lies below an export's, without a slash
// in front, and whether the path is the export's or below it.
func below(export, path string) (rest string, ok bool) {
	if export == "/" {
		return path[1:], true
	}
	rest, ok = strings.CutPrefix(path, export)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// mount finds the export of a clean path for a client: as in mountd the longest
// one that the client may use. A client that comes from a port that this export
// does not allow is not given a wider one.
func (t *table) mount(path string, client netip.AddrPort) (found *Entry, rest string, v Verdict) {
	v = NotExported
	for _, e := range t.entries { // a longer prefix sorts after a shorter one
		r, ok := below(e.Path, path)
		if !ok {
			continue
		}
		switch _, verdict := e.find(client); verdict {
		case Admitted, BadPort:
			found, rest, v = e, r, verdict
		default:
			if v == NotExported {
				v = NoClient
			}
		}
	}
	return found, rest, v
}
