package transport_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
)

// rebind gives a stopped node the directory of another cluster, whose nodes and
// whose name are the same. Clusters with the same number are one.
func (n *node) rebind(cluster byte) {
	n.t.Helper()
	var members []identity.Member
	for i, m := range n.cfg.Members {
		members = append(members, identity.Member{Name: m.Name, Role: m.Role, NodeID: nodeID(16*cluster + byte(i))})
		if m.Name == n.cfg.Self.Name {
			n.cfg.Self = members[i]
		}
	}
	b, err := identity.NewBinding("c1", members)
	if err != nil {
		n.t.Fatal(err)
	}
	n.binding = &b
}

// dialRefused dials and checks that this fails.
func dialRefused(t *testing.T, from, to *node) {
	t.Helper()
	if c, err := from.mux.Dial(testContext(t), to.cfg.Self.Name, raftlog.StreamControl); err == nil {
		c.Close()
		t.Fatalf("%s has a stream to %s", from.cfg.Self.Name, to.cfg.Self.Name)
	}
}

// wantStranger checks the error that ends a node.
func wantStranger(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, transport.ErrStranger) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v, want %v in one line", err, transport.ErrStranger)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// wantMember checks that a node found nothing that could end it.
func wantMember(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		select {
		case err := <-n.mux.Fatal():
			t.Errorf("%s would end: %v", n.cfg.Self.Name, err)
		default:
		}
	}
}

// A node of another cluster ends once both others have shown that they are of
// one, and not before. These refuse it, are refused by it, and go on.
func TestFatal_NodeOfAnotherCluster(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a, b, w := nodes["a"], nodes["b"], nodes["w"]
	b.rebind(2)
	startAll(nodes)
	for range 3 {
		dialRefused(t, b, a)
		dialRefused(t, a, b)
	}
	wantMember(t, b)
	dialRefused(t, b, w)
	dialRefused(t, w, b)
	wantStranger(t, wait(t, "the end of b", b.mux.Fatal()),
		"nodes a and w are of cluster \"c1\"", a.binding.ClusterID.String(), b.binding.ClusterID.String(), "give node b its directory")
	roundTrip(t, a, w, raftlog.StreamControl)
	wantMember(t, a, w)
}

// The same if the two clusters have different names.
func TestFatal_OtherClusterName(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	b := nodes["b"]
	b.cfg.ClusterName = "c2"
	other, err := identity.NewBinding("c2", b.binding.Members)
	if err != nil {
		t.Fatal(err)
	}
	b.binding = &other
	startAll(nodes)
	dialRefused(t, b, nodes["a"])
	dialRefused(t, b, nodes["w"])
	wantStranger(t, wait(t, "the end of b", b.mux.Fatal()), `are of cluster "c1"`, `of another one, "c2"`)
}

// What one member was before it was put right counts no more, whether it is up
// again or still down: at no time were two of them against a.
func TestFatal_OneWrongMemberAfterTheOther(t *testing.T) {
	for _, up := range []bool{false, true} {
		nodes := newCluster(t)
		bindAll(t, nodes)
		a, b, w := nodes["a"], nodes["b"], nodes["w"]
		own, id := b.binding, b.cfg.Self
		b.rebind(2)
		w.rebind(2)
		a.start()
		b.start()
		dialRefused(t, a, b)
		b.stop()
		b.binding, b.cfg.Self = own, id
		if up {
			b.start()
			roundTrip(t, b, a, raftlog.StreamPeer) // a itself does not dial
		} else {
			dialRefused(t, a, b)
		}
		w.start()
		dialRefused(t, a, w)
		wantMember(t, a)
	}
}

// Two members that are wrong in different ways are no cluster.
func TestFatal_StrangersThatDisagree(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	nodes["b"].rebind(2)
	nodes["w"].rebind(3)
	startAll(nodes)
	for _, from := range nodes {
		for _, to := range nodes {
			if from != to {
				dialRefused(t, from, to)
			}
		}
	}
	wantMember(t, nodes["a"], nodes["b"], nodes["w"])
}

// Members that were wiped have no say, even if both were.
func TestFatal_WipedMembers(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	nodes["b"].wipe(8)
	nodes["w"].wipe(9)
	startAll(nodes)
	dialRefused(t, nodes["a"], nodes["b"])
	dialRefused(t, nodes["a"], nodes["w"])
	wantMember(t, nodes["a"])
}

// An unbound node whose configuration a bound cluster does not accept ends; in a
// first meeting it waits, because nobody knows yet whose mistake it is.
func TestMeet_ConfigurationRefused(t *testing.T) {
	mistakes := map[string]struct {
		edit func(*transport.Config)
		want string
	}{
		"cluster name": {func(c *transport.Config) { c.ClusterName = "c2" }, "correct the cluster name"},
		"role": {func(c *transport.Config) {
			c.Self.Role = raftlog.RoleData
			c.Members = append([]transport.Member(nil), c.Members...)
			c.Members[2].Role = raftlog.RoleData
		}, "correct the configuration"},
	}
	for name, tt := range mistakes {
		t.Run(name, func(t *testing.T) {
			for _, bound := range []bool{true, false} {
				nodes := newCluster(t)
				w := nodes["w"]
				if bound {
					bindAll(t, nodes)
					w.binding = nil
				}
				tt.edit(&w.cfg)
				startAll(nodes)
				met := w.meet(testContext(t))
				if bound {
					wantStranger(t, wait(t, "Meet", met).err, "nodes a and b are of cluster \"c1\"", tt.want)
					continue
				}
				eventually(t, "the first round", func() bool {
					return strings.Count(w.log.String(), "waiting for member") == 2
				})
				w.stop()
				if r := wait(t, "Meet", met); !errors.Is(r.err, transport.ErrClosed) {
					t.Errorf("Meet: %v", r.err)
				}
			}
		})
	}
}

// Probe tells before a start what Meet and Fatal would tell after it.
func TestProbe_Outcomes(t *testing.T) {
	tests := map[string]struct {
		spoil func(nodes map[string]*node)
		want  error
	}{
		"a member":              {func(map[string]*node) {}, nil},
		"another cluster":       {func(n map[string]*node) { n["b"].rebind(2) }, transport.ErrStranger},
		"wiped":                 {func(n map[string]*node) { n["b"].wipe(9) }, transport.ErrFormattedAnew},
		"not bound yet":         {func(n map[string]*node) { n["b"].binding = nil }, nil},
		"one wrong member":      {func(n map[string]*node) { n["a"].rebind(2) }, nil},
		"one wrong, one away":   {func(n map[string]*node) { n["a"].rebind(2); delete(n, "w") }, nil},
		"members that disagree": {func(n map[string]*node) { n["a"].rebind(2); n["w"].rebind(3) }, nil},
		"members were wiped":    {func(n map[string]*node) { n["a"].wipe(8); n["w"].wipe(9) }, nil},
		"alone":                 {func(n map[string]*node) { delete(n, "a"); delete(n, "w") }, nil},
		"wiped, one away":       {func(n map[string]*node) { n["b"].wipe(9); delete(n, "w") }, transport.ErrFormattedAnew},
		"a config mistake":      {func(n map[string]*node) { n["b"].cfg.Listen = "x" }, errAny},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t)
			bindAll(t, nodes)
			tt.spoil(nodes)
			b := nodes["b"]
			for _, n := range nodes {
				if n != b {
					n.start()
				}
			}
			b.cfg.Binding = b.binding
			err := transport.Probe(t.Context(), b.cfg)
			switch {
			case tt.want == errAny:
				if err == nil {
					t.Error("no error")
				}
			case !errors.Is(err, tt.want):
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if b.log.String() != "" {
				t.Errorf("it logs:\n%s", b.log.String())
			}
			for _, n := range nodes {
				if n != b {
					wantMember(t, n)
				}
			}
		})
	}
}

var errAny = errors.New("any error")

// One member of the own cluster is enough: a machine that swallows packets does
// not hold up a start beside it. Where that one is needed, the limit counts.
func TestProbe_WaitsNoLongerThanNeeded(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a, b := nodes["a"], nodes["b"]
	silent, err := net.Listen("tcp", nodes["w"].cfg.Listen) // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b.cfg.Binding = b.binding
	a.start()
	begin := time.Now()
	if err := transport.Probe(t.Context(), b.cfg); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > transport.ProbeTimeout/2 {
		t.Errorf("with one member there it takes %v", d)
	}
	a.stop()
	if err := transport.Probe(t.Context(), b.cfg); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 3*transport.ProbeTimeout {
		t.Errorf("alone it takes %v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := transport.Probe(ctx, b.cfg); err != nil {
		t.Error(err)
	}
}
