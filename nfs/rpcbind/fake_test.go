package rpcbind_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/nfs/rpc"
	"twofold/nfs/rpcbind"
	"twofold/nfs/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rpcb is an entry of the fake.
type rpcb struct {
	prog, vers         uint32
	netid, addr, owner string
}

// fake answers on an AF_UNIX socket as rpcbind was seen to do, as far as a
// registration needs it.
type fake struct {
	t    *testing.T
	path string

	mu      sync.Mutex
	entries []rpcb
	calls   [][]byte // without their XIDs
	refuse  bool     // SET and UNSET are answered FALSE
	tooWeak bool     // ... or denied
	silent  bool     // no call is answered

	stopListening func()
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, path: filepath.Join(t.TempDir(), "rpcbind.sock"), stopListening: func() {}}
	t.Cleanup(func() { f.stopListening() })
	return f
}

// start listens; stop ends it and every connection.
func (f *fake) start() {
	l, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	var wg sync.WaitGroup
	var conns []net.Conn
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			conns = append(conns, nc)
			f.mu.Unlock()
			wg.Go(func() { f.serve(nc) })
		}
	})
	f.stopListening = func() {
		f.stopListening = func() {}
		_ = l.Close()
		f.mu.Lock()
		for _, nc := range conns {
			_ = nc.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	}
}

func (f *fake) serve(nc net.Conn) {
	defer nc.Close()
	rr := rpc.NewRecordReader(nc, rpc.DefaultRecordLimits)
	for {
		rec, err := rr.Next(func(b []byte, n int, _ bool) ([]byte, error) { return append(b, make([]byte, n)...), nil })
		if err != nil {
			return
		}
		var w xdr.Writer
		rpc.BeginRecord(&w)
		if f.answer(rec, &w) {
			rpc.EndRecord(&w, 0)
			_, _ = nc.Write(w.B)
		}
	}
}

func (f *fake) answer(rec []byte, w *xdr.Writer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, bytes.Clone(rec[4:]))
	if f.silent {
		return false
	}
	var call rpc.Call
	if err := rpc.ParseCall(rec, &call, nil); err != nil || call.Prog != 100000 || call.Vers != 4 {
		f.t.Errorf("call %x, %v", rec, err)
	}
	if call.Proc != 4 && f.tooWeak {
		return rpc.AppendError(w, call.XID, rpc.AuthTooWeak)
	}
	rpc.BeginReply(w, call.XID)
	if call.Proc == 4 {
		for _, e := range f.entries {
			w.Bool(true)
			w.Uint32(e.prog)
			w.Uint32(e.vers)
			w.String(e.netid)
			w.String(e.addr)
			w.String(e.owner)
		}
		w.Bool(false)
		return true
	}
	r := xdr.NewReader(call.Args)
	w.Bool(!f.refuse && f.change(call.Proc, rpcb{r.Uint32(), r.Uint32(), r.String(99), r.String(99), r.String(99)}))
	return true
}

// change does SET and UNSET for root.
func (f *fake) change(proc uint32, e rpcb) bool {
	i := slices.IndexFunc(f.entries, func(t rpcb) bool { return t.prog == e.prog && t.vers == e.vers && t.netid == e.netid })
	switch {
	case proc == 2 && i >= 0:
		f.entries = slices.Delete(f.entries, i, i+1)
	case proc == 1 && i >= 0:
		return f.entries[i].addr == e.addr
	case proc == 1:
		e.owner = "superuser"
		f.entries = append(f.entries, e)
	}
	return true
}

func (f *fake) set(entries ...rpcb) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = slices.Clone(entries)
}

func (f *fake) list() []rpcb {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.entries)
}

// changes counts the calls of SET and UNSET.
func (f *fake) changes() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if proc := c[19]; proc == 1 || proc == 2 {
			n++
		}
	}
	return n
}

// config has the fake for rpcbind, and nothing on port 111.
func (f *fake) config(mode rpcbind.Mode) rpcbind.Config {
	all := netip.MustParseAddrPort("[::]:2049")
	return rpcbind.Config{
		Mode:     mode,
		Services: []rpcbind.Service{{Program: 100003, Version: 3, Addr: all}, {Program: 100005, Version: 3, Addr: all}},
		Socket:   f.path,
		TCP:      "127.0.0.1:1", // tcpmux, which nobody runs
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Check:    5 * time.Millisecond,
	}
}

func start(t *testing.T, cfg rpcbind.Config) *rpcbind.Registrar {
	t.Helper()
	r, err := rpcbind.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
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

func doing(t *testing.T, r *rpcbind.Registrar, want rpcbind.Doing) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("state %+v", r.State())
		}
	}()
	eventually(t, string(want), func() bool { return r.State().Doing == want })
}
