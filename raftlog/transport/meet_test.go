package transport_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
)

var orders = [][]string{
	{"a", "b", "w"}, {"a", "w", "b"}, {"b", "a", "w"}, {"b", "w", "a"}, {"w", "a", "b"}, {"w", "b", "a"},
}

// wantMet checks that a Meet ended well and with the same cluster as others.
func wantMet(t *testing.T, n *node, ch <-chan meetResult) identity.ClusterID {
	t.Helper()
	r := wait(t, "Meet of "+n.cfg.Self.Name, ch)
	if r.err != nil {
		t.Fatalf("node %s: %v", n.cfg.Self.Name, r.err)
	}
	if n.binding == nil || n.binding.ClusterID != r.binding.ClusterID || n.mux.Binding().ClusterID != r.binding.ClusterID {
		t.Fatalf("node %s met %s without recording it", n.cfg.Self.Name, r.binding.ClusterID)
	}
	return r.binding.ClusterID
}

// Whatever the order of starts, all three find the same cluster, and none before
// the last one is up.
func TestMeet_AnyOrder(t *testing.T) {
	for _, order := range orders {
		t.Run(strings.Join(order, ""), func(t *testing.T) {
			nodes := newCluster(t)
			ctx := testContext(t)
			met := make(map[string]<-chan meetResult)
			for i, name := range order {
				nodes[name].start()
				met[name] = nodes[name].meet(ctx)
				if i == 1 {
					last := nodes[order[2]].cfg
					for _, early := range order[:2] {
						n := nodes[early]
						eventually(t, "a line about the missing member", func() bool {
							return strings.Contains(n.log.String(), "waiting for member "+last.Self.Name+" at "+last.Listen)
						})
						if n.mux.Binding() != nil {
							t.Fatalf("%s is bound though %s is missing", early, last.Self.Name)
						}
					}
					_, err := nodes[order[0]].mux.Dial(ctx, order[1], raftlog.StreamRaft)
					if !errors.Is(err, transport.ErrNotMet) {
						t.Fatalf("dial before the meeting: %v", err)
					}
				}
			}
			id := wantMet(t, nodes["a"], met["a"])
			if wantMet(t, nodes["b"], met["b"]) != id || wantMet(t, nodes["w"], met["w"]) != id {
				t.Fatal("the nodes do not agree")
			}
			roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamRaft)
			roundTrip(t, nodes["w"], nodes["b"], raftlog.StreamRaft)
			if b, err := nodes["a"].mux.Meet(ctx); err != nil || b.ClusterID != id {
				t.Errorf("second Meet: %v, %v", b.ClusterID, err)
			}
		})
	}
}

// One node binds; then any of the three restarts, and all come together.
func TestMeet_CrashInBetween(t *testing.T) {
	for _, first := range []string{"a", "b", "w"} {
		for _, crash := range []string{"a", "b", "w"} {
			t.Run(first+" bound, "+crash+" restarts", func(t *testing.T) {
				nodes := newCluster(t)
				ctx := testContext(t)
				startAll(nodes)
				id := wantMet(t, nodes[first], nodes[first].meet(ctx))
				nodes[crash].stop()
				nodes[crash].start()
				for _, n := range nodes {
					if wantMet(t, n, n.meet(ctx)) != id {
						t.Errorf("%s is in another cluster", n.cfg.Self.Name)
					}
				}
				roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamRaft)
			})
		}
	}
}

// A node that could not record the cluster is not a member, and says why.
func TestMeet_RecordFails(t *testing.T) {
	nodes := newCluster(t)
	ctx := testContext(t)
	startAll(nodes)
	nodes["a"].bindErr = errors.New("disk full")
	if r := wait(t, "Meet", nodes["a"].meet(ctx)); !errors.Is(r.err, nodes["a"].bindErr) {
		t.Fatalf("Meet: %v", r.err)
	}
	wantMet(t, nodes["b"], nodes["b"].meet(ctx))
	nodes["a"].mux.Listener(raftlog.StreamRaft)
	_, err := nodes["b"].mux.Dial(ctx, "a", raftlog.StreamRaft)
	wantCode(t, err, transport.CodeNotMet, "a")
	nodes["a"].bindErr = nil
	wantMet(t, nodes["a"], nodes["a"].meet(ctx))
	roundTrip(t, nodes["b"], nodes["a"], raftlog.StreamRaft)
}

// A node that did not record the cluster joins by one bound member, although the
// third is away: its id in that member's record says that it was there.
func TestMeet_JoinsByOneBoundMember(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	nodes["w"].binding = nil
	nodes["a"].start()
	nodes["w"].start()
	wantMet(t, nodes["w"], nodes["w"].meet(testContext(t)))
	roundTrip(t, nodes["a"], nodes["w"], raftlog.StreamRaft)
}

// The same, while the third member was formatted anew: that one is left out.
func TestMeet_JoinsBesideWipedMember(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	nodes["w"].binding = nil
	nodes["b"].wipe(9)
	startAll(nodes)
	wantMet(t, nodes["w"], nodes["w"].meet(testContext(t)))
	roundTrip(t, nodes["a"], nodes["w"], raftlog.StreamRaft)
	if !strings.Contains(nodes["w"].log.String(), "formatted anew") {
		t.Error("nothing said about the wiped member")
	}
	if r := wait(t, "Meet of b", nodes["b"].meet(testContext(t))); !errors.Is(r.err, transport.ErrFormattedAnew) {
		t.Errorf("Meet of the wiped member: %v", r.err)
	}
}

// A wiped node finds out by itself, is refused by the others, and is no member
// even if it claims the cluster.
func TestMeet_WipedNodeIsRefused(t *testing.T) {
	for _, wiped := range []string{"a", "b", "w"} {
		t.Run(wiped, func(t *testing.T) {
			nodes := newCluster(t)
			ctx := testContext(t)
			bindAll(t, nodes)
			n := nodes[wiped]
			n.wipe(9)
			startAll(nodes)
			r := wait(t, "Meet", n.meet(ctx))
			if !errors.Is(r.err, transport.ErrFormattedAnew) || !strings.Contains(r.err.Error(), "replace the member") {
				t.Fatalf("Meet: %v", r.err)
			}
			if n.binding != nil {
				t.Fatal("the wiped node recorded a cluster")
			}
			for name, other := range nodes {
				if name == wiped {
					continue
				}
				n.mux.Listener(raftlog.StreamRaft)
				_, err := other.mux.Dial(ctx, wiped, raftlog.StreamRaft)
				wantCode(t, err, transport.CodeNotMet, wiped)
				eventually(t, "a log line of "+name, func() bool {
					return strings.Contains(other.log.String(), "formatted anew")
				})
			}
		})
	}
}

// Two wiped nodes cannot found a cluster against the one that remembers.
func TestMeet_TwoWipedNodes(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	nodes["a"].wipe(8)
	nodes["b"].wipe(9)
	startAll(nodes)
	ctx := testContext(t)
	for _, name := range []string{"a", "b"} {
		if r := wait(t, "Meet", nodes[name].meet(ctx)); !errors.Is(r.err, transport.ErrFormattedAnew) {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}

// A node of another cluster with the same names is refused at both ends of a
// dial, whichever node dials, and for what it is: not because its id is another.
func TestDial_OtherCluster(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	old := nodes["a"].binding
	b := nodes["b"]
	b.wipe(9)
	bindAll(t, nodes) // what b believes
	nodes["a"].binding, nodes["w"].binding = old, old
	startAll(nodes)
	for _, n := range nodes {
		n.mux.Listener(raftlog.StreamRaft)
	}
	_, err := b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
	r := wantCode(t, err, transport.CodeClusterID, "a")
	if !strings.Contains(r.Text, "nodes b and a have directories of two clusters") || strings.Contains(r.Text, "formatted anew") {
		t.Errorf("text %q", r.Text)
	}
	_, err = nodes["w"].mux.Dial(testContext(t), "b", raftlog.StreamRaft)
	wantCode(t, err, transport.CodeClusterID, "b")
	if info, _ := nodes["w"].mux.PeerInfo("b"); !strings.Contains(info.Problem, "cluster-id") {
		t.Errorf("status says %q", info.Problem)
	}
}

// Members bound to different clusters are an error, not a choice.
func TestMeet_BoundMembersDisagree(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	one := nodes["a"].binding
	nodes["a"].wipe(9)
	bindAll(t, nodes)
	nodes["a"].binding = nil
	nodes["w"].binding = one
	startAll(nodes)
	if r := wait(t, "Meet", nodes["a"].meet(testContext(t))); !errors.Is(r.err, transport.ErrDisagree) {
		t.Errorf("Meet: %v", r.err)
	}
}

// A copied directory shows before it becomes part of a cluster.
func TestMeet_SameIDTwice(t *testing.T) {
	nodes := newCluster(t)
	nodes["b"].cfg.Self.NodeID = nodes["a"].cfg.Self.NodeID
	startAll(nodes)
	r := wait(t, "Meet", nodes["w"].meet(testContext(t)))
	if !errors.Is(r.err, transport.ErrDisagree) || !errors.Is(r.err, identity.ErrInvalid) || strings.Contains(r.err.Error(), "\n") {
		t.Errorf("Meet: %v", r.err)
	}
}

func TestMeet_ContextEnds(t *testing.T) {
	n := newCluster(t)["a"]
	n.start()
	ctx, cancel := context.WithCancel(t.Context())
	met := n.meet(ctx)
	eventually(t, "the first round", func() bool { return strings.Contains(n.log.String(), "waiting for member") })
	cancel()
	if r := wait(t, "Meet", met); !errors.Is(r.err, context.Canceled) {
		t.Errorf("Meet: %v", r.err)
	}
}

// The whole way with real directories: format, meet, restart, wipe.
func TestMeet_WithDirectories(t *testing.T) {
	nodes := newCluster(t)
	ctx := testContext(t)
	root := t.TempDir()
	dirs := make(map[string]*identity.Dir)
	open := func(name string) {
		n := nodes[name]
		d, err := identity.Open(filepath.Join(root, name), identity.Config{Node: name, Cluster: "c1", Role: n.cfg.Self.Role})
		if err != nil {
			t.Fatal(err)
		}
		dirs[name] = d
		t.Cleanup(func() { d.Close() })
		n.cfg.Self, n.cfg.Bind, n.binding = d.Identity().Member(), d.Bind, d.Binding()
		n.start()
	}
	format := func(name, dir string) {
		cfg := identity.Config{Node: name, Cluster: "c1", Role: nodes[name].cfg.Self.Role, MinFreeBytes: 1}
		if _, err := identity.Init(dir, cfg); err != nil {
			t.Fatal(err)
		}
	}
	var met []<-chan meetResult
	for _, name := range orders[0] {
		format(name, filepath.Join(root, name))
		open(name)
		met = append(met, nodes[name].meet(ctx))
	}
	id := wait(t, "Meet", met[0]).binding.ClusterID
	for _, ch := range met[1:] {
		if r := wait(t, "Meet", ch); r.err != nil || r.binding.ClusterID != id {
			t.Fatalf("met %v, %v", r.binding.ClusterID, r.err)
		}
	}
	nodes["a"].stop()
	dirs["a"].Close()
	open("a")
	if b := nodes["a"].mux.Binding(); b == nil || b.ClusterID != id {
		t.Fatalf("restarted with %v", b)
	}
	nodes["a"].mux.Listener(raftlog.StreamRaft)
	roundTrip(t, nodes["b"], nodes["a"], raftlog.StreamRaft)

	nodes["b"].stop()
	dirs["b"].Close()
	root = t.TempDir()
	format("b", filepath.Join(root, "b"))
	open("b")
	if r := wait(t, "Meet", nodes["b"].meet(ctx)); !errors.Is(r.err, transport.ErrFormattedAnew) {
		t.Errorf("wiped node: %v", r.err)
	}
}
