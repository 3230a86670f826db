package mount_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/export"
	"twofold/nfs/mount"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// sharedList is the cluster's list of mounts, as a store would keep it.
type sharedList struct {
	mu     sync.Mutex
	mounts []vfs.Mount
	err    error         // of every call
	hold   chan struct{} // changes wait for this to be closed
	calls  int           // changes that began
}

func (l *sharedList) change(ctx context.Context, edit func([]vfs.Mount) []vfs.Mount) error {
	l.mu.Lock()
	l.calls++
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.mounts = edit(l.mounts)
	return nil
}

func (l *sharedList) AddMount(ctx context.Context, m vfs.Mount) error {
	return l.change(ctx, func(all []vfs.Mount) []vfs.Mount {
		if slices.Contains(all, m) {
			return all
		}
		return append(all, m)
	})
}

func (l *sharedList) RemoveMount(ctx context.Context, m vfs.Mount) error {
	return l.change(ctx, func(all []vfs.Mount) []vfs.Mount {
		return slices.DeleteFunc(all, func(o vfs.Mount) bool { return o == m })
	})
}

func (l *sharedList) RemoveMounts(ctx context.Context, host string) error {
	return l.change(ctx, func(all []vfs.Mount) []vfs.Mount {
		return slices.DeleteFunc(all, func(o vfs.Mount) bool { return o.Host == host })
	})
}

func (l *sharedList) Mounts(context.Context) ([]vfs.Mount, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mounts), l.err
}

func (l *sharedList) begun() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// noNames resolves no host name.
type noNames struct{}

func (noNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

// eventually waits for a condition that the program brings about in the
// background.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// whole is the export of the whole volume to this host.
func whole() vfs.Export { return vfs.Export{Path: "/", Root: vfs.RootRef(), Clients: everyone} }

func TestDump_IsTheListOfTheCluster(t *testing.T) {
	fs, _, _ := volume(t)
	list := &sharedList{}
	nodeA, nodeB := serve(t, mount.Config{FS: fs, Mounts: list}, whole()), serve(t, mount.Config{FS: fs, Mounts: list}, whole())
	one, two := dial(t, nodeA), dial(t, nodeB, from(2))
	other := dial(t, nodeB)
	want := func(step string, entries ...client.MountEntry) {
		t.Helper()
		for node, c := range map[string]*client.Client{"a": one, "b": other} {
			eventually(t, step+" at "+node, func() bool {
				got, err := c.Dump(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				byHost := func(a, b client.MountEntry) int { return strings.Compare(a.Host+a.Dir, b.Host+b.Dir) }
				slices.SortFunc(got, byHost)
				return slices.Equal(got, entries)
			})
		}
	}
	for _, c := range []*client.Client{one, two, one} {
		for _, path := range []string{"/a", "/a/b/", "/none"} {
			if _, err := c.Mnt(t.Context(), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	want("mounted", client.MountEntry{Host: "127.0.0.1", Dir: "/a"}, client.MountEntry{Host: "127.0.0.1", Dir: "/a/b"},
		client.MountEntry{Host: "127.0.0.2", Dir: "/a"}, client.MountEntry{Host: "127.0.0.2", Dir: "/a/b"})
	for _, path := range []string{"/a/", "/none", ""} {
		if err := one.Umnt(t.Context(), path); err != nil {
			t.Errorf("UMNT %q: %v", path, err)
		}
	}
	want("one unmounted", client.MountEntry{Host: "127.0.0.1", Dir: "/a/b"},
		client.MountEntry{Host: "127.0.0.2", Dir: "/a"}, client.MountEntry{Host: "127.0.0.2", Dir: "/a/b"})
	if err := two.UmntAll(t.Context()); err != nil {
		t.Error(err)
	}
	want("all of one host unmounted", client.MountEntry{Host: "127.0.0.1", Dir: "/a/b"})
}

// Whatever is wrong with the list, mounts work.
func TestDump_BrokenList(t *testing.T) {
	fs, _, _ := volume(t)
	list := &sharedList{err: vfs.ErrNoQuorum}
	var log logBuffer
	c := dial(t, serve(t, mount.Config{FS: fs, Mounts: list, Logger: log.logger()}, whole()))
	if _, err := c.Root(t.Context(), "/a"); err != nil {
		t.Error(err)
	}
	eventually(t, "a failed change is not logged", func() bool { return strings.Contains(log.String(), "misses a change") })
	if _, err := c.Dump(t.Context()); !errors.Is(err, rpc.ErrSystem) {
		t.Errorf("DUMP: %v", err)
	}
}

// A list that hangs delays no mount, and what does not fit the queue is dropped
// with a line in the log.
func TestDump_HangingList(t *testing.T) {
	fs, _, _ := volume(t)
	list := &sharedList{hold: make(chan struct{})}
	var log logBuffer
	c := dial(t, serve(t, mount.Config{FS: fs, Mounts: list, Logger: log.logger()}, whole()))
	for i := range 1100 {
		if err := c.Umnt(t.Context(), fmt.Sprint("/", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Root(t.Context(), "/a"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "too many at once") {
		t.Errorf("log: %s", log.String())
	}
	if got := list.begun(); got != 1 {
		t.Errorf("%d changes at a time", got)
	}
	// Close, in the cleanup, must not wait for the list.
}

// Changes of the list cost entries of the cluster's log: strangers get none.
func TestDump_StrangersChangeNothing(t *testing.T) {
	fs, _, _ := volume(t)
	list := &sharedList{mounts: []vfs.Mount{{Host: "127.0.0.2", Path: "/a"}}}
	addr := serve(t, mount.Config{FS: fs, Mounts: list}, vfs.Export{Path: "/", Root: vfs.RootRef(), Clients: "127.0.0.1(insecure)"})
	stranger, friend := dial(t, addr, from(2)), dial(t, addr)
	if err := errors.Join(stranger.Umnt(t.Context(), "/a"), stranger.UmntAll(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := friend.Root(t.Context(), "/a"); err != nil {
		t.Error(err)
	}
	eventually(t, "the mount is not listed", func() bool { return list.begun() == 1 })
	if got, err := friend.Dump(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDump_WithoutAList(t *testing.T) {
	fs, _, _ := volume(t)
	c := dial(t, start(t, fs, everyone))
	if _, err := c.Root(t.Context(), "/a"); err != nil {
		t.Error(err)
	}
	if got, err := c.Dump(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// A list that is too long for a reply is cut, and says so.
func TestDump_IsBounded(t *testing.T) {
	fs, _, _ := volume(t)
	list := &sharedList{}
	for i := range vfs.MaxMounts {
		list.mounts = append(list.mounts, vfs.Mount{Host: "127.0.0.1", Path: fmt.Sprintf("/%0*d", vfs.MaxPath-1, i)})
	}
	c := dial(t, serve(t, mount.Config{FS: fs, Mounts: list}, whole()))
	got, err := c.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := got[len(got)-1]
	if n := len(got) - 1; n < 500 || last.Host != "..." || last.Dir != fmt.Sprintf("(%d more mounts do not fit)", vfs.MaxMounts-n) {
		t.Errorf("%d entries, the last is %v", len(got), last)
	}
}

func TestExport_ListsTheTable(t *testing.T) {
	fs, a, _ := volume(t)
	addr := serve(t, mount.Config{FS: fs},
		vfs.Export{Path: "/a", Root: a, Clients: "*(rw)"},
		vfs.Export{Path: "/", Root: vfs.RootRef(), Clients: "127.0.0.0/8(insecure) 10.1.2.3(rw) fd00::/64 host.example(rw)"})
	got, err := dial(t, addr).Export(t.Context())
	if err != nil || len(got) != 2 || got[0].Dir != "/" || got[1].Dir != "/a" ||
		!slices.Equal(got[0].Groups, []string{"10.1.2.3", "127.0.0.0/8", "fd00::/64", "host.example"}) || !slices.Equal(got[1].Groups, []string{"*"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := dial(t, start(t, fs, "")).Export(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("without exports: %v, %v", got, err)
	}
}

// The largest table fits into one reply, whole.
func TestExport_LargestTable(t *testing.T) {
	fs, _, _ := volume(t)
	var table []vfs.Export
	room := vfs.MaxExportBytes
	for i := range vfs.MaxExports {
		var b strings.Builder
		path := fmt.Sprintf("/%d", i)
		// Short words grow most on the wire, to 12 bytes for the 7 of "a(ro) ".
		for n := range 900 {
			word := fmt.Sprintf("%s(ro) ", strings.TrimLeft(fmt.Sprintf("%c%c", '`'+n/26, 'a'+n%26), "`"))
			if b.Len()+len(word)+len(path) > vfs.MaxExportBytes/vfs.MaxExports {
				break
			}
			b.WriteString(word)
		}
		clients := strings.TrimSpace(b.String())
		if room -= len(path) + len(clients); room < 0 {
			break
		}
		table = append(table, vfs.Export{Path: path, Root: vfs.Ref{Ino: vfs.Ino(i + 2)}, Clients: clients})
	}
	x := export.New(export.Config{Resolver: noNames{}})
	defer x.Close()
	if err := x.Set(vfs.ExportTable{Exports: table}); err != nil {
		t.Fatal(err)
	}
	p, err := mount.New(mount.Config{FS: fs, Exports: x, Handle: makeHandle})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	call := &rpc.Call{Proc: client.MountProcExport}
	var w xdr.Writer
	if err := p.ServeRPC(t.Context(), call, &w); err != nil {
		t.Fatal(err)
	}
	if n := p.ReplySize(call); w.Len() > n || w.Len() < n/2 {
		t.Errorf("%d bytes of reply for %d exports, %d are the most", w.Len(), len(table), n)
	}
}
