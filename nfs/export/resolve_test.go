package export_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// names is a resolver whose answers a test sets. A name without an answer fails.
type names struct {
	mu    sync.Mutex
	addrs map[string][]netip.Addr
	asked map[string]int
	delay time.Duration // of each answer

	running, most atomic.Int64
}

func newNames() *names {
	return &names{addrs: map[string][]netip.Addr{}, asked: map[string]int{}}
}

func (n *names) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.most.Store(max(n.most.Load(), n.running.Add(1)))
	defer n.running.Add(-1)
	n.mu.Lock()
	n.asked[host]++
	addrs, delay := n.addrs[host], n.delay
	n.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if network != "ip" || len(addrs) == 0 {
		return nil, errors.New("server misbehaving")
	}
	if addrs[0] == gone {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// gone stands for a name that the name service says is not there.
var gone = netip.IPv4Unspecified()

// set gives a name its addresses from now on.
func (n *names) set(host string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[host] = nil
	for _, a := range addrs {
		n.addrs[host] = append(n.addrs[host], netip.MustParseAddr(a))
	}
}

func (n *names) slow(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

func (n *names) count(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[host]
}

// resolving runs a test in a bubble, on exports with a resolver.
func resolving(t *testing.T, test func(t *testing.T, n *names, x *export.Exports)) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames()
		x := export.New(export.Config{Resolver: n})
		test(t, n, x)
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
}

func set(t *testing.T, x *export.Exports, clients string) {
	t.Helper()
	if err := x.Set(vfs.ExportTable{Exports: []vfs.Export{entry("/", 1, clients)}}); err != nil {
		t.Fatal(err)
	}
}

// uidOf is the anonuid of the rule for an address, 0 for none.
func uidOf(x *export.Exports, addr string) uint32 {
	r, v := x.Find(1, netip.AddrPortFrom(netip.MustParseAddr(addr), 1))
	if v != export.Admitted {
		return 0
	}
	return r.AnonUID
}

func TestHosts_AreResolvedInTheBackground(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("web", "10.0.0.1", "fd00::1", "::ffff:10.0.0.2")
		n.slow(2 * time.Second)
		set(t, x, "web(anonuid=5) 10.0.0.0/24(anonuid=6)")
		if got := uidOf(x, "10.0.0.1"); got != 6 {
			t.Errorf("before it is resolved: rule %d, want the network's", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, a := range []string{"10.0.0.1", "10.0.0.2", "fd00::1"} {
			if got := uidOf(x, a); got != 5 {
				t.Errorf("%s: rule %d, want the host's", a, got)
			}
		}
		if !x.Admits(at("[fd00::1]:5000")) {
			t.Error("a host is not admitted")
		}
	})
}

func TestHosts_FollowTheirAddresses(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("web", "10.0.0.1")
		set(t, x, "web(anonuid=5)")
		synctest.Wait()
		n.set("web", "10.0.0.2")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 0 || uidOf(x, "10.0.0.2") != 5 {
			t.Error("a new address is not seen after a minute")
		}
		if got := n.count("web"); got != 2 {
			t.Errorf("asked %d times in a minute", got)
		}
	})
}

func TestHosts_ThatFailKeepTheirAddressesForAnHour(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("web", "10.0.0.1")
		set(t, x, "web(anonuid=5) never(anonuid=6)")
		synctest.Wait()
		n.set("web")
		time.Sleep(export.KeepTime - time.Second)
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 5 {
			t.Error("the addresses are gone too early")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 0 {
			t.Error("the addresses are kept for too long")
		}
		n.set("web", "10.0.0.3")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if uidOf(x, "10.0.0.3") != 5 {
			t.Error("a name that resolves again is not seen within its retry time")
		}
	})
}

func TestHosts_ThatAreGoneMatchNobody(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("web", "10.0.0.1")
		set(t, x, "web(anonuid=5)")
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 5 {
			t.Fatal("the name does not resolve")
		}
		n.set("web", gone.String())
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 0 {
			t.Error("a name that is not there any more keeps its addresses")
		}
	})
}

func TestHosts_SurviveANewTable(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("web", "10.0.0.1")
		n.set("db", "10.0.0.9")
		set(t, x, "web(anonuid=5)")
		synctest.Wait()
		n.slow(time.Second)
		set(t, x, "web(anonuid=7) db(anonuid=8)")
		if uidOf(x, "10.0.0.1") != 7 || uidOf(x, "10.0.0.9") != 0 {
			t.Error("a name that was resolved is forgotten with the old table")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if uidOf(x, "10.0.0.9") != 8 || n.count("web") != 1 {
			t.Errorf("a new name has rule %d, the old one was asked for %d times", uidOf(x, "10.0.0.9"), n.count("web"))
		}
		set(t, x, "10.0.0.0/8(anonuid=9)")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n.count("web") != 1 || uidOf(x, "10.0.0.1") != 9 {
			t.Error("a name is asked for that no table has")
		}
	})
}

// A written address goes before a name's, the first name before others.
func TestHosts_Ties(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("b", "10.0.0.1", "10.0.0.2")
		n.set("a", "10.0.0.2")
		set(t, x, "b(anonuid=5) a(anonuid=6) 10.0.0.1(anonuid=7)")
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 7 || uidOf(x, "10.0.0.2") != 6 {
			t.Errorf("rules %d and %d", uidOf(x, "10.0.0.1"), uidOf(x, "10.0.0.2"))
		}
	})
}

// Names that hang take their time, and bounded resources, and nothing else.
func TestHosts_ThatHang(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		n.set("good", "10.0.0.1")
		n.slow(time.Hour)
		clients := "good(anonuid=5)"
		for i := range 60 {
			clients += fmt.Sprintf(" hang%d", i)
		}
		set(t, x, clients)
		time.Sleep(time.Second)
		synctest.Wait()
		n.slow(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if uidOf(x, "10.0.0.1") != 5 {
			t.Error("a name that resolves is starved")
		}
		if n.most.Load() > 8 || n.most.Load() < 2 {
			t.Errorf("%d look-ups at a time", n.most.Load())
		}
		n.slow(time.Hour)
		time.Sleep(20 * time.Second) // Close has to end look-ups that run
	})
}

func TestHosts_HaveBoundedAddresses(t *testing.T) {
	resolving(t, func(t *testing.T, n *names, x *export.Exports) {
		var all []string
		for i := range export.MaxHostAddrs + 5 {
			all = append(all, fmt.Sprintf("10.0.0.%d", 100+i))
		}
		slices.Reverse(all)
		n.set("many", all...)
		set(t, x, "many(anonuid=5)")
		synctest.Wait()
		if uidOf(x, "10.0.0.100") != 5 || uidOf(x, "10.0.0.131") != 5 || uidOf(x, "10.0.0.132") != 0 {
			t.Error("the addresses of a name are not bounded")
		}
	})
}
