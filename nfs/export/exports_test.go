package export_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noNames resolves nothing.
type noNames struct{}

func (noNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// entry is an export whose root has this inode.
func entry(path string, ino vfs.Ino, clients string) vfs.Export {
	return vfs.Export{Path: path, Root: vfs.Ref{Ino: ino}, Clients: clients}
}

// newExports puts a table in force.
func newExports(t *testing.T, list ...vfs.Export) *export.Exports {
	t.Helper()
	x := export.New(export.Config{Resolver: noNames{}})
	t.Cleanup(func() { _ = x.Close() })
	if err := x.Set(vfs.ExportTable{Version: 1, Exports: list}); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestFind_MostSpecificWins(t *testing.T) {
	x := newExports(t, entry("/", 1, `*(anonuid=1) 10.0.0.0/8(insecure,anonuid=2) 10.1.0.0/16(insecure,anonuid=3)
		10.1.2.3(rw,anonuid=4) fd00::/64(insecure,anonuid=5) ::ffff:192.168.1.0/120(insecure,anonuid=6) 0.0.0.0/0(anonuid=7) fe80::/10(insecure,anonuid=8)`))
	for client, want := range map[string]uint32{ // the rule's anonuid, 0 for a wrong port
		"10.9.9.9:40000":          2,
		"10.1.9.9:40000":          3,
		"[::ffff:10.1.9.9]:40000": 3,
		"10.1.2.3:1023":           4,
		"10.1.2.3:1024":           0, // the wider rule is not tried
		"11.0.0.1:1":              7,
		"11.0.0.1:1024":           0,
		"[fd00::1]:40000":         5,
		"[fd00:0:0:1::1]:40000":   0,
		"[fd00:0:0:1::1]:4":       1,
		"192.168.1.77:40000":      6,
		"[fe80::1%eth0]:2000":     8,
	} {
		r, v := x.Find(1, at(client))
		if want == 0 {
			if v != export.BadPort {
				t.Errorf("%s: verdict %d, rule %+v", client, v, r)
			}
			continue
		}
		if v != export.Admitted || r.AnonUID != want {
			t.Errorf("%s: verdict %d, rule %d, want %d", client, v, r.AnonUID, want)
		}
	}
}

func TestFind_EachExportHasItsRules(t *testing.T) {
	x := newExports(t, entry("/a", 5, "10.0.0.0/8(rw)"), entry("/a/b", 6, "11.0.0.0/8"))
	for _, c := range []struct {
		root   vfs.Ino
		client string
		want   export.Verdict
	}{
		{5, "10.0.0.1:1", export.Admitted},
		{5, "11.0.0.1:1", export.NoClient},
		{6, "10.0.0.1:1", export.NoClient},
		{6, "11.0.0.1:1", export.Admitted},
		{1, "10.0.0.1:1", export.NotExported},
		{0, "10.0.0.1:1", export.NotExported},
	} {
		if _, v := x.Find(c.root, at(c.client)); v != c.want {
			t.Errorf("%d for %s: %d, want %d", c.root, c.client, v, c.want)
		}
	}
	for client, want := range map[string]bool{"10.0.0.1:40000": true, "[::ffff:11.0.0.1]:1": true, "12.0.0.1:1": false, "[::1]:1": false} {
		if x.Admits(at(client)) != want {
			t.Errorf("Admits(%s) is %v", client, !want)
		}
	}
}

func TestFind_EmptyTableAdmitsNobody(t *testing.T) {
	x := newExports(t)
	if _, v := x.Find(vfs.RootIno, at("127.0.0.1:1")); v != export.NotExported || x.Admits(at("127.0.0.1:1")) || len(x.List()) != 0 {
		t.Error("an empty table admits a client")
	}
}

func TestFind_DoesNotAllocate(t *testing.T) {
	x := newExports(t, entry("/", 1, "10.0.0.0/8(insecure) 10.1.2.3(insecure) host.example"))
	client := at("[::ffff:10.1.2.4]:4000")
	if n := testing.AllocsPerRun(100, func() { x.Find(1, client); x.Admits(client) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

// Nearly the largest table there may be, with nothing but networks: each call asks
// it, and a host name's new address has it compiled anew.
func BenchmarkLargestTable(b *testing.B) {
	const exports, networks = 15, 1000
	table := vfs.ExportTable{Version: 1}
	for i := range exports {
		var clients strings.Builder
		for j := range networks {
			n := i*networks + j
			fmt.Fprintf(&clients, "%d.%d.%d.0/24(ro) ", 1+n>>16, n>>8&0xff, n&0xff)
		}
		table.Exports = append(table.Exports, entry(fmt.Sprintf("/%d", i), vfs.Ino(i+1), strings.TrimSpace(clients.String())))
	}
	x := export.New(export.Config{Resolver: noNames{}})
	defer x.Close()
	if err := x.Set(table); err != nil {
		b.Fatal(err)
	}
	stranger := at("203.0.113.9:700")
	b.Run("Find", func(b *testing.B) {
		for b.Loop() {
			if _, v := x.Find(1, stranger); v != export.NoClient {
				b.Fatal(v)
			}
		}
	})
	b.Run("Admits", func(b *testing.B) {
		for b.Loop() {
			if x.Admits(stranger) {
				b.Fatal("a stranger is admitted")
			}
		}
	})
	b.Run("Set", func(b *testing.B) {
		for b.Loop() {
			if err := x.Set(table); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestMount_LongestExportForTheClient(t *testing.T) {
	x := newExports(t, entry("/a", 5, "10.0.0.0/8(insecure) 11.0.0.1"), entry("/a/b", 6, "11.0.0.0/8(insecure) 10.9.9.9"), entry("/a-b", 7, "*"))
	for _, c := range []struct {
		path, client string
		ino          vfs.Ino
		rest         string
		want         export.Verdict
	}{
		{"/a", "10.0.0.1:5000", 5, "", export.Admitted},
		{"/a/c/d", "10.0.0.1:5000", 5, "c/d", export.Admitted},
		{"/a/b/c", "11.0.0.1:5000", 6, "c", export.Admitted},
		{"/a/b", "11.0.0.1:5000", 6, "", export.Admitted},
		{"/a/b/c", "10.0.0.1:5000", 5, "b/c", export.Admitted}, // as in mountd
		{"/a/b/c", "10.9.9.9:5000", 0, "", export.BadPort},     // no wider one is given
		{"/a/bc", "11.0.0.2:1", 0, "", export.NoClient},
		{"/a/bc", "11.0.0.1:1", 5, "bc", export.Admitted},
		{"/a-b/c", "10.0.0.1:5", 7, "c", export.Admitted},
		{"/", "10.0.0.1:5", 0, "", export.NotExported},
		{"/b", "10.0.0.1:5", 0, "", export.NotExported},
	} {
		e, rest, v := x.Mount(c.path, at(c.client))
		if e.Root.Ino != c.ino || rest != c.rest || v != c.want {
			t.Errorf("%s for %s: export %d, rest %q, verdict %d", c.path, c.client, e.Root.Ino, rest, v)
		}
	}
	all := newExports(t, entry("/", 1, "*"))
	for path, rest := range map[string]string{"/": "", "/a/b": "a/b"} {
		if e, got, v := all.Mount(path, at("1.2.3.4:5")); e.Path != "/" || got != rest || v != export.Admitted {
			t.Errorf("%s: %q %q %d", path, e.Path, got, v)
		}
	}
}

func TestSet_ErrorKeepsTheOldTable(t *testing.T) {
	x := newExports(t, entry("/", 1, "10.0.0.1"))
	for name, list := range map[string][]vfs.Export{
		"twice":                {entry("/a", 5, "*"), entry("/a", 6, "*")},
		"the same directory":   {entry("/a", 5, "*"), entry("/b", 5, "*")},
		"has no root":          {{Path: "/a", Clients: "*"}},
		"must be absolute":     {entry("a", 5, "*")},
		`write "/a"`:           {entry("/a/", 5, "*")},
		"unknown option":       {entry("/a", 5, "*(new_in_another_version)")},
		"257 exports, at most": make([]vfs.Export, vfs.MaxExports+1),
	} {
		err := x.Set(vfs.ExportTable{Version: 9, Exports: list})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "version 9") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, v := x.Find(1, at("10.0.0.1:1")); v != export.Admitted {
		t.Errorf("the old table is gone: %d", v)
	}
}

func TestSet_WhileCallsLookThingsUp(t *testing.T) {
	x := newExports(t, entry("/", 1, "*"))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				if _, v := x.Find(1, at("10.0.0.1:1")); v != export.Admitted {
					t.Errorf("verdict %d", v)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 200 {
		if err := x.Set(vfs.ExportTable{Exports: []vfs.Export{entry("/", 1, "* host.example 10.0.0.0/8(rw)")}}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestList_NamesTheClients(t *testing.T) {
	x := newExports(t, entry("/b", 5, "*(rw) host.example 10.0.0.0/8 10.0.0.1(rw)"), entry("/a", 6, "fd00::/8"))
	list := x.List()
	if len(list) != 2 || list[0].Path != "/a" || strings.Join(list[1].Names(), " ") != "10.0.0.1 10.0.0.0/8 host.example *" {
		t.Errorf("%+v", list)
	}
}

func BenchmarkFind(b *testing.B) {
	x := export.New(export.Config{Resolver: noNames{}})
	defer x.Close()
	if err := x.Set(vfs.ExportTable{Exports: []vfs.Export{entry("/", 1, "10.0.0.0/8(insecure) 10.1.0.0/16 fd00::/8 10.1.2.3 *")}}); err != nil {
		b.Fatal(err)
	}
	client := at("[::ffff:10.2.2.4]:4000")
	b.ReportAllocs()
	for b.Loop() {
		if _, v := x.Find(1, client); v != export.Admitted {
			b.Fatal(v)
		}
	}
}
