package rpcbind_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"twofold/nfs/rpcbind"
)

var (
	kernelNFS = rpcb{100003, 4, "tcp", "0.0.0.0.8.1", "superuser"}
	statd     = rpcb{100024, 1, "tcp", "0.0.0.0.130.1", "29"}
	ours      = []rpcb{
		{100003, 3, "tcp", "0.0.0.0.8.1", "superuser"}, {100003, 3, "tcp6", "::.8.1", "superuser"},
		{100005, 3, "tcp", "0.0.0.0.8.1", "superuser"}, {100005, 3, "tcp6", "::.8.1", "superuser"},
	}
)

func TestRegister_AndWithdraw(t *testing.T) {
	f := newFake(t)
	f.set(statd)
	f.start()
	r := start(t, f.config(rpcbind.ModeAuto))
	doing(t, r, rpcbind.Registered)
	if got, want := f.list(), append([]rpcb{statd}, ours...); !slices.Equal(got, want) {
		t.Errorf("entries %v, want %v", got, want)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := f.list(); !slices.Equal(got, []rpcb{statd}) {
		t.Errorf("after stop: %v", got)
	}
	if r.State().Doing != rpcbind.Nothing {
		t.Errorf("state %v", r.State())
	}
}

// The calls were written by hand from RFC 1833: DUMP, SET and UNSET of version 4.
func TestRegister_Golden(t *testing.T) {
	f := newFake(t)
	f.start()
	cfg := f.config(rpcbind.ModeRegister)
	cfg.Check = time.Hour
	cfg.Services = []rpcbind.Service{{Program: 100003, Version: 3, Addr: netip.MustParseAddrPort("192.0.2.1:12049")}}
	r := start(t, cfg)
	doing(t, r, rpcbind.Registered)
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	uid := strconv.Itoa(os.Geteuid())
	owner := fmt.Sprintf("%08x%x%s", len(uid), uid, strings.Repeat("00", -len(uid)&3))
	const head = "00000000 00000002 000186a0 00000004 %08x 00000000 00000000 00000000 00000000"
	entry := "000186a3 00000003 00000003 74637000 0000000f 3139322e302e322e312e34372e313700" + owner
	var want [][]byte
	for _, c := range []struct {
		proc int
		args string
	}{{4, ""}, {1, entry}, {4, ""}, {2, entry}} {
		b, err := hex.DecodeString(strings.ReplaceAll(fmt.Sprintf(head, c.proc)+c.args, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, b)
	}
	if !slices.EqualFunc(f.calls, want, bytes.Equal) {
		t.Errorf("calls\n%x, want\n%x", f.calls, want)
	}
}

func TestRegister_LeavesForeignEntriesAlone(t *testing.T) {
	for name, e := range map[string]rpcb{
		"kernel's NFSv4 on UDP": {100003, 4, "udp", "0.0.0.0.8.1", "superuser"},
		"kernel's mountd":       {100005, 1, "udp", "0.0.0.0.78.80", "superuser"},
		"another node":          {100003, 3, "tcp", "0.0.0.0.8.2", "superuser"},
		"another node on IPv6":  {100005, 3, "tcp6", "::.8.2", "1000"},
		"no address":            {100003, 3, "tcp", "", "superuser"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.set(e)
			f.start()
			logged := new(syncBuffer)
			cfg := f.config(rpcbind.ModeAuto)
			cfg.Logger = slog.New(slog.NewTextHandler(logged, nil))
			r := start(t, cfg)
			var foreign *rpcbind.ForeignError
			eventually(t, "the error", func() bool { return errors.As(r.State().Err, &foreign) })
			text := r.State().Err.Error()
			for _, part := range []string{strconv.Itoa(int(e.prog)), e.addr, "stop it", fmt.Sprintf("rpcinfo -d %d %d", e.prog, e.vers)} {
				if !strings.Contains(text, part) {
					t.Errorf("%q lacks %q", text, part)
				}
			}
			if err := r.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if got := f.list(); !slices.Equal(got, []rpcb{e}) || f.changes() != 0 {
				t.Errorf("entries %v, %d changes", got, f.changes())
			}
			if n := strings.Count(logged.String(), "level=ERROR"); n != 1 {
				t.Errorf("%d errors logged:\n%s", n, logged.String())
			}
		})
	}
}

// Once the other server is gone its place is taken.
func TestRegister_WhenTheForeignEntryHasGone(t *testing.T) {
	f := newFake(t)
	f.set(rpcb{100003, 3, "tcp", "0.0.0.0.8.2", "superuser"})
	f.start()
	r := start(t, f.config(rpcbind.ModeRegister))
	eventually(t, "the error", func() bool { return r.State().Err != nil })
	f.set()
	doing(t, r, rpcbind.Registered)
	if !slices.Equal(f.list(), ours) {
		t.Errorf("entries %v", f.list())
	}
}

// An entry that appears while ours are there is told, and ours stay.
func TestRegister_ForeignEntryComesLater(t *testing.T) {
	f := newFake(t)
	f.start()
	r := start(t, f.config(rpcbind.ModeRegister))
	doing(t, r, rpcbind.Registered)
	later := rpcb{100003, 4, "tcp", "0.0.0.0.8.2", "superuser"}
	f.set(append(slices.Clone(ours), later)...)
	eventually(t, "the error", func() bool { return r.State().Err != nil })
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := f.list(); !slices.Equal(got, []rpcb{later}) {
		t.Errorf("entries %v", got)
	}
}

// What a killed node left at our port is ours, in whatever form.
func TestRegister_TakesOverItsOwnStaleEntries(t *testing.T) {
	f := newFake(t)
	f.set(rpcb{100003, 3, "tcp", "192.0.2.1.8.1", "superuser"}, ours[1], kernelNFS)
	f.start()
	r := start(t, f.config(rpcbind.ModeRegister))
	doing(t, r, rpcbind.Registered)
	got := f.list()
	for _, e := range ours {
		if !slices.Contains(got, e) {
			t.Errorf("entries %v lack %v", got, e)
		}
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	// Another version at our port is nobody's, and not of our making.
	if got := f.list(); !slices.Equal(got, []rpcb{kernelNFS}) {
		t.Errorf("after stop: %v", got)
	}
}

func TestRegister_AgainAfterRpcbindRestarted(t *testing.T) {
	f := newFake(t)
	f.start()
	r := start(t, f.config(rpcbind.ModeAuto))
	doing(t, r, rpcbind.Registered)
	f.stopListening()
	eventually(t, "the error", func() bool { return r.State().Err != nil })
	if s := r.State(); s.Doing != rpcbind.Waiting {
		t.Errorf("state %v: port 111 was taken from a rpcbind that restarts", s)
	}
	f.set()
	f.start()
	doing(t, r, rpcbind.Registered)
	if !slices.Equal(f.list(), ours) {
		t.Errorf("entries %v", f.list())
	}
}

// Somebody registers in our place after we did: it is not ours to withdraw.
func TestStop_LeavesWhatTookOurPlace(t *testing.T) {
	f := newFake(t)
	f.start()
	cfg := f.config(rpcbind.ModeRegister)
	cfg.Check = time.Hour
	r := start(t, cfg)
	doing(t, r, rpcbind.Registered)
	other := rpcb{100003, 3, "tcp", "0.0.0.0.8.2", "superuser"}
	f.set(other)
	if err := r.Stop(t.Context()); err != nil || !slices.Equal(f.list(), []rpcb{other}) {
		t.Errorf("entries %v, %v", f.list(), err)
	}
}

// rpcbind was stopped before the node: there is nothing to withdraw, and a planned
// stop does not fail.
func TestStop_AfterRpcbindHasEnded(t *testing.T) {
	f := newFake(t)
	f.start()
	r := start(t, f.config(rpcbind.ModeRegister))
	doing(t, r, rpcbind.Registered)
	f.stopListening()
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegister_Refused(t *testing.T) {
	for name, set := range map[string]func(*fake){
		"FALSE":    func(f *fake) { f.refuse = true },
		"too weak": func(f *fake) { f.tooWeak = true },
	} {
		f := newFake(t)
		set(f)
		f.start()
		r := start(t, f.config(rpcbind.ModeAuto))
		eventually(t, "the error", func() bool { return r.State().Err != nil })
		if s := r.State(); s.Doing != rpcbind.Waiting || !strings.Contains(s.Err.Error(), "refused") {
			t.Errorf("%s: state %v", name, s)
		}
	}
}

// A rpcbind that does not answer holds up neither Start nor, for longer than its
// context, Stop.
func TestStart_DoesNotWait(t *testing.T) {
	f := newFake(t)
	f.silent = true
	f.start()
	begin := time.Now()
	r := start(t, f.config(rpcbind.ModeAuto))
	if s := r.State(); s.Doing != rpcbind.Waiting {
		t.Errorf("state %v", s)
	}
	eventually(t, "a call", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.calls) > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_ = r.Stop(ctx)
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestAuto_ServesWhereNoRpcbindRuns(t *testing.T) {
	f := newFake(t)
	r := start(t, f.config(rpcbind.ModeAuto))
	doing(t, r, rpcbind.Serving)
	f.start() // the operator starts one
	eventually(t, "an error", func() bool { return r.State().Err != nil })
	if s := r.State(); s.Doing != rpcbind.Serving {
		t.Errorf("state %v", s)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if f.changes() != 0 {
		t.Error("entries were changed")
	}
}

func TestAuto_SaysWhatPlainMountsNeed(t *testing.T) {
	f := newFake(t)
	taken := start(t, f.config(rpcbind.ModeServe))
	cfg := f.config(rpcbind.ModeAuto)
	cfg.Listen = []netip.AddrPort{rpcbind.BoundAddr(taken)}
	logged := new(syncBuffer)
	cfg.Logger = slog.New(slog.NewTextHandler(logged, nil))
	r := start(t, cfg)
	eventually(t, "the error", func() bool { return r.State().Err != nil })
	if s := r.State(); s.Doing != rpcbind.Waiting {
		t.Errorf("state %v", s)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if text := logged.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "mountport") || !strings.Contains(text, "port mapper") {
		t.Errorf("logged:\n%s", text)
	}
	cfg.Mode = rpcbind.ModeServe
	if _, err := rpcbind.Start(cfg); err == nil || !strings.Contains(err.Error(), "mode register") {
		t.Errorf("mode serve: %v", err)
	}
}

func TestRegister_WaitsForRpcbind(t *testing.T) {
	f := newFake(t)
	r := start(t, f.config(rpcbind.ModeRegister))
	eventually(t, "the error", func() bool { return r.State().Err != nil })
	if s := r.State(); s.Doing != rpcbind.Waiting {
		t.Errorf("state %v", s)
	}
	f.start()
	doing(t, r, rpcbind.Registered)
}

func TestOff(t *testing.T) {
	r := start(t, rpcbind.Config{Mode: rpcbind.ModeOff})
	if s := r.State(); s.Doing != rpcbind.Nothing || s.Err != nil {
		t.Errorf("state %v", s)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStart_RefusesABadConfig(t *testing.T) {
	f := newFake(t)
	for name, change := range map[string]func(*rpcbind.Config){
		"no mode":           func(c *rpcbind.Config) { c.Mode = "" },
		"unknown mode":      func(c *rpcbind.Config) { c.Mode = "on" },
		"no services":       func(c *rpcbind.Config) { c.Services = nil },
		"too many services": func(c *rpcbind.Config) { c.Services = slices.Repeat(c.Services, 10) },
		"no address":        func(c *rpcbind.Config) { c.Services[0].Addr = netip.AddrPort{} },
		"no port":           func(c *rpcbind.Config) { c.Services[0].Addr = netip.MustParseAddrPort("0.0.0.0:0") },
		"negative interval": func(c *rpcbind.Config) { c.Check = -1 },
	} {
		cfg := f.config(rpcbind.ModeAuto)
		change(&cfg)
		if _, err := rpcbind.Start(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// syncBuffer is a buffer that a logger and a test share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
