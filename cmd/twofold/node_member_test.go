package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/raftlog/transport"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// Nodes that would apply the log by different rules do not meet.
func TestMuxConfig_StateFormatMustAgree(t *testing.T) {
	n := &node{cfg: &config{}}
	want := transport.Range{Min: state.FormatVersion, Max: state.FormatVersion}
	if got, err := n.muxConfig(); err != nil || got.Format != want {
		t.Errorf("peers may have format %v, want %v; %v", got.Format, want, err)
	}
}

func TestUsefulAddrs(t *testing.T) {
	parse := func(texts ...string) (all []netip.Addr) {
		for _, s := range texts {
			all = append(all, netip.MustParseAddr(s))
		}
		return all
	}
	lo, link, world := parse("127.0.0.1", "::1"), parse("fe80::1", "169.254.3.4"), parse("192.168.1.2", "2001:db8::1")
	for _, c := range []struct{ all, want []netip.Addr }{
		{slices.Concat(lo, link, world), world},
		{slices.Concat(lo, link), link},
		{lo, lo},
		{nil, nil},
	} {
		if got := usefulAddrs(c.all); !slices.Equal(got, c.want) {
			t.Errorf("of %v: %v, want %v", c.all, got, c.want)
		}
	}
}

// The witness's addresses gather while it is the same one.
func TestGathered(t *testing.T) {
	one, two, lo := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("127.0.0.1")
	known := []vfs.Member{{Name: "a", ID: [16]byte{1}, Addrs: []netip.Addr{lo}}, {Name: "w", ID: [16]byte{2}, Addrs: []netip.Addr{one}}}
	for _, c := range []struct {
		said vfs.Member
		want []netip.Addr
	}{
		{vfs.Member{Name: "w", ID: [16]byte{2}, Addrs: []netip.Addr{lo, two}}, []netip.Addr{two, one}},
		{vfs.Member{Name: "w", ID: [16]byte{3}, Addrs: []netip.Addr{two}}, []netip.Addr{two}}, // formatted anew
		{vfs.Member{Name: "w", ID: [16]byte{2}}, []netip.Addr{one}},
		{vfs.Member{Name: "v", ID: [16]byte{2}, Addrs: []netip.Addr{lo}}, nil},
	} {
		if got := gathered(known, c.said); !slices.Equal(got.Addrs, c.want) {
			t.Errorf("%+v: %v, want %v", c.said, got.Addrs, c.want)
		}
	}
}

// Forty members are replaced, one after the other: no more records stay than of
// those that went within memberLinger, and none of a member goes.
func TestGoneMembers_FortyReplaced(t *testing.T) {
	g := goneMembers{}
	now := time.Unix(1000, 0)
	records := []vfs.Member{{Name: "a"}, {Name: "b0"}, {Name: "w"}}
	for i := range 40 {
		members := []rosterMember{{Name: "a"}, {Name: fmt.Sprint("b", i)}, {Name: "w"}}
		for range 12 { // one replaced each six minutes
			for _, r := range g.due(records, members, now) {
				if slices.ContainsFunc(members, func(m rosterMember) bool { return m.Name == r.Name }) {
					t.Fatalf("%s is a member", r.Name)
				}
				records = slices.DeleteFunc(records, func(o vfs.Member) bool { return o.Name == r.Name })
			}
			now = now.Add(memberEvery)
		}
		if len(records) > 5 || len(g) > 2 {
			t.Fatalf("after %d: %d records, %d remembered", i, len(records), len(g))
		}
		if i < 39 {
			records = append(records, vfs.Member{Name: fmt.Sprint("b", i+1)})
		}
	}
	// One that comes back under its name has all its time again.
	old := []vfs.Member{{Name: "x"}}
	g.due(old, nil, now)
	g.due(old, []rosterMember{{Name: "x"}}, now.Add(memberLinger))
	if due := g.due(old, nil, now.Add(memberLinger)); len(due) != 0 {
		t.Errorf("%v goes at once", due)
	}
	if due := g.due(old, nil, now.Add(2*memberLinger)); len(due) != 1 {
		t.Error("it stays")
	}
}

// A program on a node's host makes a call over loopback, loses its connection
// and repeats the call at the other node, where it comes from the host's address
// in the network: it has its first answer, not that the name exists. A call of
// that address alone would be another client's.
func TestNode_RepeatedFromTheHostsAddress(t *testing.T) {
	addrs, err := hostAddrs()
	if err != nil {
		t.Fatal(err)
	}
	outside := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() })
	from := netip.MustParseAddr("127.0.0.77")
	if outside >= 0 {
		from = addrs[outside]
	} else {
		t.Log("this host has no IPv4 address but loopback: the call is repeated from another one of those")
	}
	c := newTestCluster(t)
	nodes := map[string]*testNode{}
	for name, cfg := range c.cfgs {
		if cfg.isData() {
			writeFile(t, cfg.ExportsFile, "/ *(rw,no_root_squash,insecure)\n")
		}
		nodes[name] = openTestNode(t, cfg)
		defer nodes[name].end(t)
	}
	c.ready(t, "a")
	c.ready(t, "b")
	for i, dir := range []string{"one", "two"} {
		first, other := c.cfgs["a"].NFS.Listen, c.cfgs["b"].NFS.Listen
		if i == 1 {
			first, other = other, first
		}
		for _, at := range []struct {
			server string
			local  netip.Addr
		}{{first, netip.MustParseAddr("127.0.0.1")}, {other, from}, {first, from}} {
			if st := mkdirFrom(t, at.server, at.local, 4711, dir); st != 0 {
				t.Errorf("MKDIR %s at %s from %v: %v", dir, at.server, at.local, st)
			}
		}
	}
	if st := mkdirFrom(t, c.cfgs["b"].NFS.Listen, from, 4712, "one"); st != client.ErrExist {
		t.Errorf("another call: %v", st)
	}
}

// mkdirFrom makes one call with a chosen XID over a connection of its own.
func mkdirFrom(t *testing.T, server string, local netip.Addr, xid uint32, name string) client.Status {
	t.Helper()
	ctx := t.Context()
	m, err := client.Dial(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	root, err := m.Root(ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.Dial(ctx, server, client.WithFirstXID(xid), client.WithLocalAddr(&net.TCPAddr{IP: local.AsSlice()}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	res, err := cl.Mkdir(ctx, root, name, client.SetAttr{Mode: client.Ptr(uint32(0o755))})
	if err != nil {
		t.Fatal(err)
	}
	return res.Status
}
