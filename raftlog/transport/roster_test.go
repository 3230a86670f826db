package transport_test

import (
	"errors"
	"strings"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
)

// rosterOf is what the log of a cluster says once its first configuration is
// committed.
func rosterOf(nodes map[string]*node, index uint64) transport.Roster {
	r := transport.Roster{Index: index}
	for _, name := range []string{"a", "b", "w"} {
		n := nodes[name]
		for _, m := range n.cfg.Members {
			if m.Name == name {
				r.Members = append(r.Members, transport.Known{Member: m, NodeID: n.cfg.Self.NodeID})
			}
		}
	}
	return r
}

// without takes a member out of a roster.
func without(r transport.Roster, name string, index uint64) transport.Roster {
	next := transport.Roster{Index: index}
	for _, k := range r.Members {
		if k.Name != name {
			next.Members = append(next.Members, k)
		}
	}
	return next
}

// A removed member loses its streams and is refused from then on. It learns that
// this is for ever as soon as whoever refuses it knows a newer configuration than
// it does, and not before.
//
// Seen red: without the comparison of the two entries' indexes.
func TestRoster_Removed(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a, b := nodes["a"], nodes["b"]
	a.start()
	b.start()
	all := rosterOf(nodes, 5)
	a.mux.SetRoster(all)
	b.mux.SetRoster(transport.Roster{Index: 9, Members: all.Members})
	l := a.mux.Listener(raftlog.StreamRaft)
	conn, err := b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}

	a.mux.SetRoster(without(all, "b", 7))
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("the removed member's stream is open")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the stream is open at the removed member")
	}
	_, err = b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
	wantCode(t, err, transport.CodeMember, "a")
	select {
	case err := <-b.mux.Fatal():
		t.Fatalf("a node that knows a newer configuration is told by an older one that it is removed: %v", err)
	default:
	}
	a.mux.SetRoster(without(all, "b", 11))
	_, err = b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
	wantCode(t, err, transport.CodeMember, "a")
	if err := wait(t, "the end", b.mux.Fatal()); !errors.Is(err, transport.ErrRemoved) || !strings.Contains(err.Error(), "entry 11") {
		t.Errorf("%v", err)
	}
	a.mux.SetRoster(all) // older: changes nothing
	if r := a.mux.Roster(); r.Index != 11 || len(r.Members) != 2 {
		t.Errorf("an older roster is in force: %+v", r)
	}
}

// A node that was formatted to join waits, is identified, added, and gets in, also
// under the name of a member that it replaces. Nobody else gets in.
func TestRoster_Join(t *testing.T) {
	for _, name := range []string{"c", "b"} {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t)
			bindAll(t, nodes)
			a := nodes["a"]
			a.start()
			old := rosterOf(nodes, 5)
			a.mux.SetRoster(old)

			joiner := joining(t, nodes, name)
			joiner.start()
			met := make(chan error, 1)
			go func() { _, err := joiner.mux.Meet(testContext(t)); met <- err }()

			addr := transport.Member{Name: name, Role: raftlog.RoleData, Addr: joiner.cfg.Listen}
			found, err := a.mux.Identify(testContext(t), addr)
			if err != nil || found != joiner.cfg.Self {
				t.Fatalf("%+v, %v, want %+v", found, err, joiner.cfg.Self)
			}
			if _, err := a.mux.Identify(testContext(t), transport.Member{Name: "d", Role: raftlog.RoleData, Addr: addr.Addr}); err == nil {
				t.Error("a node is identified by another name")
			}
			select {
			case err := <-met:
				t.Fatalf("it is in before it was added: %v", err)
			default:
			}
			next := without(old, name, 6)
			next.Members = append(next.Members, transport.Known{Member: addr, NodeID: found.NodeID})
			a.mux.SetRoster(next)
			if err := wait(t, "the joiner", met); err != nil {
				t.Fatal(err)
			}
			b := joiner.mux.Binding()
			if b.ClusterID != a.mux.Binding().ClusterID || b.Joined == nil || *b.Joined != found {
				t.Errorf("binding %+v", b)
			}
			if r := joiner.mux.Roster(); r.Index != 6 || len(r.Members) != len(next.Members) {
				t.Errorf("roster %+v", r)
			}
			l := joiner.mux.Listener(raftlog.StreamRaft)
			if _, err := a.mux.Dial(testContext(t), name, raftlog.StreamRaft); err != nil {
				t.Error(err)
			}
			if _, err := l.Accept(); err != nil {
				t.Error(err)
			}
			if _, err := a.mux.Identify(testContext(t), addr); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("a directory that is of a cluster is identified as new: %v", err)
			}
		})
	}
}

// joining is a new node, under a name of its own or under a member's.
func joining(t *testing.T, nodes map[string]*node, name string) *node {
	t.Helper()
	cfg := nodes["b"].cfg
	cfg.Self = identity.Member{Name: name, Role: raftlog.RoleData, NodeID: nodeID(77)}
	cfg.Join, cfg.Binding = true, nil
	cfg.Bind = func(identity.Binding) error { return nil }
	members := append([]transport.Member(nil), cfg.Members...)
	for i := range members {
		if members[i].Name == "b" {
			members[i].Name = name
			cfg.Listen = members[i].Addr
		}
	}
	cfg.Members = members
	n := &node{t: t, cfg: cfg}
	t.Cleanup(n.stop)
	return n
}

// A node that was left behind by a recovery learns that from a member of the
// recovered cluster, and from nobody else.
func TestRoster_Fenced(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a, b := nodes["a"], nodes["b"]
	recovered, err := a.binding.Recover(a.cfg.Self)
	if err != nil {
		t.Fatal(err)
	}
	all := rosterOf(nodes, 5)
	alone := without(without(all, "b", 9), "w", 9)
	a.binding, a.cfg.Roster = &recovered, &alone
	a.start()
	b.start()
	a.mux.Listener(raftlog.StreamRaft)
	_, err = b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
	wantCode(t, err, transport.CodeFenced, "a")
	if err := wait(t, "the end", b.mux.Fatal()); !errors.Is(err, transport.ErrFenced) {
		t.Errorf("%v", err)
	}
	if err := transport.Probe(testContext(t), b.cfg); !errors.Is(err, transport.ErrFenced) {
		t.Errorf("probe: %v", err)
	}
}

// After forty replacements the list of members is as long as before, each that went
// is still refused by its identity, and so is whoever comes under its name with
// another one.
func TestRoster_FortyReplaced(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a, b := nodes["a"], nodes["b"]
	a.start()
	b.start()
	a.mux.Listener(raftlog.StreamRaft)
	index := uint64(5)
	all := rosterOf(nodes, index)
	a.mux.SetRoster(all)
	for i := range 40 {
		index++
		next := without(all, "b", index)
		next.Members = append(next.Members, transport.Known{
			Member: transport.Member{Name: "b", Role: raftlog.RoleData, Addr: b.cfg.Listen}, NodeID: nodeID(byte(100 + i)),
		})
		a.mux.SetRoster(next)
		_, err := b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
		wantCode(t, err, transport.CodeNodeID, "a")
		if got := a.mux.Roster(); len(got.Members) != 3 || got.Index != index {
			t.Fatalf("%+v", got)
		}
	}
	if err := wait(t, "the end", b.mux.Fatal()); !errors.Is(err, transport.ErrRemoved) {
		t.Errorf("it ends with %v", err)
	}
}
