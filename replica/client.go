package replica

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	"twofold/replica/vfs"
)

// clientPrefix begins the identity of a member as a client. It is the
// discard-only prefix 100::/64 of RFC 6666, from which no packet comes, so that
// no client's address is equal to a member's identity.
var clientPrefix = [8]byte{0x01, 0x00}

// memberClient is the identity of a member as a client. It derives from the
// name, which a node keeps when its directory is formatted anew.
func memberClient(name string) [16]byte {
	var id [16]byte
	sum := sha256.Sum256([]byte(name))
	copy(id[:], clientPrefix[:])
	copy(id[len(clientPrefix):], sum[:])
	return id
}

// clientTable says which addresses count as a member of the cluster. It is
// compiled anew whenever a member's record changes, and never changed.
type clientTable struct {
	loopback [16]byte // this node
	members  map[netip.Addr][16]byte
}

// newClientTable compiles the members' records for the node self.
//
// Hosts may share addresses, such as those of bridges for their containers. An
// address of self can reach it from self only, so self wins; among others the
// first by name has it, at every node alike. Members whose lists are equal run on one host:
// all of them count as the first, so that a client there is the same one
// whichever of them it asks.
func newClientTable(self string, members []vfs.Member) *clientTable {
	t := &clientTable{members: make(map[netip.Addr][16]byte), loopback: memberClient(self)}
	add := func(m vfs.Member) {
		host := slices.IndexFunc(members, func(o vfs.Member) bool { return slices.Equal(o.Addrs, m.Addrs) })
		id := memberClient(members[host].Name)
		if m.Name == self {
			t.loopback = id
		}
		for _, a := range m.Addrs {
			if _, ok := t.members[a]; !ok && !a.IsLoopback() {
				t.members[a] = id
			}
		}
	}
	for _, m := range members {
		if m.Name == self && len(m.Addrs) > 0 {
			add(m)
		}
	}
	for _, m := range members {
		if m.Name != self && len(m.Addrs) > 0 {
			add(m)
		}
	}
	return t
}

// Client returns the identity of a client for the duplicate request cache (rule
// R11): its address, IPv4-mapped folded and without a zone. Loopback and every
// address that a member has published count as that member, so that a client on
// a node's host stays itself when it turns to the other node.
func (s *Store) Client(addr netip.Addr) [16]byte {
	addr = plainAddr(addr)
	t := s.clients.Load()
	if addr.IsLoopback() && s.cfg.Self.Name != "" {
		return t.loopback
	}
	if id, ok := t.members[addr]; ok {
		return id
	}
	return addr.As16()
}

// refreshClients compiles the table anew if a record has changed. It runs in
// Open and then in the apply goroutine.
func (s *Store) refreshClients() {
	if s.clients.Load() != nil {
		select {
		case <-s.membersChanged:
		default:
			return
		}
	}
	s.compileClients()
}

// compileClients compiles the table from the state as it is now.
func (s *Store) compileClients() {
	members, changed := s.state.Members()
	s.membersChanged = changed
	s.clients.Store(newClientTable(s.cfg.Self.Name, members))
}
