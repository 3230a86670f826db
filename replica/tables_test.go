package replica_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twofold/replica"
	"twofold/replica/vfs"
)

func setExports(t *testing.T, s *replica.Store, base uint64, exports ...vfs.Export) vfs.Result {
	t.Helper()
	r, err := s.SetExports(t.Context(), base, exports, "test")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExports_BothNodes(t *testing.T) {
	p := newPair(t)
	a, b := p.stores["a"], p.stores["b"]
	_, changed := a.Exports()
	if r := setExports(t, b, 0, vfs.Export{Path: "/", Clients: "x"}); r.Kind != vfs.OK {
		t.Fatal(r.Kind)
	}
	got, err := a.ReadExports(t.Context())
	if err != nil || got.Version != 1 || got.By != "b" || got.Source != "test" || got.Exports[0].Root != vfs.RootRef() {
		t.Fatalf("%+v, %v", got, err)
	}
	<-changed
	if now, _ := a.Exports(); !cmp.Equal(now, got) {
		t.Errorf("%+v, after the barrier %+v", now, got)
	}
	if r := setExports(t, a, 0); r.Kind != vfs.NotSync {
		t.Errorf("an old base: %v", r.Kind)
	}
	if r := setExports(t, a, 1, got.Exports[0], vfs.Export{Path: "/none"}); r.Kind != vfs.NotExist || r.Count != 1 {
		t.Errorf("no such path: %+v", r)
	}
	p.sameDigest()
}

// Of many who change one version of the table, one wins.
func TestExports_OneWins(t *testing.T) {
	p := newPair(t)
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			s := p.stores[[]string{"a", "b"}[i%2]]
			if r := setExports(t, s, 0, vfs.Export{Path: "/", Clients: fmt.Sprint(i)}); r.Kind == vfs.OK {
				won.Add(1)
			} else if r.Kind != vfs.NotSync {
				t.Error(r.Kind)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
}

// What cannot be encoded is a verdict, too.
func TestExports_OverTheLimits(t *testing.T) {
	p := newPair(t)
	s := p.stores["a"]
	if r := setExports(t, s, 0, make([]vfs.Export, vfs.MaxExports+1)...); r.Kind != vfs.Invalid || r.Count != vfs.MaxExports {
		t.Errorf("too many: %+v", r)
	}
	big := vfs.Export{Path: "/", Clients: strings.Repeat("x", vfs.MaxExportBytes)}
	if r := setExports(t, s, 0, big); r.Kind != vfs.Invalid || r.Count != 0 {
		t.Errorf("too large: %+v", r)
	}
	big.Clients = big.Clients[1:]
	if r := setExports(t, s, 0, big); r.Kind != vfs.OK {
		t.Errorf("just right: %+v", r)
	}
	big.Root = vfs.RootRef()
	if _, err := s.SetExports(t.Context(), 1, nil, strings.Repeat("s", 5000)); err != nil {
		t.Errorf("a long source: %v", err)
	}
}

func TestMounts_BothNodes(t *testing.T) {
	p := newPair(t)
	a, b := p.stores["a"], p.stores["b"]
	ctx := t.Context()
	x, y, z := vfs.Mount{Host: "h1", Path: "/x"}, vfs.Mount{Host: "h2", Path: "/y"}, vfs.Mount{Host: "h1", Path: "/z"}
	for i, m := range []vfs.Mount{x, y, x, z} {
		if err := []*replica.Store{a, b}[i%2].AddMount(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	want := func(all ...vfs.Mount) {
		t.Helper()
		for name, s := range p.stores {
			got, err := s.Mounts(ctx)
			if err != nil || len(got)+len(all) > 0 && !cmp.Equal(got, all) {
				t.Errorf("at %s: %+v, %v; want %+v", name, got, err, all)
			}
		}
	}
	want(x, y, z)
	if err := errors.Join(a.RemoveMount(ctx, x), b.AddMount(ctx, x)); err != nil {
		t.Fatal(err)
	}
	want(y, z, x)
	if err := errors.Join(b.RemoveMounts(ctx, "h1"), b.RemoveMounts(ctx, "nobody")); err != nil {
		t.Fatal(err)
	}
	want(y)
	if err := a.AddMount(ctx, vfs.Mount{}); err == nil || vfs.NeverProposed(err) {
		t.Errorf("an empty entry: %v", err)
	}
}

// What leaves the list of mounts as it is makes no log entry, at either node.
func TestMounts_NoChangeNoEntry(t *testing.T) {
	p := newPair(t)
	ctx := t.Context()
	m := vfs.Mount{Host: "192.0.2.7", Path: "/"}
	if err := p.stores["a"].AddMount(ctx, m); err != nil {
		t.Fatal(err)
	}
	for name, s := range p.stores {
		if err := s.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		before := s.Applied()
		for range 50 {
			err := errors.Join(s.AddMount(ctx, m), s.RemoveMount(ctx, vfs.Mount{Host: m.Host, Path: "/no"}), s.RemoveMounts(ctx, "192.0.2.8"))
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Applied() - before; n > 20 { // some may be of elections
			t.Errorf("at %s: %d entries for nothing", name, n)
		}
	}
	for _, s := range p.stores {
		if err := s.AddMount(ctx, vfs.Mount{Host: m.Host}); err == nil {
			t.Error("a mount without a path is taken")
		}
	}
	if err := errors.Join(p.stores["b"].RemoveMounts(ctx, m.Host), p.stores["a"].AddMount(ctx, m)); err != nil {
		t.Fatal(err)
	}
	if all, err := p.stores["b"].Mounts(ctx); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestPublishMember(t *testing.T) {
	p := newPair(t)
	a, b := p.stores["a"], p.stores["b"]
	m := vfs.Member{Name: "a", ID: [16]byte{1}, Addrs: []netip.Addr{
		netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), {},
	}}
	if err := b.PublishMember(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	p.await("a", func(ctx context.Context, _ *replica.Store) error {
		if err := a.Ready(ctx); err != nil {
			return err
		}
		all, _ := a.Members()
		if len(all) != 1 || len(all[0].Addrs) != 2 || all[0].ID != m.ID {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	if a.Client(netip.MustParseAddr("192.0.2.1")) != b.Client(netip.MustParseAddr("192.0.2.2")) ||
		a.Client(netip.MustParseAddr("127.0.0.1")) != b.Client(netip.MustParseAddr("192.0.2.2")) {
		t.Error("node a's addresses are several clients")
	}
	if a.Client(netip.MustParseAddr("127.0.0.1")) == b.Client(netip.MustParseAddr("127.0.0.1")) {
		t.Error("the nodes' loopbacks are one client")
	}
	p.sameDigest()
	_, before, err := a.Digest()
	if err == nil {
		err = a.PublishMember(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, after, err := a.Digest(); err != nil || after != before {
		t.Errorf("publishing the same record moved the log from %d to %d, %v", before, after, err)
	}
}

// A call that is repeated at the other node, from another address of the same
// host, has its first answer and no second effect.
func TestClient_RepeatedFromAnotherAddress(t *testing.T) {
	p := newPair(t)
	a, b := p.stores["a"], p.stores["b"]
	outside := netip.MustParseAddr("192.0.2.1")
	if err := a.PublishMember(t.Context(), vfs.Member{Name: "a", Addrs: []netip.Addr{outside}}); err != nil {
		t.Fatal(err)
	}
	p.until("b has it", func() bool { return b.Applied() >= a.Applied() })
	call := func(s *replica.Store, from string) *vfs.Call {
		return &vfs.Call{ID: vfs.CallID{Client: s.Client(netip.MustParseAddr(from)), XID: 7, Prog: 100003, Vers: 3, Proc: 9, Sum: 1}}
	}
	op := &vfs.OpMkdir{Dir: vfs.RootRef(), Name: "once"}
	first, err := a.Mutate(t.Context(), call(a, "127.0.0.1"), op)
	if err != nil || first.Kind != vfs.OK {
		t.Fatal(first.Kind, err)
	}
	again, err := b.Mutate(t.Context(), call(b, "192.0.2.1"), op)
	if err != nil || !cmp.Equal(first, again) {
		t.Errorf("the repeated call: %v, %v", again.Kind, err)
	}
	other, err := b.Mutate(t.Context(), call(b, "127.0.0.1"), op)
	if err != nil || other.Kind != vfs.Exist {
		t.Errorf("a call of another client: %v, %v", other.Kind, err)
	}
}
