package rpcbind

import (
	"net/netip"
	"slices"
	"sync"
)

// maxSet bounds the entries that local programs register with us. statd, lockd
// and rquotad have twenty between them.
const maxSet = 128

// superuser is the owner of all our entries, named as rpcbind does it.
const superuser = "superuser"

// table has the entries of our own server.
type table struct {
	own    []entry // never changed
	absent []entry // of programs that are not served; never changed
	closed []uint32

	mu  sync.RWMutex
	set []entry // of the host's other programs
}

// newTable returns a table of the services and of the port mapper itself, which
// is at addrs.
func newTable(services, absent []Service, addrs []netip.AddrPort) *table {
	t := &table{closed: []uint32{program}}
	for _, a := range addrs {
		t.own = append(t.own, mapperEntries(a)...)
	}
	for _, s := range services {
		t.own = append(t.own, s.entries(superuser)...)
		t.closed = append(t.closed, s.Program)
	}
	for _, s := range absent {
		t.absent = append(t.absent, s.entries(superuser)...)
	}
	return t
}

// mapperEntries returns the entries of program 100000 itself. Version 2 is IPv4's.
func mapperEntries(a netip.AddrPort) []entry {
	netids, versions := []string{netTCP, netUDP}, []uint32{version4, version3, version2}
	if a.Addr().Is6() {
		netids, versions = []string{netTCP6, netUDP6}, versions[:2]
	}
	var list []entry
	for _, netid := range netids {
		for _, v := range versions {
			list = append(list, entry{program: program, version: v, netid: netid, addr: formatAddr(a), owner: superuser})
		}
	}
	return list
}

// all returns a copy of the entries.
func (t *table) all() []entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Concat(t.own, t.set)
}

// find looks up a version of a program. If there are others only, and exact is
// false, it returns one of them: the caller then learns the versions from the
// program itself, by PROG_MISMATCH, as with rpcbind (RFC 1833 section 2.2.1).
//
// A program that is not served (see Config.Absent) has an address, too, unless a
// program of this host registered it. The host itself gets that address even then:
// it asks on behalf of its own mount of this server, and its own lockd, which it
// would be sent to, answers no clients where there is no kernel server.
func (t *table) find(program, version uint32, netid string, exact, fromHost bool) (found entry, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	lists := [3][]entry{t.own, t.set, t.absent}
	if fromHost {
		lists[1], lists[2] = t.absent, t.set
	}
	for _, list := range lists {
		if ok {
			break
		}
		for _, e := range list {
			if e.program != program || e.netid != netid {
				continue
			}
			if e.version == version {
				return e, true
			}
			if !exact && !ok {
				found, ok = e, true
			}
		}
	}
	return found, ok
}

// isClosed reports whether the program is one that nobody else may register.
func (t *table) isClosed(program uint32) bool { return slices.Contains(t.closed, program) }

// register adds the entry of a local program. As with rpcbind it may be there
// already, but not at another address.
func (t *table) register(e entry) bool {
	_, known := transportOf(e.netid)
	a, ok := parseAddr(e.addr)
	if !known || !ok || a.Port() == 0 || t.isClosed(e.program) {
		return false
	}
	e.owner = superuser
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.set, e.sameKey); i >= 0 {
		return t.set[i].addr == e.addr
	}
	if len(t.set) >= maxSet {
		return false
	}
	t.set = append(t.set, e)
	return true
}

// remove takes away what local programs registered: of one network identifier, or
// of all if it is empty. Nothing to remove is success, as with rpcbind.
func (t *table) remove(program, version uint32, netid string) bool {
	if t.isClosed(program) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set = slices.DeleteFunc(t.set, func(e entry) bool {
		return e.program == program && e.version == version && (netid == "" || e.netid == netid)
	})
	return true
}
