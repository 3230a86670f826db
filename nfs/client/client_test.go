package client_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer is the other end of a client's connection, in the test's hand.
type fakeServer struct {
	t      *testing.T
	client *client.Client
	nc     net.Conn
	rr     *rpc.RecordReader
}

func newFakeServer(t *testing.T, opts ...client.Option) *fakeServer {
	t.Helper()
	near, far := net.Pipe()
	s := &fakeServer{t: t, client: client.New(near, opts...), nc: far}
	s.rr = newRecords(far)
	t.Cleanup(func() {
		_ = s.client.Close()
		_ = far.Close()
	})
	return s
}

func newRecords(nc net.Conn) *rpc.RecordReader {
	return rpc.NewRecordReader(bufio.NewReader(nc), rpc.RecordLimits{Bytes: 2 << 20, Fragments: 8})
}

// next reads one call.
func (s *fakeServer) next() *rpc.Call {
	c, err := s.tryNext()
	if err != nil {
		s.t.Errorf("no call: %v", err)
	}
	return c
}

func (s *fakeServer) tryNext() (*rpc.Call, error) {
	rec, err := s.rr.Next(func(b []byte, n int, _ bool) ([]byte, error) { return append(b, make([]byte, n)...), nil })
	c := &rpc.Call{}
	if err == nil {
		err = rpc.ParseCall(rec, c, nil)
	}
	return c, err
}

// reply answers a call with results.
func (s *fakeServer) reply(xid uint32, results []byte) {
	var w xdr.Writer
	rpc.BeginRecord(&w)
	rpc.BeginReply(&w, xid)
	w.B = append(w.B, results...)
	rpc.EndRecord(&w, 0)
	if _, err := s.nc.Write(w.B); err != nil {
		s.t.Errorf("reply: %v", err)
	}
}

func TestClient_RepliesInAnyOrder(t *testing.T) {
	srv := newFakeServer(t)
	const n = 20
	go func() {
		var calls []*rpc.Call
		for range n {
			calls = append(calls, srv.next())
		}
		for i := n - 1; i >= 0; i-- {
			srv.reply(calls[i].XID, calls[i].Args)
		}
	}()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			args := []byte{0, 0, 0, byte(i)}
			if res, err := srv.client.Call(t.Context(), 1, 2, 3, args); err != nil || string(res) != string(args) {
				t.Errorf("call %d: %x, %v", i, res, err)
			}
		})
	}
	wg.Wait()
}

func TestClient_CancelledCallIsForgotten(t *testing.T) {
	srv := newFakeServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	late := make(chan *rpc.Call, 1)
	go func() {
		late <- srv.next()
		cancel()
	}()
	if _, err := srv.client.Call(ctx, 1, 2, 3, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	cancelled := <-late
	// Its XID is free: the same call, sent again, gets the next reply.
	go func() { srv.reply(srv.next().XID, []byte("again")) }()
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if res, err := srv.client.Do(ctx, client.Request{XID: cancelled.XID, Prog: 1, Vers: 2, Proc: 3}); err != nil || string(res) != "again" {
		t.Errorf("the same call again: %q, %v", res, err)
	}
	// Its own reply comes when nobody waits for it.
	go func() {
		call := srv.next()
		srv.reply(cancelled.XID, []byte("late"))
		srv.reply(call.XID, []byte("mine"))
	}()
	if res, err := srv.client.Call(t.Context(), 1, 2, 3, nil); err != nil || string(res) != "mine" {
		t.Errorf("%q, %v", res, err)
	}
}

func TestClient_CancelWhileTheServerDoesNotRead(t *testing.T) {
	srv := newFakeServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 200 { // more than are queued for writing
		wg.Go(func() {
			if _, err := srv.client.Call(ctx, 1, 2, 3, make([]byte, 1<<10)); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	}
	cancel()
	wg.Wait()
}

func TestClient_LostConnectionFailsAllCalls(t *testing.T) {
	srv := newFakeServer(t)
	const n = 10
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := srv.client.Call(t.Context(), 1, 2, 3, nil)
			errs <- err
		}()
	}
	for range n {
		srv.next()
	}
	_ = srv.nc.Close()
	for range n {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "client: ") {
			t.Errorf("error %v", err)
		}
	}
	<-srv.client.Done()
	if _, err := srv.client.Call(t.Context(), 1, 2, 3, nil); err == nil {
		t.Error("a later call succeeds")
	}
}

func TestClient_Close(t *testing.T) {
	srv := newFakeServer(t)
	errs := make(chan error, 1)
	go func() {
		_, err := srv.client.Call(t.Context(), 1, 2, 3, nil)
		errs <- err
	}()
	srv.next()
	_ = srv.client.Close()
	if err := <-errs; !errors.Is(err, client.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestClient_SameXIDTwice(t *testing.T) {
	srv := newFakeServer(t, client.WithFirstXID(100))
	xid := srv.client.NextXID()
	if xid != 100 {
		t.Errorf("first xid %d", xid)
	}
	results := make(chan string, 2)
	for range 2 {
		go func() {
			res, err := srv.client.Do(t.Context(), client.Request{XID: xid, Prog: 1, Vers: 2, Proc: 3})
			if err != nil {
				t.Error(err)
			}
			results <- string(res)
		}()
	}
	for _, answer := range []string{"one.", "two."} {
		if call := srv.next(); call.XID != xid {
			t.Errorf("xid %d", call.XID)
		}
		srv.reply(xid, []byte(answer))
	}
	if a, b := <-results, <-results; a == b {
		t.Errorf("both got %q", a)
	}
}

func TestClient_Credentials(t *testing.T) {
	srv := newFakeServer(t, client.WithCred(client.Sys(7, 8, 9)))
	got := make(chan rpc.Cred, 3)
	go func() {
		for range 3 {
			call := srv.next()
			got <- call.Cred
			srv.reply(call.XID, nil)
		}
	}()
	other := srv.client.As(client.Sys(1, 2))
	none := srv.client.As(rpc.Cred{})
	for _, c := range []*client.Client{srv.client, other, none} {
		if err := c.Null(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c := <-got; c.UID != 7 || c.GID != 8 || len(c.Groups) != 1 || c.Groups[0] != 9 {
		t.Errorf("first: %+v", c)
	}
	if c := <-got; c.UID != 1 || c.GID != 2 || len(c.Groups) != 0 {
		t.Errorf("second: %+v", c)
	}
	if c := <-got; c.Flavor != rpc.AuthNone {
		t.Errorf("third: %+v", c)
	}
}

func TestClient_GarbageFromTheServer(t *testing.T) {
	for name, b := range map[string][]byte{
		"a call instead of a reply": {0x80, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0},
		"a record of 2 GiB":         {0xff, 0xff, 0xff, 0xff},
	} {
		srv := newFakeServer(t)
		go func() {
			srv.next()
			_, _ = srv.nc.Write(b) // the client may close before the end
		}()
		if _, err := srv.client.Call(t.Context(), 1, 2, 3, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestReadAll_FollowsCookies(t *testing.T) {
	srv := newFakeServer(t)
	go func() {
		for _, page := range []struct{ cookie, reply string }{
			{"0000000000000000", "00000000 00000000" + verfArg + "00000001 0000000000000004" + name + "000000000000000a 00000000 00000000"},
			{"000000000000000a", "00000000 00000000" + verfArg + "00000001 0000000000000005" + name2 + "000000000000000b 00000000 00000001"},
		} {
			call := srv.next()
			if got := call.Args[8:16]; string(got) != string(unhex(t, page.cookie)) {
				t.Errorf("cookie %x, want %s", got, page.cookie)
			}
			srv.reply(call.XID, unhex(t, page.reply))
		}
	}()
	got, err := srv.client.ReadAll(t.Context(), fh, false, 4096)
	if err != nil || len(got) != 2 || got[0].Name != "nam" || got[1].Name != "to" {
		t.Errorf("%+v, %v", got, err)
	}
}
