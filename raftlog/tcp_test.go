package raftlog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// tcpNet is a raftlog.Net over loopback without any protection. A stream begins
// with its kind, the length of the dialler's name, and the name.
type tcpNet struct {
	name  string
	ln    net.Listener
	addrs map[string]string
	kinds map[raftlog.StreamKind]*tcpListener
	wg    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn // both ways, for kill
	dead  bool
}

type tcpListener struct {
	net.Listener // for Addr
	conns        chan net.Conn
	done         chan struct{}
	once         sync.Once
}

func (l *tcpListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *tcpListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// namedConn has the name of the member at its other end.
type namedConn struct {
	net.Conn
	peer string
}

func (c namedConn) RemoteAddr() net.Addr { return peerName(c.peer) }

type peerName string

func (peerName) Network() string  { return "tcp" }
func (p peerName) String() string { return string(p) }

// newTCPNet listens at an address.
func newTCPNet(t testing.TB, name, addr string, addrs map[string]string) *tcpNet {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &tcpNet{name: name, ln: ln, addrs: addrs, kinds: map[raftlog.StreamKind]*tcpListener{}}
	for _, k := range []raftlog.StreamKind{raftlog.StreamRaft, raftlog.StreamControl} {
		n.kinds[k] = &tcpListener{Listener: ln, conns: make(chan net.Conn), done: make(chan struct{})}
	}
	addrs[name] = ln.Addr().String()
	return n
}

// keep remembers a stream, unless the member is dead.
func (n *tcpNet) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		c.Close()
		return false
	}
	n.conns = append(n.conns, c)
	return true
}

// kill ends all streams, as the end of the process would, and lets no new ones be.
func (n *tcpNet) kill() {
	n.mu.Lock()
	n.dead = true
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	n.ln.Close()
	for _, c := range conns {
		c.Close()
	}
	n.wg.Wait()
}

func (n *tcpNet) accept() {
	for {
		c, err := n.ln.Accept()
		if err != nil {
			return
		}
		var h [16]byte
		if _, err := io.ReadFull(c, h[:]); err != nil || !n.keep(c) {
			c.Close()
			continue
		}
		l := n.kinds[raftlog.StreamKind(h[0])]
		select {
		case l.conns <- namedConn{c, string(h[2 : 2+h[1]])}:
		case <-l.done:
			c.Close()
		}
	}
}

func (n *tcpNet) Dial(ctx context.Context, member string, kind raftlog.StreamKind) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", n.addrs[member])
	if err != nil {
		return nil, err
	}
	h := [16]byte{0: byte(kind), 1: byte(len(n.name))}
	copy(h[2:], n.name)
	if _, err := c.Write(h[:]); err != nil || !n.keep(c) {
		c.Close()
		return nil, errors.Join(err, net.ErrClosed)
	}
	return c, nil
}

func (n *tcpNet) Listener(kind raftlog.StreamKind) net.Listener { return n.kinds[kind] }

// tcpTrio is two data nodes and a witness over TCP, in real time.
type tcpTrio struct {
	t         testing.TB
	dir       string
	addrs     map[string]string
	nets      map[string]*tcpNet
	nodes     map[string]*raftlog.Node
	machines  map[string]*rafttest.Machine
	configure func(*raftlog.Config)
}

// newTCPTrio starts all three.
func newTCPTrio(t testing.TB, configure func(*raftlog.Config)) *tcpTrio {
	c := &tcpTrio{
		t: t, dir: t.TempDir(), addrs: map[string]string{}, nets: map[string]*tcpNet{},
		nodes: map[string]*raftlog.Node{}, machines: map[string]*rafttest.Machine{}, configure: configure,
	}
	t.Cleanup(func() {
		for name := range c.nodes {
			c.nodes[name].Close()
			c.nets[name].kill()
		}
	})
	for _, m := range rafttest.Trio {
		c.nets[m.Name] = newTCPNet(t, m.Name, "127.0.0.1:0", c.addrs)
		c.machines[m.Name] = rafttest.NewMachine()
	}
	for _, m := range rafttest.Trio {
		c.open(m)
	}
	return c
}

func (c *tcpTrio) open(m raftlog.Member) {
	var sm raftlog.StateMachine
	if m.Role == raftlog.RoleData {
		sm = c.machines[m.Name]
	}
	net := c.nets[m.Name]
	cfg := raftlog.Config{
		Name: m.Name, Role: m.Role, Dir: filepath.Join(c.dir, m.Name), Members: rafttest.Trio,
		Net: net, Bootstrap: true, Logger: slog.New(slog.DiscardHandler),
	}
	if c.configure != nil {
		c.configure(&cfg)
	}
	n, err := raftlog.Open(cfg, sm)
	if err != nil {
		c.t.Fatal(err)
	}
	net.wg.Go(net.accept)
	c.nodes[m.Name] = n
}

// kill ends a member as far as the others can tell.
func (c *tcpTrio) kill(name string) { c.nets[name].kill() }

// restart starts a member that was killed.
func (c *tcpTrio) restart(name string) {
	c.nodes[name].Close()
	c.nets[name] = newTCPNet(c.t, name, c.addrs[name], c.addrs)
	c.machines[name] = c.machines[name].Restart()
	for _, m := range rafttest.Trio {
		if m.Name == name {
			c.open(m)
		}
	}
}

// until waits for a condition.
func (c *tcpTrio) until(what string, cond func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not in time: %s", what)
		}
	}
}

// leader waits for a data node that leads and is ready, and returns both.
func (c *tcpTrio) leader() (lead, other string) {
	c.t.Helper()
	c.until("a leader", func() bool {
		for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
			if s, _ := c.nodes[pair[0]].Watch(); s.Ready {
				lead, other = pair[0], pair[1]
				return true
			}
		}
		return false
	})
	return lead, other
}

// leases waits until both data nodes hold a lease.
func (c *tcpTrio) leases() {
	c.t.Helper()
	c.until("leases at both data nodes", func() bool {
		_, a := c.nodes["a"].Lease()
		_, b := c.nodes["b"].Lease()
		return a && b
	})
}

// The same over real sockets and in real time: many proposals and reads at
// once.
func TestTCP_Concurrent(t *testing.T) {
	c := newTCPTrio(t, nil)
	name, follower := c.leader()
	lead := c.nodes[name]
	var wg sync.WaitGroup
	var acked atomic.Uint64 // highest index acknowledged
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				p := lead.Propose([]byte(fmt.Sprintf("%d/%d", w, i)))
				<-p.Done()
				if p.Err() != nil {
					t.Error(p.Err())
					return
				}
				for old := acked.Load(); old < uint64(p.Index()) && !acked.CompareAndSwap(old, uint64(p.Index())); old = acked.Load() {
				}
				lead.Nudge(follower)
			}
		})
		wg.Go(func() {
			for range 100 {
				before := raftlog.Index(acked.Load())
				i, err := lead.ReadIndex(t.Context())
				if err != nil || i < before {
					t.Errorf("read index %d, %v; acknowledged %d", i, err, before)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkReadIndex(b *testing.B) {
	c := newTCPTrio(b, nil)
	name, _ := c.leader()
	lead := c.nodes[name]
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if _, err := lead.ReadIndex(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("16", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := lead.ReadIndex(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// writeApplied writes until the leader's state machine has it.
func writeApplied(c *tcpTrio, lead string) raftlog.Index {
	c.t.Helper()
	p := c.nodes[lead].Propose(make([]byte, 256))
	if <-p.Done(); p.Err() != nil {
		c.t.Fatal(p.Err())
	}
	m := c.machines[lead]
	for changed := m.Changed(); m.Applied() < p.Index(); changed = m.Changed() {
		if m.Applied() >= p.Index() {
			break
		}
		<-changed
	}
	return p.Index()
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// What one caller's entries cost all three nodes, with leases held.
func BenchmarkPropose_Alone(b *testing.B) {
	c := newTCPTrio(b, nil)
	lead, _ := c.leader()
	c.leases()
	before := cpuTime()
	for b.Loop() {
		writeApplied(c, lead)
	}
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func BenchmarkPropose(b *testing.B) {
	c := newTCPTrio(b, nil)
	name, _ := c.leader()
	lead := c.nodes[name]
	c.leases()
	for _, size := range []int{256, 64 << 10, 1 << 20} {
		data := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				p := lead.Propose(data)
				<-p.Done()
				if p.Err() != nil {
					b.Fatal(p.Err())
				}
			}
		})
	}
}
