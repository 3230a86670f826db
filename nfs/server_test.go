package nfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"twofold/nfs"
	"twofold/nfs/client"
	"twofold/nfs/rpc"
)

func TestServer_CallsOfOneConnectionRunConcurrently(t *testing.T) {
	h := newHandler()
	_, addr := startTCP(t, h, nil)
	c := dial(t, addr)
	early := make(chan error, 1)
	go func() {
		res, err := c.Call(t.Context(), prog, vers, procBlock, []byte("late"))
		if err == nil && string(res) != "late" {
			err = fmt.Errorf("results %q", res)
		}
		early <- err
	}()
	eventually(t, "the first call blocks", func() bool { return h.blocked.Load() == 1 })
	if res, err := c.Call(t.Context(), prog, vers, procEcho, []byte("soon")); err != nil || string(res) != "soon" {
		t.Errorf("a later call: %q, %v", res, err)
	}
	close(h.release)
	if err := <-early; err != nil {
		t.Error(err)
	}
}

func TestServer_ManyCallersGetTheirOwnReplies(t *testing.T) {
	obs := &counter{}
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) {
		c.Observer = obs
		c.Limits.CallsPerConn = 8 // fewer than callers
	})
	c := dial(t, addr)
	const callers, calls = 32, 200
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range calls {
				args := strings.Repeat(fmt.Sprintf("%04d%04d", i, j), 1+(i*j)%300)
				res, err := c.Call(t.Context(), prog, vers, procEcho, []byte(args))
				if err != nil || string(res) != args {
					t.Errorf("caller %d call %d: %d bytes, %v", i, j, len(res), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := obs.started.Load(); n != callers*calls || obs.ended.Load() != n || obs.opened.Load() != 1 {
		t.Errorf("observed %d started, %d ended, %d connections", n, obs.ended.Load(), obs.opened.Load())
	}
}

func TestServer_ReassemblesFragments(t *testing.T) {
	_, addr := startTCP(t, newHandler(), nil)
	nc := rawDial(t, addr)
	msg := message(7, prog, vers, procEcho, strings.Repeat("data", 5000))
	for i := 0; i < len(msg); i += 999 {
		end := min(i+999, len(msg))
		write(t, nc, fragment(end == len(msg), msg[i:end]))
	}
	xid, res, err := readReply(t, nc)
	if xid != 7 || err != nil || string(res) != strings.Repeat("data", 5000) {
		t.Errorf("xid %d, %d bytes, %v", xid, len(res), err)
	}
}

func TestServer_LargeCallAndReply(t *testing.T) {
	_, addr := startTCP(t, newHandler(), nil)
	c := dial(t, addr)
	args := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for range 3 {
		res, err := c.Call(t.Context(), prog, vers, procEcho, args)
		if err != nil || !bytes.Equal(res, args) {
			t.Fatalf("%d bytes, %v", len(res), err)
		}
	}
}

func TestServer_RPCErrors(t *testing.T) {
	h := newHandler()
	h.err = rpc.ErrGarbageArgs
	_, addr := startTCP(t, h, func(c *nfs.Config) {
		c.Programs = append(c.Programs, nfs.Program{Number: prog, Version: vers + 2, Handler: h})
	})
	c := dial(t, addr)
	for _, tc := range []struct {
		name             string
		prog, vers, proc uint32
		want             error
	}{
		{"unknown program", 100021, 4, 0, rpc.ErrProgUnavail},
		{"unknown procedure", prog, vers, 99, rpc.ErrProcUnavail},
		{"bad arguments", prog, vers, procFail, rpc.ErrGarbageArgs},
		{"panic", prog, vers, procPanic, rpc.ErrSystem},
	} {
		if _, err := c.Call(t.Context(), tc.prog, tc.vers, tc.proc, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	var m *rpc.MismatchError
	if _, err := c.Call(t.Context(), prog, vers+1, 0, nil); !errors.As(err, &m) || m.Low != vers || m.High != vers+2 {
		t.Errorf("unknown version: %v", err)
	}
	if _, err := c.Call(t.Context(), prog, vers, procEcho, nil); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}

func TestServer_HeaderErrors(t *testing.T) {
	_, addr := startTCP(t, newHandler(), nil)
	nc := rawDial(t, addr)
	wrongVersion := message(1, prog, vers, procNull, "")
	wrongVersion[11] = 3
	badFlavor := message(2, prog, vers, procNull, "")
	badFlavor[27] = 6
	reply := []byte{0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0}
	cutCred := message(3, prog, vers, procNull, "")[:36]
	for _, tc := range []struct {
		msg  []byte
		xid  uint32
		want error
	}{
		{wrongVersion, 1, rpc.ErrRPCMismatch},
		{badFlavor, 2, rpc.AuthBadCred},
		{cutCred, 3, rpc.ErrGarbageArgs},
	} {
		write(t, nc, record(reply)) // is ignored
		write(t, nc, record(tc.msg))
		if xid, _, err := readReply(t, nc); xid != tc.xid || !errors.Is(err, tc.want) {
			t.Errorf("xid %d: %v, want %d: %v", xid, err, tc.xid, tc.want)
		}
	}
	write(t, nc, record([]byte{0, 0, 0, 9})) // too short for anything
	wantClosed(t, nc)
}

func TestServer_OversizeRecordClosesOnlyItsConnection(t *testing.T) {
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) { c.Limits.Record = 4096 })
	good, bad := dial(t, addr), rawDial(t, addr)
	write(t, bad, []byte{0x80, 0, 0x10, 1})
	wantClosed(t, bad)
	if _, err := good.Call(t.Context(), prog, vers, procEcho, make([]byte, 4000)); err != nil {
		t.Errorf("the other connection: %v", err)
	}
}

func TestServer_PanicIsLoggedWithItsStack(t *testing.T) {
	var log lockedBuffer
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	c := dial(t, addr)
	if _, err := c.Call(t.Context(), prog, vers, procPanic, nil); !errors.Is(err, rpc.ErrSystem) {
		t.Errorf("a panic: %v", err)
	}
	// ReplySize panics too, on arguments that are too short.
	if _, err := c.Call(t.Context(), prog, vers, procSize, []byte{1}); !errors.Is(err, rpc.ErrSystem) {
		t.Errorf("a panic in ReplySize: %v", err)
	}
	if s := log.String(); !strings.Contains(s, "planted") || !strings.Contains(s, "ServeRPC") {
		t.Errorf("log: %s", s)
	}
}

func TestServer_DropClosesAndAnswersNoRunningCall(t *testing.T) {
	for _, drop := range []error{rpc.ErrDrop, errors.New("no verdict")} {
		h := newHandler()
		h.err = drop
		_, addr := startTCP(t, h, nil)
		nc := rawDial(t, addr)
		write(t, nc, record(message(1, prog, vers, procBlock, "")))
		eventually(t, "the first call blocks", func() bool { return h.blocked.Load() == 1 })
		write(t, nc, record(message(2, prog, vers, procFail, "")))
		wantClosed(t, nc)
		eventually(t, "the running call's context ends", func() bool { return h.blocked.Load() == 0 })
	}
}

func TestServer_HalfClosedClientIsAnswered(t *testing.T) {
	h := newHandler()
	_, addr := startTCP(t, h, nil)
	nc := rawDial(t, addr)
	write(t, nc, record(message(5, prog, vers, procBlock, "tail")))
	eventually(t, "the call blocks", func() bool { return h.blocked.Load() == 1 })
	if err := nc.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	if xid, res, err := readReply(t, nc); xid != 5 || string(res) != "tail" || err != nil {
		t.Errorf("xid %d, %q, %v", xid, res, err)
	}
	wantClosed(t, nc)
}

func TestServer_ClientResetEndsContexts(t *testing.T) {
	h := newHandler()
	_, addr := startTCP(t, h, nil)
	nc := rawDial(t, addr)
	write(t, nc, record(message(5, prog, vers, procBlock, "")))
	eventually(t, "the call blocks", func() bool { return h.blocked.Load() == 1 })
	if err := nc.SetLinger(0); err != nil { // close by reset
		t.Fatal(err)
	}
	_ = nc.Close()
	eventually(t, "the context ends", func() bool { return h.blocked.Load() == 0 })
}

func TestShutdown_FinishesCallsAndClosesWithFIN(t *testing.T) {
	h := newHandler()
	s, addr := startTCP(t, h, nil)
	nc, idle := rawDial(t, addr), rawDial(t, addr)
	write(t, nc, record(message(5, prog, vers, procBlock, "kept")))
	eventually(t, "the call blocks", func() bool { return h.blocked.Load() == 1 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(t.Context()) }()
	wantEOF(t, idle) // an idle connection ends at once
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("a connection was accepted after the shutdown began")
	}
	close(h.release)
	if xid, res, err := readReply(t, nc); xid != 5 || string(res) != "kept" || err != nil {
		t.Errorf("xid %d, %q, %v", xid, res, err)
	}
	wantEOF(t, nc)
	_ = nc.Close()
	_ = idle.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Serve(newMemListener()); err != nfs.ErrServerClosed {
		t.Errorf("Serve after the shutdown: %v", err)
	}
}

// wantEOF checks that the connection ends by FIN and not by a reset.
func wantEOF(t *testing.T, nc net.Conn) {
	t.Helper()
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes, %v; want the end", n, err)
	}
}

func TestShutdown_ClosesWhenItsContextEnds(t *testing.T) {
	h := newHandler()
	s, addr := startTCP(t, h, nil)
	c := dial(t, addr)
	failed := make(chan error, 1)
	go func() {
		_, err := c.Call(t.Context(), prog, vers, procBlock, nil)
		failed <- err
	}()
	eventually(t, "the call blocks", func() bool { return h.blocked.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the call was answered")
	}
}

func TestServer_OverTheConnectionLimit(t *testing.T) {
	obs := &counter{}
	_, addr := startTCP(t, newHandler(), func(c *nfs.Config) {
		c.Limits.Conns = 2
		c.Observer = obs
	})
	first, second := dial(t, addr), dial(t, addr)
	for _, c := range []*client.Client{first, second} {
		if err := null(t, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := null(t, dial(t, addr)); err == nil {
		t.Error("a third connection is served")
	}
	_ = first.Close()
	eventually(t, "the first connection is gone", func() bool { return obs.closed.Load() == 1 })
	if err := null(t, dial(t, addr)); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

func null(t *testing.T, c *client.Client) error {
	t.Helper()
	_, err := c.Call(t.Context(), prog, vers, procNull, nil)
	return err
}

// lockedBuffer is a log that goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestNewServer_Refuses(t *testing.T) {
	h := newHandler()
	one := nfs.Program{Number: prog, Version: vers, Handler: h}
	limits := func(l nfs.Limits) nfs.Config { return nfs.Config{Programs: []nfs.Program{one}, Limits: l} }
	for _, c := range []struct {
		names string // what the error must name
		cfg   nfs.Config
	}{
		{"0 programs", nfs.Config{}},
		{"without a handler", nfs.Config{Programs: []nfs.Program{{Number: 1, Version: 1}}}},
		{"twice", nfs.Config{Programs: []nfs.Program{one, one}}},
		{"Conns ", limits(nfs.Limits{Conns: -1})},
		{"ConnsPerClient ", limits(nfs.Limits{ConnsPerClient: -1})},
		{"Calls ", limits(nfs.Limits{Calls: -1})},
		{"CallsPerClient ", limits(nfs.Limits{CallsPerClient: -1})},
		{"CallsPerConn ", limits(nfs.Limits{CallsPerConn: -1})},
		{"Bytes ", limits(nfs.Limits{Bytes: -1})},
		{"BytesPerClient ", limits(nfs.Limits{BytesPerClient: -1})},
		{"BytesPerConn ", limits(nfs.Limits{BytesPerConn: -1})},
		{"Unfinished ", limits(nfs.Limits{Unfinished: -1})},
		{"Record ", limits(nfs.Limits{Record: -1})},
		{"Fragments ", limits(nfs.Limits{Fragments: -1})},
		{"RecordTime ", limits(nfs.Limits{RecordTime: -1})},
		{"StallTime ", limits(nfs.Limits{StallTime: -1})},
		{"WriteTime ", limits(nfs.Limits{WriteTime: -1})},
		{"IdleTime ", limits(nfs.Limits{IdleTime: -1})},
		{"Unfinished, ", limits(nfs.Limits{Bytes: 1 << 20, Unfinished: 1 << 20})},
		{"MaxPause ", nfs.Config{Programs: []nfs.Program{one}, MaxPause: time.Second}},
		{"MaxPause ", nfs.Config{Programs: []nfs.Program{one}, MaxPause: 61 * time.Second}},
	} {
		if _, err := nfs.NewServer(c.cfg); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("want an error that names %q, have %v", c.names, err)
		}
	}
}
