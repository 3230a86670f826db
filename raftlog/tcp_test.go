package raftlog_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
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

func newTCPNets(t testing.TB, members []raftlog.Member) map[string]*tcpNet {
	nets, addrs := map[string]*tcpNet{}, map[string]string{}
	for _, m := range members {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		n := &tcpNet{name: m.Name, ln: ln, addrs: addrs, kinds: map[raftlog.StreamKind]*tcpListener{}}
		for _, k := range []raftlog.StreamKind{raftlog.StreamRaft, raftlog.StreamControl} {
			n.kinds[k] = &tcpListener{Listener: ln, conns: make(chan net.Conn), done: make(chan struct{})}
		}
		addrs[m.Name], nets[m.Name] = ln.Addr().String(), n
		n.wg.Go(n.accept)
	}
	return nets
}

func (n *tcpNet) accept() {
	for {
		c, err := n.ln.Accept()
		if err != nil {
			return
		}
		var h [16]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			c.Close()
			continue
		}
		l := n.kinds[raftlog.StreamKind(h[0])]
		select {
		case l.conns <- c:
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
	h := [16]byte{0: byte(kind)}
	if _, err := c.Write(h[:]); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (n *tcpNet) Listener(kind raftlog.StreamKind) net.Listener { return n.kinds[kind] }

// tcpTrio runs two data nodes and a witness over TCP, and returns the leader.
func tcpTrio(t testing.TB) (lead *raftlog.Node, follower *raftlog.Node, followerName string) {
	nets := newTCPNets(t, rafttest.Trio)
	nodes := map[string]*raftlog.Node{}
	dir := t.TempDir()
	t.Cleanup(func() {
		for _, n := range nodes {
			n.Close()
		}
		for _, n := range nets {
			n.ln.Close()
			n.wg.Wait()
		}
	})
	for _, m := range rafttest.Trio {
		var sm raftlog.StateMachine
		if m.Role == raftlog.RoleData {
			sm = rafttest.NewMachine()
		}
		n, err := raftlog.Open(raftlog.Config{
			Name: m.Name, Role: m.Role, Dir: filepath.Join(dir, m.Name), Members: rafttest.Trio,
			Net: nets[m.Name], Bootstrap: true, Logger: slog.New(slog.DiscardHandler),
		}, sm)
		if err != nil {
			t.Fatal(err)
		}
		nodes[m.Name] = n
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
			if s, _ := nodes[pair[0]].Watch(); s.Ready {
				return nodes[pair[0]], nodes[pair[1]], pair[1]
			}
		}
	}
	t.Fatal("no leader")
	return nil, nil, ""
}

// The same over real sockets and in real time: many proposals and reads at
// once.
func TestTCP_Concurrent(t *testing.T) {
	lead, _, follower := tcpTrio(t)
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
	lead, _, _ := tcpTrio(b)
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

func BenchmarkPropose(b *testing.B) {
	lead, _, _ := tcpTrio(b)
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
