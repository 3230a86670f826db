package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/transport"
)

func boundCluster(t *testing.T) map[string]*node {
	nodes := newCluster(t)
	bindAll(t, nodes)
	startAll(nodes)
	return nodes
}

// Each kind of stream reaches the consumer of that kind, in both directions.
func TestMux_KindsAreRouted(t *testing.T) {
	nodes := boundCluster(t)
	kinds := []raftlog.StreamKind{raftlog.StreamRaft, raftlog.StreamControl, raftlog.StreamPeer}
	for _, n := range nodes {
		for _, k := range kinds {
			n.mux.Listener(k)
		}
	}
	for _, k := range kinds {
		roundTrip(t, nodes["a"], nodes["b"], k)
		roundTrip(t, nodes["b"], nodes["a"], k)
		roundTrip(t, nodes["w"], nodes["a"], k)
	}
	if got := nodes["a"].mux.Listener(raftlog.StreamRaft).Addr().String(); got != "a" {
		t.Errorf("listener address %q", got)
	}
	if _, err := nodes["a"].mux.Dial(t.Context(), "b", 99); err == nil {
		t.Error("dialled an unknown kind")
	}
	for _, name := range []string{"a", "x"} {
		if _, err := nodes["a"].mux.Dial(t.Context(), name, raftlog.StreamRaft); err == nil {
			t.Errorf("a dialled %q", name)
		}
	}
}

func TestMux_NoConsumer(t *testing.T) {
	nodes := boundCluster(t)
	_, err := nodes["a"].mux.Dial(testContext(t), "b", raftlog.StreamPeer)
	wantCode(t, err, transport.CodeNoConsumer, "b")
	l := nodes["b"].mux.Listener(raftlog.StreamPeer)
	roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamPeer)
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	_, err = nodes["a"].mux.Dial(testContext(t), "b", raftlog.StreamPeer)
	wantCode(t, err, transport.CodeNoConsumer, "b")
	roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamPeer)
}

// Streams that nobody takes fill a bounded queue; then dials are refused, and
// closing the listener closes what waits in it.
func TestMux_QueueIsBounded(t *testing.T) {
	nodes := boundCluster(t)
	a, b := nodes["a"], nodes["b"]
	l := b.mux.Listener(raftlog.StreamControl)
	var conns []net.Conn
	for i := range transport.AcceptQueue {
		from := a
		if i >= transport.MaxInboundPerKind {
			from = nodes["w"]
		}
		c, err := from.mux.Dial(testContext(t), "b", raftlog.StreamControl)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	// The last ones may still be on their way into the queue.
	eventually(t, "a refusal", func() bool {
		c, err := nodes["w"].mux.Dial(testContext(t), "b", raftlog.StreamControl)
		if err == nil {
			c.Close()
			return false
		}
		wantCode(t, err, transport.CodeBusy, "b")
		return true
	})
	l.Close()
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("queued stream after close: %v", err)
		}
	}
}

// drain accepts streams of some kinds and leaves each open as long as its peer does.
func drain(n *node, kinds ...raftlog.StreamKind) {
	for _, kind := range kinds {
		l := n.mux.Listener(kind)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					io.Copy(io.Discard, c)
				}()
			}
		}()
	}
}

var streamKinds = []raftlog.StreamKind{raftlog.StreamRaft, raftlog.StreamControl, raftlog.StreamPeer, raftlog.StreamCatchUp}

// A member's idle streams keep out nobody else's, none of another kind, and not
// this node's own to that member.
func TestMux_StreamsPerPeerAreBounded(t *testing.T) {
	nodes := boundCluster(t)
	a, b := nodes["a"], nodes["b"]
	drain(b, streamKinds...)
	var last net.Conn
	for _, kind := range streamKinds {
		for i := range transport.MaxInboundPerKind {
			c, err := a.mux.Dial(testContext(t), "b", kind)
			if err != nil {
				t.Fatalf("kind %d, %d: %v", kind, i, err)
			}
			defer c.Close()
			last = c
		}
		// b may count the last one only after a has it; what is too many is cut then.
		eventually(t, "a refusal", func() bool {
			c, err := a.mux.Dial(testContext(t), "b", kind)
			if err == nil {
				c.Close()
				return false
			}
			wantCode(t, err, transport.CodeBusy, "b")
			return true
		})
	}
	drain(a, raftlog.StreamRaft)
	for i := range transport.MaxInboundPerKind {
		c, err := b.mux.Dial(testContext(t), "a", raftlog.StreamRaft)
		if err != nil {
			t.Fatalf("back, %d: %v", i, err)
		}
		defer c.Close()
	}
	drain(nodes["w"], raftlog.StreamRaft)
	for _, pair := range [][2]string{{"a", "w"}, {"w", "b"}} {
		c, err := nodes[pair[0]].mux.Dial(testContext(t), pair[1], raftlog.StreamRaft)
		if err != nil {
			t.Fatalf("from %s to %s: %v", pair[0], pair[1], err)
		}
		c.Close()
	}
	// A closed stream gives its place back.
	last.Close()
	last.Close()
	eventually(t, "room after a close", func() bool {
		c, err := a.mux.Dial(testContext(t), "b", streamKinds[len(streamKinds)-1])
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func TestMux_PeerInfo(t *testing.T) {
	nodes := newCluster(t)
	nodes["b"].cfg.Format = transport.Range{Min: 1, Max: 3}
	bindAll(t, nodes)
	startAll(nodes)
	a, b := nodes["a"], nodes["b"]
	info, ok := a.mux.PeerInfo("b")
	if !ok || info.Connected || info.NodeID != b.cfg.Self.NodeID || len(info.Addrs) != 0 {
		t.Errorf("before: %+v, %v", info, ok)
	}
	l := b.mux.Listener(raftlog.StreamRaft)
	c, err := a.mux.Dial(testContext(t), "b", raftlog.StreamRaft)
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	info, _ = a.mux.PeerInfo("b")
	host, _, _ := net.SplitHostPort(b.cfg.Listen)
	if !info.Connected || info.Insecure || len(info.Addrs) != 1 || info.Addrs[0] != netip.MustParseAddr(host) || info.Format.Max != 3 {
		t.Errorf("connected: %+v", info)
	}
	if back, _ := b.mux.PeerInfo("a"); !back.Connected || len(back.Addrs) == 0 {
		t.Errorf("seen from b: %+v", back)
	}
	c.Close()
	in.Close()
	b.stop()
	if _, err := a.mux.Dial(testContext(t), "b", raftlog.StreamRaft); err == nil {
		t.Fatal("dialled a stopped node")
	}
	if info, _ = a.mux.PeerInfo("b"); info.Connected || info.Problem == "" {
		t.Errorf("stopped: %+v", info)
	}
	for _, name := range []string{"a", "x"} {
		if _, ok := a.mux.PeerInfo(name); ok {
			t.Errorf("PeerInfo of %q", name)
		}
	}
}

// Close ends streams, a waiting Accept, a dial and a Meet.
func TestMux_CloseEndsEverything(t *testing.T) {
	nodes := boundCluster(t)
	a, b, w := nodes["a"], nodes["b"], nodes["w"]
	l := b.mux.Listener(raftlog.StreamRaft)
	c, err := a.mux.Dial(testContext(t), "b", raftlog.StreamRaft)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	accept := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accept <- err
	}()
	b.stop()
	if err := wait(t, "Accept to end", accept); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read from a closed node: %v", err)
	}
	mux := a.mux
	a.stop()
	if _, err := mux.Dial(t.Context(), "w", raftlog.StreamRaft); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
	if _, err := mux.Listener(raftlog.StreamRaft).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	w.stop()
	w.wipe(9)
	w.start()
	met := w.meet(context.Background())
	mux = w.mux
	w.stop()
	if r := wait(t, "Meet to end", met); !errors.Is(r.err, transport.ErrClosed) {
		t.Errorf("Meet: %v", r.err)
	}
	if _, err := mux.Meet(t.Context()); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Meet after close: %v", err)
	}
}

// A dial to an end that accepts and then says nothing ends with its context.
func TestDial_ContextEndsHello(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a := nodes["a"]
	a.start()
	silent, err := net.Listen("tcp", nodes["b"].cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := a.mux.Dial(ctx, "b", raftlog.StreamRaft)
		done <- err
	}()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	cancel()
	if err := wait(t, "Dial to end", done); err == nil {
		t.Error("dialled a silent end")
	}
	if d := time.Since(begin); d > transport.HelloTimeout/2 {
		t.Errorf("Dial ended %v after its context", d)
	}
}

// Without a context's help the hello has its own bound.
func TestDial_SilentEnd(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a := nodes["a"]
	a.cfg.HelloTimeout = 50 * time.Millisecond
	a.start()
	silent, err := net.Listen("tcp", nodes["b"].cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := a.mux.Dial(t.Context(), "b", raftlog.StreamRaft); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("dialled a silent end: %v", err)
	}
}

func TestListen_PlainOnLoopbackOnly(t *testing.T) {
	base := func() transport.Config {
		cfg := newCluster(t)["a"].cfg
		cfg.Members = append([]transport.Member(nil), cfg.Members...)
		return cfg
	}
	refused := map[string]func(*transport.Config){
		"wildcard":       func(c *transport.Config) { c.Listen = ":7946" },
		"listen address": func(c *transport.Config) { c.Listen = "192.0.2.1:7946" },
		"IPv6 wildcard":  func(c *transport.Config) { c.Listen = "[::]:7946" },
		"member":         func(c *transport.Config) { c.Members[1].Addr = "192.0.2.1:7946" },
		"host name":      func(c *transport.Config) { c.Members[1].Addr = "b.example:7946" },
	}
	for name, edit := range refused {
		t.Run(name, func(t *testing.T) {
			cfg := base()
			edit(&cfg)
			_, err := transport.Listen(cfg)
			if err == nil || !strings.Contains(err.Error(), "insecure_peers") || !strings.Contains(err.Error(), "tls") {
				t.Fatalf("error %v", err)
			}
			cfg.InsecurePeers = true
			if err := cfg.Validate(); err != nil {
				t.Errorf("with insecure_peers: %v", err)
			}
		})
	}
	for _, addr := range []string{"localhost:0", "127.0.0.1:0", "[::1]:0"} {
		cfg := base()
		cfg.Listen = addr
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	t.Run("shown", func(t *testing.T) {
		nodes := newCluster(t)
		a := nodes["a"]
		a.cfg.InsecurePeers = true
		a.cfg.Listen = "0.0.0.0:0"
		a.start()
		if info, _ := a.mux.PeerInfo("b"); !info.Insecure {
			t.Errorf("%+v", info)
		}
		if !strings.Contains(a.log.String(), "plain and unauthenticated") {
			t.Error("no warning")
		}
	})
}

func TestListen_ConfigMistakes(t *testing.T) {
	tests := map[string]func(*transport.Config){
		"no cluster name":   func(c *transport.Config) { c.ClusterName = "" },
		"no id":             func(c *transport.Config) { c.Self.NodeID = [16]byte{} },
		"not a member":      func(c *transport.Config) { c.Self.Name = "x" },
		"other role":        func(c *transport.Config) { c.Self.Role = raftlog.RoleWitness },
		"unknown role":      func(c *transport.Config) { c.Members[1].Role = "x" },
		"name twice":        func(c *transport.Config) { c.Members[1].Name = "a" },
		"address twice":     func(c *transport.Config) { c.Members[1].Addr = c.Members[0].Addr },
		"no port":           func(c *transport.Config) { c.Members[1].Addr = "127.0.0.1" },
		"no host":           func(c *transport.Config) { c.Members[1].Addr = ":1" },
		"port zero":         func(c *transport.Config) { c.Members[1].Addr = "127.0.0.1:0" },
		"port by name":      func(c *transport.Config) { c.Listen = "127.0.0.1:nfs" },
		"no members":        func(c *transport.Config) { c.Members = nil },
		"no way to bind":    func(c *transport.Config) { c.Bind = nil },
		"bound to others":   func(c *transport.Config) { c.Members = c.Members[:2] },
		"bound, other name": func(c *transport.Config) { c.ClusterName = "c2" },
		"bound, other id":   func(c *transport.Config) { c.Self.NodeID = nodeID(9) },
		"empty formats":     func(c *transport.Config) { c.Format = transport.Range{Min: 2, Max: 1} },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t)
			cfg := nodes["a"].cfg
			cfg.Members = append([]transport.Member(nil), cfg.Members...)
			if strings.HasPrefix(name, "bound") {
				bindAll(t, nodes)
				cfg.Binding = nodes["a"].binding
			}
			edit(&cfg)
			mux, err := transport.Listen(cfg)
			if err == nil {
				mux.Close()
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
	t.Run("port in use", func(t *testing.T) {
		nodes := newCluster(t)
		nodes["a"].start()
		if _, err := transport.Listen(nodes["a"].cfg); err == nil || !strings.Contains(err.Error(), nodes["a"].cfg.Listen) {
			t.Errorf("error %v", err)
		}
	})
}

// IPv6 addresses and host names work as member addresses.
func TestMux_IPv6AndHostNames(t *testing.T) {
	nodes := newCluster(t)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	v6 := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(v6)
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, namePort, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	nodes["a"].cfg.Members[1].Addr = "[::1]:" + port
	nodes["b"].cfg.Listen = v6
	nodes["a"].cfg.Members[2].Addr = "localhost:" + namePort
	nodes["w"].cfg.Listen = "127.0.0.1:" + namePort
	bindAll(t, nodes)
	startAll(nodes)
	roundTrip(t, nodes["a"], nodes["b"], raftlog.StreamRaft)
	roundTrip(t, nodes["b"], nodes["a"], raftlog.StreamRaft)
	roundTrip(t, nodes["a"], nodes["w"], raftlog.StreamRaft)
	if info, _ := nodes["a"].mux.PeerInfo("b"); !slices.Contains(info.Addrs, netip.IPv6Loopback()) {
		t.Errorf("%+v", info)
	}
}
