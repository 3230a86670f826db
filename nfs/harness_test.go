package nfs_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/nfs"
	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The test program.
const (
	prog uint32 = 400000
	vers uint32 = 2

	procNull  uint32 = 0 // answers nothing
	procEcho  uint32 = 1 // answers its arguments
	procBlock uint32 = 2 // answers its arguments once released
	procFail  uint32 = 3 // returns the handler's err
	procPanic uint32 = 4
	procSize  uint32 = 5 // answers as many bytes as its argument says
	procUntil uint32 = 6 // waits for the end of its context, then ErrDrop
	procWait  uint32 = 7 // a quick one that says twice that it waits, and is procBlock then
	procSlow  uint32 = 8 // a quick one that takes a millisecond
	procDrop  uint32 = 9 // a quick one that returns ErrDrop
)

// handler is the test program's server side.
type handler struct {
	release chan struct{} // closed to release procBlock
	err     error
	noQuick bool         // no call is said to be quick
	calls   atomic.Int64 // that have reached the handler
	blocked atomic.Int64 // that wait in procBlock
	slow    atomic.Int64 // that are in procSlow
	most    atomic.Int64 // that were there at once
}

func newHandler() *handler { return &handler{release: make(chan struct{})} }

func (h *handler) ServeRPC(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	h.calls.Add(1)
	switch call.Proc {
	case procNull:
	case procEcho:
		w.B = append(w.B, call.Args...)
	case procSlow:
		h.most.Store(max(h.most.Load(), h.slow.Add(1)))
		time.Sleep(time.Millisecond)
		h.slow.Add(-1)
	case procDrop:
		return rpc.ErrDrop
	case procBlock, procWait:
		if call.Proc == procWait {
			vfs.WillWait(ctx)
			vfs.WillWait(ctx)
		}
		h.blocked.Add(1)
		defer h.blocked.Add(-1)
		select {
		case <-h.release:
			w.B = append(w.B, call.Args...)
		case <-ctx.Done():
			return rpc.ErrDrop
		}
	case procFail:
		w.Uint32(0xdead) // must not show
		return h.err
	case procPanic:
		w.Uint32(0xdead)
		panic("planted")
	case procSize:
		clear(w.Extend(int(binary.BigEndian.Uint32(call.Args))))
	case procUntil:
		<-ctx.Done()
		return rpc.ErrDrop
	default:
		return rpc.ErrProcUnavail
	}
	return nil
}

// Quick makes handler an rpc.Quick.
func (h *handler) Quick(call *rpc.Call) bool {
	return call.Proc != procBlock && call.Proc != procUntil && !h.noQuick
}

// ReplySize makes handler an rpc.ReplySizer.
func (h *handler) ReplySize(call *rpc.Call) int {
	if call.Proc == procSize {
		return int(binary.BigEndian.Uint32(call.Args)) // panics on short arguments
	}
	return 0
}

// counter is an Observer.
type counter struct {
	opened, closed, started, ended atomic.Int64

	mu     sync.Mutex
	cuts   map[string]int
	held   map[string]int // by limit, how often
	letGo  map[string]time.Duration
	used   map[string]int // the most that was told
	pauses int
}

func (c *counter) ConnOpened()  { c.opened.Add(1) }
func (c *counter) ConnClosed()  { c.closed.Add(1) }
func (c *counter) CallStarted() { c.started.Add(1) }
func (c *counter) CallEnded()   { c.ended.Add(1) }

func (c *counter) LimitUsed(limit string, used, _ int) {
	c.note(func() { add(&c.used, limit, max(0, used-c.used[limit])) })
}
func (c *counter) HeldBack(limit string) { c.note(func() { add(&c.held, limit, 1) }) }
func (c *counter) LetGo(limit string, d time.Duration) {
	c.note(func() { add(&c.letGo, limit, d) })
}
func (c *counter) ConnCut(reason string) { c.note(func() { add(&c.cuts, reason, 1) }) }
func (c *counter) Paused(time.Duration)  { c.note(func() { c.pauses++ }) }

func (c *counter) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// add makes the map with its first entry.
func add[N int | time.Duration](m *map[string]N, key string, n N) {
	if *m == nil {
		*m = map[string]N{}
	}
	(*m)[key] += n
}

// cut returns how many connections were closed for a reason.
func (c *counter) cut(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts[reason]
}

// memListener is a net.Listener whose connections are net.Pipes, which work
// with the virtual time of testing/synctest.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (l *memListener) dial() net.Conn {
	near, far := net.Pipe()
	l.conns <- far
	return near
}

// newServer makes a server for h. Its end is the caller's business.
func newServer(t *testing.T, h rpc.Handler, change func(*nfs.Config)) *nfs.Server {
	t.Helper()
	cfg := nfs.Config{Programs: []nfs.Program{{Number: prog, Version: vers, Handler: h}}}
	if change != nil {
		change(&cfg)
	}
	s, err := nfs.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs s on l until the test ends or the server is stopped.
func serve(t *testing.T, s *nfs.Server, l net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nfs.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
}

// startTCP serves h on loopback and returns the server and its address.
func startTCP(t *testing.T, h rpc.Handler, change func(*nfs.Config)) (*nfs.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, h, change)
	serve(t, s, l)
	return s, l.Addr().String()
}

func dial(t *testing.T, addr string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// rawDial connects without a client, to send what a client would not.
func rawDial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

// message encodes a call without its record mark.
func message(xid, program, version, proc uint32, args string) []byte {
	var w xdr.Writer
	rpc.AppendCall(&w, xid, program, version, proc, &rpc.Cred{Flavor: rpc.AuthSys, Machine: "test", UID: 1000, GID: 100})
	w.B = append(w.B, args...)
	return w.B
}

// record wraps a message in one fragment.
func record(msg []byte) []byte { return fragment(true, msg) }

func fragment(last bool, data []byte) []byte {
	mark := uint32(len(data))
	if last {
		mark |= 1 << 31
	}
	return append(binary.BigEndian.AppendUint32(nil, mark), data...)
}

func write(t *testing.T, nc net.Conn, b []byte) {
	t.Helper()
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
}

// readReply reads one reply and returns its XID and its results or its error.
func readReply(t *testing.T, nc net.Conn) (uint32, []byte, error) {
	t.Helper()
	rec, err := rpc.NewRecordReader(nc, rpc.DefaultRecordLimits).Next(func(b []byte, n int, _ bool) ([]byte, error) {
		return append(b, make([]byte, n)...), nil
	})
	if err != nil {
		t.Fatalf("no reply: %v", err)
	}
	xid, ok := rpc.ReplyXID(rec)
	if !ok {
		t.Fatalf("not a reply: %x", rec)
	}
	res, err := rpc.ParseReply(rec)
	return xid, res, err
}

// wantClosed checks that the server has closed the connection and sent nothing
// before.
func wantClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(nc); len(b) > 0 || isTimeout(err) {
		t.Errorf("connection not closed: read %x, %v", b, err)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
