package replica

import (
	"net/netip"
	"testing"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return plainAddrs(all)
}

// As seen from b: what each address counts as.
func TestClient(t *testing.T) {
	members := []vfs.Member{
		{Name: "a", Addrs: addrs("192.0.2.1", "2001:db8::1", "172.17.0.1", "fe80::1%eth0", "127.0.0.1")},
		{Name: "b", Addrs: addrs("192.0.2.2", "172.17.0.1")},
		{Name: "w", Addrs: addrs("::ffff:192.0.2.3")},
	}
	s := &Store{cfg: Config{Self: vfs.Member{Name: "b"}}}
	s.clients.Store(newClientTable("b", members))
	for text, want := range map[string]string{
		"127.0.0.1": "b", "127.9.9.9": "b", "::1": "b", "::ffff:127.0.0.1": "b",
		"192.0.2.2": "b", "::ffff:192.0.2.2": "b",
		"172.17.0.1": "b", // both have it, and only b itself can come to b from it
		"192.0.2.1":  "a", "2001:db8::1": "a", "fe80::1%ens3": "a",
		"192.0.2.3": "w",
	} {
		if got := s.Client(netip.MustParseAddr(text)); got != memberClient(want) {
			t.Errorf("%s counts as %v, want member %s", text, netip.AddrFrom16(got), want)
		}
	}
	for text, want := range map[string]string{
		"192.0.2.9": "::ffff:192.0.2.9", "::ffff:192.0.2.9": "::ffff:192.0.2.9",
		"2001:db8::9": "2001:db8::9", "fe80::9%eth0": "fe80::9",
	} {
		if got := s.Client(netip.MustParseAddr(text)); got != netip.MustParseAddr(want).As16() {
			t.Errorf("%s counts as %v", text, netip.AddrFrom16(got))
		}
	}
}

// A member's identity lies in the discard-only prefix, and each has its own.
func TestClient_MembersIdentity(t *testing.T) {
	discard := netip.MustParsePrefix("100::/64")
	a, b := netip.AddrFrom16(memberClient("a")), netip.AddrFrom16(memberClient("b"))
	if !discard.Contains(a) || !discard.Contains(b) || a == b {
		t.Errorf("%v and %v", a, b)
	}
}

// Two nodes of one host have one list of addresses: a client there is the same
// at both.
func TestClient_NodesOfOneHost(t *testing.T) {
	members := []vfs.Member{{Name: "a", Addrs: addrs("192.0.2.1")}, {Name: "b", Addrs: addrs("192.0.2.1")}}
	for _, self := range []string{"a", "b"} {
		s := &Store{cfg: Config{Self: vfs.Member{Name: self}}}
		s.clients.Store(newClientTable(self, members))
		for _, text := range []string{"127.0.0.1", "192.0.2.1"} {
			if s.Client(netip.MustParseAddr(text)) != memberClient("a") {
				t.Errorf("%s at %s is not a", text, self)
			}
		}
	}
}

// Records count from the entry on that brings them, and after a restart.
func TestClient_FollowsTheRecords(t *testing.T) {
	dir := t.TempDir()
	config := Config{Dir: dir, ReserveBytes: 1, Self: vfs.Member{Name: "a"}}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	other := netip.MustParseAddr("192.0.2.2")
	if s.Client(other) != other.As16() || s.Client(netip.MustParseAddr("::1")) != memberClient("a") {
		t.Error("before any record")
	}
	publish := func(index raftlog.Index, text ...string) {
		op := &command.SetMember{Member: vfs.Member{Name: "b", Addrs: addrs(text...)}}
		s.Commit([]raftlog.Entry{entryOf(t, index, 1, 1, origin(uint64(index)), op)})
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.Commit([]raftlog.Entry{entryOf(t, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096})})
	publish(2, "192.0.2.2")
	if s.Client(other) != memberClient("b") {
		t.Error("a record that is applied does not count")
	}
	publish(3, "192.0.2.22")
	if s.Client(other) != other.As16() {
		t.Error("an address that went still counts")
	}
	publish(4, "192.0.2.2")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(config); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Client(other) != memberClient("b") {
		t.Error("after a restart the record does not count")
	}
}

func BenchmarkClient(b *testing.B) {
	s := &Store{cfg: Config{Self: vfs.Member{Name: "a"}}}
	s.clients.Store(newClientTable("a", []vfs.Member{{Name: "a", Addrs: addrs("192.0.2.1")}}))
	addr := netip.MustParseAddr("198.51.100.7")
	b.ReportAllocs()
	for b.Loop() {
		s.Client(addr)
	}
}
