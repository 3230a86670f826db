package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// newAsking returns a follower "a" without a lease and its leader "b", which has one.
func newAsking(t *testing.T) (a *Store, log *fakeLog, b *leading) {
	t.Helper()
	net := rafttest.NewNetwork()
	b = newLeading(t)
	b.log.state.Leader = "b"
	b.s.Start(b.log, net.Endpoint("b"))
	a = openVolume(t)
	a.cfg.WaitLimit = 20 * time.Second
	log = newFakeLog(raftlog.State{Term: 4, Leader: "b"})
	a.Start(log, net.Endpoint("a"))
	return a, log, b
}

// Each read of a follower that is behind and has no lease is answered as the leader
// answers it.
func TestForwardedRead_AsTheLeaderAnswers(t *testing.T) {
	a, _, b := newAsking(t)
	root := vfs.RootRef()
	f := b.must(&vfs.OpCreate{Dir: root, Name: "f", Mode: vfs.CreateGuarded, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o640}}).Attr.Ref
	data := make([]byte, vfs.MaxIO)
	for i := range data {
		data[i] = byte(i * 7)
	}
	b.must(&vfs.OpWrite{Ref: f, Data: data})
	l := b.must(&vfs.OpSymlink{Dir: root, Name: "l", Target: "over there"}).Attr.Ref
	ctx, stranger := t.Context(), vfs.Cred{UID: 7, GID: 7, Groups: []uint32{8, 9}}
	for name, read := range map[string]func(fs vfs.FS) (any, error){
		"getattr":        func(fs vfs.FS) (any, error) { return fs.GetAttr(ctx, f) },
		"getattr stale":  func(fs vfs.FS) (any, error) { return fs.GetAttr(ctx, vfs.Ref{Ino: 77}) },
		"lookup":         func(fs vfs.FS) (any, error) { return fs.Lookup(ctx, vfs.Root, root, "f") },
		"lookup nothing": func(fs vfs.FS) (any, error) { return fs.Lookup(ctx, vfs.Root, root, "g") },
		"lookup too long": func(fs vfs.FS) (any, error) {
			return fs.Lookup(ctx, vfs.Root, root, strings.Repeat("n", vfs.MaxName+50))
		},
		"lookup in file":  func(fs vfs.FS) (any, error) { return fs.Lookup(ctx, vfs.Root, f, "g") },
		"readlink":        func(fs vfs.FS) (any, error) { return fs.Readlink(ctx, vfs.Root, l) },
		"readlink file":   func(fs vfs.FS) (any, error) { return fs.Readlink(ctx, vfs.Root, f) },
		"readdir":         func(fs vfs.FS) (any, error) { return fs.ReadDir(ctx, vfs.Root, root, 0, false, 100) },
		"readdir rest":    func(fs vfs.FS) (any, error) { return fs.ReadDir(ctx, vfs.Root, root, vfs.CookieFirst, false, 100) },
		"readdir part":    func(fs vfs.FS) (any, error) { return fs.ReadDir(ctx, vfs.Root, root, 0, false, 3) },
		"readdirplus":     func(fs vfs.FS) (any, error) { return fs.ReadDir(ctx, vfs.Root, root, 0, true, 1<<30) },
		"readdir of file": func(fs vfs.FS) (any, error) { return fs.ReadDir(ctx, vfs.Root, f, 0, true, 100) },
		"read denied":     func(fs vfs.FS) (any, error) { return fs.Read(ctx, stranger, f, 0, make([]byte, 9)) },
		"read": func(fs vfs.FS) (any, error) {
			buf := make([]byte, 2*vfs.MaxIO)
			res, err := fs.Read(ctx, vfs.Root, f, 5, buf)
			return fmt.Sprintf("%+v %x", res, buf[:res.N]), err
		},
		"read one": func(fs vfs.FS) (any, error) {
			buf := make([]byte, 1)
			res, err := fs.Read(ctx, vfs.Root, f, 9, buf)
			return fmt.Sprintf("%+v %x", res, buf), err
		},
	} {
		want, err := read(b.s)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := read(a)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%.2000s", name, err, d)
		}
	}
	if got, err := a.StatFS(ctx, f); err != nil || got.Kind != vfs.OK || got.Inodes != 3 {
		t.Errorf("statfs: %+v, %v", got, err)
	}
	if a.Applied() != 1 {
		t.Fatal("the follower has applied something: this test shows nothing")
	}
	if err := a.Ready(ctx); err != nil {
		t.Error(err)
	}
}

// The leader waits for what it has in its log, as for its own callers.
func TestForwardedRead_WaitsAtTheLeader(t *testing.T) {
	a, _, b := newAsking(t)
	f := b.must(&vfs.OpCreate{Dir: vfs.RootRef(), Name: "f", Mode: vfs.CreateGuarded}).Attr.Ref
	b.mu.Lock()
	b.hold = true
	b.mu.Unlock()
	go func() { _, _ = b.s.Mutate(context.Background(), &vfs.Call{}, write(f, 5)) }()
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.kept) > 0 })
	done := make(chan error, 1)
	go func() {
		res, err := a.GetAttr(context.Background(), f)
		if err == nil && res.Attr.Size != 5 {
			err = fmt.Errorf("size %d", res.Attr.Size)
		}
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it does not wait: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	b.release()
	ended(t, done)
}

// What is read from the state as a whole waits for this node's own apply.
func TestForwardedRead_WholeTables(t *testing.T) {
	a, _, b := newAsking(t)
	b.must(&vfs.OpMkdir{Dir: vfs.RootRef(), Name: "d"})
	done := make(chan error, 1)
	go func() { _, err := a.Mounts(context.Background()); done <- err }()
	select {
	case err := <-done:
		t.Fatalf("it does not wait: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	a.Commit(b.proposed())
	ended(t, done)
}

// One hop only: a node that neither leads nor has a lease refuses, and asks nobody.
func TestHandleRead_OneHop(t *testing.T) {
	h := newHolder(t)
	req := command.AppendRead(nil, &command.Read{Kind: command.ReadGetAttr, Ref: h.f})
	status := func() (st peer.Status) {
		h.s.HandleRead(t.Context(), "c", req, func(got peer.Status, _ []byte) { st = got })
		return st
	}
	if st := status(); st != peer.StatusOK {
		t.Errorf("under a lease: %d", st)
	}
	h.log.grant(false)
	start := time.Now()
	if st := status(); st != peer.StatusRefused || time.Since(start) > 5*time.Second {
		t.Errorf("without one: %d after %v", st, time.Since(start))
	}
	req = []byte{command.ReadVersion, 99}
	if st := status(); st != peer.StatusRefused {
		t.Errorf("nonsense: %d", st)
	}
}

// A leader that is lost while it is asked leaves the read to the next one; a lease
// that comes meanwhile makes asking needless.
func TestForwardedRead_LeaderLost(t *testing.T) {
	net := rafttest.NewNetwork()
	silent := net.Endpoint("b") // accepts and never answers
	defer silent.Listener(raftlog.StreamPeer).Close()
	log := newFakeLog(raftlog.State{Term: 4, Leader: "b"})
	s := openVolume(t)
	s.cfg.WaitLimit = 20 * time.Second
	s.Start(log, net.Endpoint("a"))
	done := make(chan error, 1)
	go func() { _, err := s.GetAttr(context.Background(), vfs.RootRef()); done <- err }()
	select {
	case err := <-done:
		t.Fatalf("nobody can have answered: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	log.grant(true)
	log.set(raftlog.State{Term: 5, Leader: "c"})
	ended(t, done)
}

// A waiting follower has the leader say that the entry is committed.
func TestHurry(t *testing.T) {
	a, log, b := newAsking(t)
	nudged := make(chan string, 100)
	b.log.nudge = func(p string) { nudged <- p }
	log.grant(true)
	b.must(&vfs.OpMkdir{Dir: vfs.RootRef(), Name: "d"})
	entries := b.proposed()
	a.Appended(entries)
	done := make(chan error, 1)
	go func() { _, err := a.StatFS(context.Background(), vfs.RootRef()); done <- err }()
	if who := <-nudged; who != "a" {
		t.Errorf("%q is told", who)
	}
	a.Commit(entries)
	ended(t, done)
}

// A leader without a lease has its lead confirmed, and then owes nothing to what was
// not committed before.
func TestReading_Confirmed(t *testing.T) {
	h := newHolder(t)
	h.log.grant(false)
	h.log.set(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true})
	confirmed := func(index raftlog.Index) {
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		h.log.readIndex = func(context.Context) (raftlog.Index, error) { return index, nil }
	}
	confirmed(h.end)
	e := h.append(write(h.f, 5))
	if err := h.wantSize(0); err != nil { // not committed when the read began
		t.Error(err)
	}
	confirmed(h.end)
	done := h.begun(func() error { return h.wantSize(5) })
	h.commit(e)
	ended(t, done)

	h.log.mu.Lock()
	h.log.readIndex = func(ctx context.Context) (raftlog.Index, error) { <-ctx.Done(); return 0, ctx.Err() }
	h.log.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.s.GetAttr(ctx, h.f); !errors.Is(err, vfs.ErrNoQuorum) {
		t.Errorf("without a quorum: %v", err)
	}
}
