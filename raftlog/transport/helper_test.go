package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; it is reached only by a test that fails.
const patience = 20 * time.Second

var nextHost atomic.Uint32

// loopbackAddr returns an address of its own in 127.0.0.0/8. A fixed port on
// it cannot be anybody's ephemeral port, so a node can restart on it.
func loopbackAddr() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d:7946", 1+pid>>8&0x7f, pid&0xff, 1+nextHost.Add(1)%250)
}

// syncBuffer collects log lines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// node is one member of a test cluster: its directory is in memory.
type node struct {
	t       *testing.T
	cfg     transport.Config
	mux     *transport.Mux
	binding *identity.Binding // what Bind recorded
	bindErr error             // what Bind shall return, before it records
	log     syncBuffer
}

// newCluster returns three members that are not started.
func newCluster(t *testing.T) map[string]*node {
	t.Helper()
	members := []transport.Member{
		{Name: "a", Role: raftlog.RoleData, Addr: loopbackAddr()},
		{Name: "b", Role: raftlog.RoleData, Addr: loopbackAddr()},
		{Name: "w", Role: raftlog.RoleWitness, Addr: loopbackAddr()},
	}
	nodes := make(map[string]*node)
	for i, m := range members {
		n := &node{t: t}
		n.cfg = transport.Config{
			Listen:      m.Addr,
			Self:        identity.Member{Name: m.Name, Role: m.Role, NodeID: nodeID(byte(i + 1))},
			ClusterName: "c1",
			Members:     members,
			Logger:      slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		n.cfg.Bind = func(b identity.Binding) error {
			if n.bindErr != nil {
				return n.bindErr
			}
			n.binding = &b
			return nil
		}
		nodes[m.Name] = n
		t.Cleanup(n.stop)
	}
	return nodes
}

func nodeID(b byte) identity.NodeID {
	var id identity.NodeID
	for i := range id {
		id[i] = b
	}
	return id
}

// bindAll gives all nodes the binding of their present ids.
func bindAll(t *testing.T, nodes map[string]*node) {
	t.Helper()
	var members []identity.Member
	for _, n := range nodes {
		members = append(members, n.cfg.Self)
	}
	b, err := identity.NewBinding("c1", members)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.binding = &b
	}
}

// startAll starts all nodes.
func startAll(nodes map[string]*node) {
	for _, n := range nodes {
		n.start()
	}
}

// start listens with what was recorded so far.
func (n *node) start() {
	n.t.Helper()
	n.cfg.Binding = n.binding
	mux, err := transport.Listen(n.cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mux = mux
}

func (n *node) stop() {
	if n.mux != nil {
		if err := n.mux.Close(); err != nil {
			n.t.Errorf("close: %v", err)
		}
		n.mux = nil
	}
}

// wipe formats the stopped node anew: another id, nothing recorded.
func (n *node) wipe(b byte) {
	n.cfg.Self.NodeID = nodeID(b)
	n.binding = nil
}

// meetResult is what Meet returned.
type meetResult struct {
	binding identity.Binding
	err     error
}

// meet starts Meet in the background.
func (n *node) meet(ctx context.Context) <-chan meetResult {
	ch := make(chan meetResult, 1)
	mux := n.mux
	go func() {
		b, err := mux.Meet(ctx)
		ch <- meetResult{b, err}
	}()
	return ch
}

func wait[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// wantCode checks that err is a refusal of that code by that node.
func wantCode(t *testing.T, err error, code transport.Code, by string) *transport.Refusal {
	t.Helper()
	var r *transport.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v, want a refusal %s", err, code)
	}
	if r.Code != code || r.By != by {
		t.Fatalf("refused by %s with %s (%s), want by %s with %s", r.By, r.Code, r.Text, by, code)
	}
	return r
}

// roundTrip dials and sends a word each way through a stream of a kind.
func roundTrip(t *testing.T, from, to *node, kind raftlog.StreamKind) {
	t.Helper()
	l := to.mux.Listener(kind)
	conn, err := from.mux.Dial(testContext(t), to.cfg.Self.Name, kind)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		in, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- in
	}()
	in := wait(t, "accept", accepted)
	if in == nil {
		t.FailNow()
	}
	defer in.Close()
	if got := in.RemoteAddr().String(); got != from.cfg.Self.Name {
		t.Errorf("accepted from %q, want %q", got, from.cfg.Self.Name)
	}
	if got := conn.RemoteAddr().String(); got != to.cfg.Self.Name {
		t.Errorf("dialled %q, want %q", got, to.cfg.Self.Name)
	}
	exchangeWords(t, conn, in)
}

func exchangeWords(t *testing.T, x, y net.Conn) {
	t.Helper()
	for _, p := range [][2]net.Conn{{x, y}, {y, x}} {
		word := strings.Repeat("word", 1000)
		if err := p[1].SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		go io.WriteString(p[0], word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(p[1], got); err != nil || string(got) != word {
			t.Fatalf("read %q..., %v", got[:8], err)
		}
	}
}
