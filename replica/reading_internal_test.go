package replica

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

// holder is a data node whose log the test writes: a follower under a lease, unless
// the test says otherwise.
type holder struct {
	t   *testing.T
	s   *Store
	log *fakeLog
	end raftlog.Index
	f   vfs.Ref // a file "f" in the root
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	h := &holder{t: t, log: newFakeLog(raftlog.State{Term: 4, Leader: "b"}), end: 1}
	h.log.lease = true
	h.s = openVolume(t)
	h.s.cfg.WaitLimit = 20 * time.Second
	h.s.Start(h.log, rafttest.NewNetwork().Endpoint("a"))
	h.commit(h.append(&vfs.OpCreate{Dir: vfs.RootRef(), Name: "f", Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o644}}))
	res, err := h.s.state.Lookup(vfs.Root, vfs.RootRef(), "f")
	if err != nil || res.Kind != vfs.OK {
		t.Fatal(res.Kind, err)
	}
	h.f = res.Attr.Ref
	return h
}

// append puts one entry with ops into the node's log, as its leader would have it.
func (h *holder) append(ops ...any) raftlog.Entry {
	h.t.Helper()
	e := h.entry(ops...)
	h.s.Appended([]raftlog.Entry{e})
	return e
}

// entry makes an entry of which the node is not told.
func (h *holder) entry(ops ...any) raftlog.Entry {
	h.t.Helper()
	h.end++
	r := resolver{names: map[key]struct{}{}}
	var encs [][]byte
	for i, op := range ops {
		touch := touchOf(op)
		if _, ok := r.add(h.s, &touch); !ok {
			h.t.Fatalf("%T: its names cannot be resolved", op)
		}
		enc, err := command.Append(nil, &command.Command{
			Header: command.Header{Volume: volumeID, Origin: origin(uint64(h.end)<<8 + uint64(i))}, Op: op,
		})
		if err != nil {
			h.t.Fatal(err)
		}
		command.Seal(enc, vfs.Time(h.end), uint64(h.end))
		encs = append(encs, enc)
	}
	return raftlog.Entry{Index: h.end, Term: 4, Data: appendEntry(nil, 4, r.keys, encs)}
}

func (h *holder) commit(es ...raftlog.Entry) {
	h.t.Helper()
	h.s.Commit(es)
	if err := h.s.Flush(); err != nil {
		h.t.Fatal(err)
	}
}

// begun runs a read and tells that it has not ended so far.
func (h *holder) begun(read func() error) <-chan error {
	h.t.Helper()
	done := make(chan error, 1)
	go func() { done <- read() }()
	select {
	case err := <-done:
		h.t.Errorf("the read does not wait: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	return done
}

func ended(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the read waits on")
	}
}

func (h *holder) wantSize(want uint64) error {
	res, err := h.s.GetAttr(context.Background(), h.f)
	if err == nil && (res.Kind != vfs.OK || res.Attr.Size != want) {
		h.t.Errorf("%v, size %d, want %d", res.Kind, res.Attr.Size, want)
	}
	return err
}

func write(ref vfs.Ref, size int) *vfs.OpWrite {
	return &vfs.OpWrite{Ref: ref, Data: make([]byte, size)}
}

// A read waits for the entries that touch what it reads, and for nothing else.
func TestReading_WaitsForWhatTouches(t *testing.T) {
	h := newHolder(t)
	mkdir := h.append(&vfs.OpMkdir{Dir: vfs.RootRef(), Name: "d"})
	if err := h.wantSize(0); err != nil { // the file is not touched
		t.Fatal(err)
	}
	h.commit(mkdir)
	w := h.append(write(h.f, 5))
	attr := h.begun(func() error { return h.wantSize(5) })
	data := h.begun(func() error {
		res, err := h.s.Read(context.Background(), vfs.Root, h.f, 0, make([]byte, 9))
		if res.N != 5 {
			t.Errorf("%d bytes", res.N)
		}
		return err
	})
	for name, read := range map[string]func() error{
		"the directory": func() error { _, err := h.s.GetAttr(t.Context(), vfs.RootRef()); return err },
		"its names":     func() error { _, err := h.s.ReadDir(t.Context(), vfs.Root, vfs.RootRef(), 0, false, 9); return err },
		"another name":  func() error { _, err := h.s.Lookup(t.Context(), vfs.Root, vfs.RootRef(), "d"); return err },
		"no such name":  func() error { _, err := h.s.Lookup(t.Context(), vfs.Root, vfs.RootRef(), "x"); return err },
		"the parent":    func() error { _, err := h.s.Lookup(t.Context(), vfs.Root, vfs.RootRef(), ".."); return err },
	} {
		done := make(chan error, 1)
		go func() { done <- read() }()
		ended(t, done)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	h.commit(w)
	ended(t, attr)
	ended(t, data)
}

// waitCount is a vfs.Waiter.
type waitCount struct{ n atomic.Int64 }

func (w *waitCount) WillWait() { w.n.Add(1) }

// Whoever has a read run beside other things is told before it waits, and only then.
func TestReading_TellsThatItWaits(t *testing.T) {
	h := newHolder(t)
	var told waitCount
	read := func() error {
		_, err := h.s.GetAttr(context.WithValue(t.Context(), vfs.WaiterKey, &told), h.f)
		return err
	}
	if err := read(); err != nil || told.n.Load() != 0 {
		t.Errorf("a read that does not wait: %v, told %d times", err, told.n.Load())
	}
	w := h.append(write(h.f, 5))
	done := h.begun(read)
	if told.n.Load() != 1 {
		t.Errorf("a read that waits: told %d times", told.n.Load())
	}
	h.commit(w)
	ended(t, done)
}

// Entries that came after the read began are no concern of it.
func TestReading_NotForLaterEntries(t *testing.T) {
	h := newHolder(t)
	first := h.append(write(h.f, 5))
	done := h.begun(func() error { return h.wantSize(5) })
	h.append(write(h.f, 7)) // is never committed
	h.commit(first)
	ended(t, done)
}

// What a name is changed to is waited for by name, and by the directory.
func TestReading_Names(t *testing.T) {
	h := newHolder(t)
	e := h.append(&vfs.OpRename{FromDir: vfs.RootRef(), FromName: "f", ToDir: vfs.RootRef(), ToName: "g"})
	lookup := func(name string, want vfs.Kind) func() error {
		return func() error {
			res, err := h.s.Lookup(context.Background(), vfs.Root, vfs.RootRef(), name)
			if err == nil && res.Kind != want {
				t.Errorf("%s: %v, want %v", name, res.Kind, want)
			}
			return err
		}
	}
	reads := []<-chan error{
		h.begun(lookup("f", vfs.NotExist)),
		h.begun(lookup("g", vfs.OK)),
		h.begun(func() error {
			res, err := h.s.ReadDir(context.Background(), vfs.Root, vfs.RootRef(), vfs.CookieDotDot, false, 9)
			if err == nil && (len(res.Entries) != 1 || res.Entries[0].Name != "g") {
				t.Errorf("%+v", res.Entries)
			}
			return err
		}),
	}
	h.commit(e)
	for _, done := range reads {
		ended(t, done)
	}
}

// Lemma 12. LOOKUP learns the inode only from its snapshot. A WRITE to it that was
// in the log before, and acknowledged, may be applied between the snapshot and the
// check: then the snapshot is too old all the same.
func TestReading_PausedBetweenNameAndChild(t *testing.T) {
	h := newHolder(t)
	e := h.append(write(h.f, 5))
	r := h.s.begin(t.Context(), false, inodeKey(vfs.RootIno), nameKey(vfs.RootIno, "f"))
	defer r.end()
	if !r.next() {
		t.Fatal(r.err)
	}
	old, err := h.s.state.Lookup(vfs.Root, vfs.RootRef(), "f")
	if err != nil || old.Attr.Size != 0 {
		t.Fatal(old, err)
	}
	h.commit(e) // while the reader stands still
	if r.sound(old.Kind, inodeKey(old.Attr.Ino)) {
		t.Fatal("a WRITE that was acknowledged before the read is not seen")
	}
	if !r.next() {
		t.Fatal(r.err)
	}
	now, err := h.s.state.Lookup(vfs.Root, vfs.RootRef(), "f")
	if err != nil || now.Attr.Size != 5 || !r.sound(now.Kind, inodeKey(now.Attr.Ino)) {
		t.Fatal(now, err)
	}
}

// The same for a node that stood still so long that the table has forgotten the
// entry.
func TestReading_PausedBeyondTheWindow(t *testing.T) {
	h := newHolder(t)
	e := h.append(write(h.f, 5))
	r := h.s.begin(t.Context(), false, inodeKey(vfs.RootIno))
	defer r.end()
	if !r.next() {
		t.Fatal(r.err)
	}
	h.commit(e)
	for range maxTouchedEntries + 1 {
		h.end++
		h.s.Appended([]raftlog.Entry{touching(h.end, 12345)})
	}
	if r.sound(vfs.OK, inodeKey(h.f.Ino)) {
		t.Error("what was forgotten counts as untouched")
	}
}

// LOOKUP and the inode that it finds, as a whole.
func TestReading_LookupWaitsForTheChild(t *testing.T) {
	h := newHolder(t)
	e := h.append(&vfs.OpSetAttr{Ref: h.f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o600}})
	done := h.begun(func() error {
		res, err := h.s.Lookup(context.Background(), vfs.Root, vfs.RootRef(), "f")
		if err == nil && res.Attr.Mode != 0o600 {
			t.Errorf("mode %o", res.Attr.Mode)
		}
		return err
	})
	h.commit(e)
	ended(t, done)
}

// An inode that an entry of the log makes is in no list of keys. Nobody may say that
// it is not there before that entry is applied.
func TestReading_StaleIsSaidByAllOfTheLog(t *testing.T) {
	h := newHolder(t)
	made := vfs.Ref{Ino: h.f.Ino + 1, Gen: uint32(h.end + 1)} // as the seed of append has it
	e := h.append(&vfs.OpMkdir{Dir: vfs.RootRef(), Name: "d", Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o755}})
	var reads []<-chan error
	for _, read := range []func(context.Context) (vfs.Kind, error){
		func(ctx context.Context) (vfs.Kind, error) { r, err := h.s.GetAttr(ctx, made); return r.Kind, err },
		func(ctx context.Context) (vfs.Kind, error) {
			r, err := h.s.Lookup(ctx, vfs.Root, made, "..")
			return r.Kind, err
		},
		func(ctx context.Context) (vfs.Kind, error) {
			r, err := h.s.ReadDir(ctx, vfs.Root, made, 0, false, 9)
			return r.Kind, err
		},
		func(ctx context.Context) (vfs.Kind, error) { r, err := h.s.StatFS(ctx, made); return r.Kind, err },
	} {
		reads = append(reads, h.begun(func() error {
			kind, err := read(context.Background())
			if err == nil && kind != vfs.OK {
				t.Error(kind)
			}
			return err
		}))
	}
	h.commit(e)
	for _, done := range reads {
		ended(t, done)
	}
	res, err := h.s.GetAttr(t.Context(), vfs.Ref{Ino: 99})
	if err != nil || res.Kind != vfs.Stale {
		t.Error(res.Kind, err)
	}
}

// Reads of the whole wait for the whole.
func TestReading_Whole(t *testing.T) {
	h := newHolder(t)
	e := h.append(write(h.f, 5))
	var reads []<-chan error
	for _, read := range []func() error{
		func() error {
			res, err := h.s.ReadDir(context.Background(), vfs.Root, vfs.RootRef(), vfs.CookieDotDot, true, 9)
			if err == nil && (len(res.Entries) != 1 || res.Entries[0].Attr.Size != 5) {
				t.Errorf("%+v", res.Entries)
			}
			return err
		},
		func() error { _, err := h.s.StatFS(context.Background(), vfs.RootRef()); return err },
		func() error { _, err := h.s.ReadExports(context.Background()); return err },
		func() error { _, err := h.s.Mounts(context.Background()); return err },
	} {
		reads = append(reads, h.begun(read))
	}
	h.commit(e)
	for _, done := range reads {
		ended(t, done)
	}
}

// So do the tables for a change of them, and files do not.
func TestReading_Tables(t *testing.T) {
	for _, op := range []any{
		&command.MountChange{Action: command.MountAdd, Mount: vfs.Mount{Host: "h", Path: "/"}},
		&command.SetExports{By: "a"},
		&command.SetMember{Member: vfs.Member{Name: "a"}},
		&command.DropMember{Name: "a"},
		&command.SetLimits{DuplicateBytes: 64 << 20},
	} {
		h := newHolder(t)
		e := h.append(op)
		mounts := h.begun(func() error { _, err := h.s.Mounts(context.Background()); return err })
		exports := h.begun(func() error { _, err := h.s.ReadExports(context.Background()); return err })
		if _, ok := op.(*command.MountChange); ok {
			if err := h.wantSize(0); err != nil {
				t.Error(err)
			}
		}
		h.commit(e)
		ended(t, mounts)
		ended(t, exports)
	}
}

// An entry that another leader deletes is no longer waited for.
func TestReading_Truncated(t *testing.T) {
	h := newHolder(t)
	h.append(write(h.f, 5))
	one := h.begun(func() error { return h.wantSize(0) })
	whole := h.begun(func() error { _, err := h.s.StatFS(context.Background(), vfs.RootRef()); return err })
	h.s.Truncated(h.end)
	ended(t, one)
	ended(t, whole)
}

// After a start nothing is known of the log's entries: all of them are waited for.
func TestReading_Recovered(t *testing.T) {
	h := newHolder(t)
	h.s.Recovered(h.end + 1)
	done := h.begun(func() error { return h.wantSize(5) })
	h.commit(h.entry(write(h.f, 5)))
	ended(t, done)
}

// Lemma 3: what comes into the log while the lease is looked at is waited for, since
// the lease vouches for it; and a lease of before the call is worth nothing.
func TestReading_LeaseBeforeTheLog(t *testing.T) {
	h := newHolder(t)
	appended := make(chan raftlog.Entry, 1)
	var once sync.Once
	h.log.onLease = func() { once.Do(func() { appended <- h.append(write(h.f, 5)) }) }
	done := h.begun(func() error { return h.wantSize(5) })
	h.commit(<-appended)
	ended(t, done)
}

// A lease that ends while a read waits is no matter; a change of the lead begins the
// read anew, and then it needs a lease again.
func TestReading_LeadChanges(t *testing.T) {
	h := newHolder(t)
	h.s.cfg.WaitLimit = 200 * time.Millisecond
	e := h.append(write(h.f, 5))
	done := h.begun(func() error { return h.wantSize(5) })
	h.log.grant(false)
	h.commit(e)
	ended(t, done)

	h.log.grant(true)
	h.append(write(h.f, 7))
	done = h.begun(func() error { return h.wantSize(7) })
	h.log.grant(false)
	h.log.set(raftlog.State{Term: 5})
	if err := <-done; !errors.Is(err, vfs.ErrNoQuorum) {
		t.Errorf("without a lease and a leader: %v", err)
	}
}

// Without a lease a follower does not read its own copy, and asks nobody but the
// leader.
func TestReading_NoLeaseNoAnswer(t *testing.T) {
	h := newHolder(t)
	h.s.cfg.WaitLimit = 50 * time.Millisecond
	if err := h.wantSize(0); err != nil { // a lease of before a call is worth nothing
		t.Fatal(err)
	}
	h.log.grant(false)
	if err := h.wantSize(0); !errors.Is(err, vfs.ErrNoQuorum) {
		t.Errorf("the leader cannot be reached: %v", err)
	}
	if err := h.s.Ready(t.Context()); !errors.Is(err, vfs.ErrNoQuorum) {
		t.Errorf("Ready: %v", err)
	}
	if _, err := h.s.Mounts(t.Context()); !errors.Is(err, vfs.ErrNoQuorum) {
		t.Errorf("Mounts: %v", err)
	}
}

// A read that is stopped ends.
func TestReading_Stopped(t *testing.T) {
	h := newHolder(t)
	h.append(write(h.f, 5))
	done := h.begun(func() error { return h.wantSize(5) })
	h.s.Stop()
	if err := <-done; !errors.Is(err, vfs.ErrShutdown) {
		t.Error(err)
	}
	if err := h.wantSize(0); !errors.Is(err, vfs.ErrShutdown) {
		t.Errorf("after Stop: %v", err)
	}
}

func BenchmarkReading(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), ReserveBytes: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	log := newFakeLog(raftlog.State{Term: 4, Leader: "b"})
	log.lease = true
	s.Commit([]raftlog.Entry{entryOf(b, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096, RootMode: 0o755})})
	s.Commit([]raftlog.Entry{entryOf(b, 2, 1, 1, origin(2), &vfs.OpCreate{Dir: vfs.RootRef(), Name: "f"})})
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	s.Start(log, rafttest.NewNetwork().Endpoint("a"))
	for _, busy := range []bool{false, true} {
		name := "idle"
		if busy {
			name = "busy"
			s.Appended([]raftlog.Entry{touching(3, 12345)}) // is never applied
		}
		b.Run("getattr/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.GetAttr(b.Context(), vfs.RootRef()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("lookup/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if res, err := s.Lookup(b.Context(), vfs.Root, vfs.RootRef(), "f"); err != nil || res.Kind != vfs.OK {
					b.Fatal(res.Kind, err)
				}
			}
		})
	}
}
