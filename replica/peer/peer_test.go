package peer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/replica/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers forwards with their own bytes, and keeps the replies of
// commands that begin with 'h' until release.
type echo struct {
	mu   sync.Mutex
	held []func()
}

func (e *echo) HandleForward(_ string, term, _ uint64, enc []byte, reply func(peer.Status, []byte)) {
	if term != 7 {
		reply(peer.StatusRefused, nil)
		return
	}
	if enc[0] == 'h' {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.held = append(e.held, func() { reply(peer.StatusOK, enc) })
		return
	}
	reply(peer.StatusOK, enc)
}

// HandleRead answers with the request, but for those that begin with 'h', which it
// keeps until ctx ends.
func (e *echo) HandleRead(ctx context.Context, _ string, req []byte, reply func(peer.Status, []byte)) {
	if len(req) > 0 && req[0] == 'h' {
		<-ctx.Done()
	}
	reply(peer.StatusOK, req)
}

func (e *echo) HandleSpace(_ string, s peer.Space) peer.Space {
	return peer.Space{Free: s.Free + 1, Level: s.Level + 1, Wall: s.Wall - 1}
}

func (e *echo) waitHeld(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		e.mu.Lock()
		got := len(e.held)
		e.mu.Unlock()
		if got == n {
			return
		}
	}
	t.Fatalf("%d requests did not arrive", n)
}

func start(t *testing.T, h peer.Handler) (*peer.Client, *peer.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := peer.NewServer(h, slog.New(slog.DiscardHandler))
	srv.Serve(ln)
	c := peer.NewClient(func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", ln.Addr().String())
	})
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c, srv
}

func TestForward_RepliesOutOfOrder(t *testing.T) {
	e := &echo{}
	c, _ := start(t, e)
	ctx := t.Context()
	slow := make(chan []byte, 1)
	go func() {
		_, body, err := c.Forward(ctx, "b", 7, 0, []byte("held"))
		if err != nil {
			t.Error(err)
		}
		slow <- body
	}()
	e.waitHeld(t, 1)
	big := bytes.Repeat([]byte("x"), 1<<20)
	st, body, err := c.Forward(ctx, "b", 7, 0, big)
	if err != nil || st != peer.StatusOK || !bytes.Equal(body, big) {
		t.Fatalf("a later request: status %d, %d bytes, err %v", st, len(body), err)
	}
	e.held[0]()
	if body := <-slow; string(body) != "held" {
		t.Fatalf("the held reply is %q", body)
	}
}

func TestForward_RefusedTerm(t *testing.T) {
	c, _ := start(t, &echo{})
	st, _, err := c.Forward(t.Context(), "b", 6, 0, []byte("x"))
	if err != nil || st != peer.StatusRefused {
		t.Fatalf("status %d, err %v", st, err)
	}
}

func TestSpace(t *testing.T) {
	c, _ := start(t, &echo{})
	got, err := c.Space(t.Context(), "b", peer.Space{Free: 1 << 63, Level: 1, Wall: -5})
	if err != nil || got != (peer.Space{Free: 1<<63 + 1, Level: 2, Wall: -6}) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A peer of another version neither breaks the stream nor passes for an answer.
func TestSpace_OtherVersion(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := peer.NewServer(&echo{}, slog.New(slog.DiscardHandler))
	srv.Serve(ln)
	defer srv.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	ask := []byte{0, 0, 0, 11, 5, 0, 0, 0, 0, 0, 0, 0, 7, 99, 1} // version 99
	if _, err := conn.Write(append(ask, ask...)); err != nil {
		t.Fatal(err)
	}
	want := []byte{0, 0, 0, 10, 6, 0, 0, 0, 0, 0, 0, 0, 7, 2}
	got := make([]byte, 2*len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, append(want, want...)) {
		t.Fatalf("% x, %v", got, err)
	}
}

// A request whose connection ends before its reply may have been executed; one
// that could not be sent was not.
// A connection on which a peer does not say its space in time is given up, and the
// next request has another one.
func TestSpace_Silence(t *testing.T) {
	var dials atomic.Int32
	silent := make(chan net.Conn, 4)
	c := peer.NewClient(func(context.Context, string) (net.Conn, error) {
		dials.Add(1)
		near, far := net.Pipe()
		silent <- far
		go io.Copy(io.Discard, far)
		return near, nil
	})
	defer c.Close()
	forwarded := make(chan error, 1)
	go func() {
		_, _, err := c.Forward(t.Context(), "b", 7, 0, []byte("x"))
		forwarded <- err
	}()
	first := <-silent
	defer first.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Space(ctx, "b", peer.Space{}); !errors.Is(err, peer.ErrBroken) {
		t.Errorf("space: %v", err)
	}
	if err := <-forwarded; !errors.Is(err, peer.ErrBroken) {
		t.Errorf("forward: %v", err)
	}
	again, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Space(again, "b", peer.Space{}); err == nil {
		t.Error("answered by nobody")
	}
	if dials.Load() != 2 {
		t.Errorf("%d connections, want 2", dials.Load())
	}
	(<-silent).Close()
}

func TestForward_BrokenIsNotNotSent(t *testing.T) {
	e := &echo{}
	c, srv := start(t, e)
	result := make(chan error, 1)
	go func() {
		_, _, err := c.Forward(context.Background(), "b", 7, 0, []byte("held"))
		result <- err
	}()
	e.waitHeld(t, 1)
	srv.Close()
	if err := <-result; !errors.Is(err, peer.ErrBroken) {
		t.Fatalf("after the connection broke: %v", err)
	}
	if _, _, err := c.Forward(t.Context(), "b", 7, 0, []byte("x")); !errors.Is(err, peer.ErrNotSent) {
		t.Fatalf("with nobody listening: %v", err)
	}
}

func TestForward_ManyAtOnce(t *testing.T) {
	c, _ := start(t, &echo{})
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 200 {
				want := []byte{byte(g), byte(i), 1, 2, 3}
				_, body, err := c.Forward(context.Background(), "b", 7, 0, want)
				if err != nil || !bytes.Equal(body, want) {
					t.Errorf("got %v, err %v", body, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestServer_MalformedFrameClosesTheConnection(t *testing.T) {
	for name, raw := range map[string][]byte{
		"length zero":       {0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"length huge":       {0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"body too short":    {0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"space of one byte": {0, 0, 0, 11, 5, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1},
		"space of nothing":  {0, 0, 0, 9, 5, 0, 0, 0, 0, 0, 0, 0, 0},
		"unknown type":      {0, 0, 0, 17, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := peer.NewServer(&echo{}, slog.New(slog.DiscardHandler))
			srv.Serve(ln)
			defer srv.Close()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(raw); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatalf("read %d bytes, err %v; want the connection closed", n, err)
			} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection stays open")
			}
		})
	}
}
