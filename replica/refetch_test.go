package replica_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/replica"
	"twofold/replica/catchup"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// mendingPair is a pair whose damaged copies are replaced, and that compares its
// digests often. Steps, if there are any, are told of each step of a node.
func mendingPair(t *testing.T, steps *atomic.Pointer[func(name, step string)]) *pair {
	t.Helper()
	return newPairAs(t, nil, func(name string, log *raftlog.Config, c *replica.Config) {
		c.Refetch, c.DigestEvery = nil, 30*time.Millisecond
		at := func(step string) {
			if steps == nil {
				return
			}
			if f := steps.Load(); f != nil {
				(*f)(name, step)
			}
		}
		log.Failpoint, c.Failpoint = at, at
	})
}

// mended waits until a node's copy has been replaced and is read again under a lease.
func (p *pair) mended(name string) {
	p.t.Helper()
	p.until(name+" has another copy", func() bool {
		_, on := p.stores[name].Quarantined()
		return !on
	})
	p.until(name+" has a lease", func() bool {
		_, ok := p.nodes[name].Lease()
		st, _ := p.nodes[name].Watch()
		return ok || st.IsLeader
	})
}

// sound checks that both nodes agree and that a file reads right at both.
func (p *pair) sound(f vfs.Ref, want string) {
	p.t.Helper()
	for _, name := range []string{"a", "b"} {
		p.serves(name, f, want)
	}
	p.sameDigest()
}

// busy changes files at both nodes until it is stopped, and then checks that each
// has what was acknowledged last.
func (p *pair) busy(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	type last struct {
		ref  vfs.Ref
		data []byte
	}
	lasts := make([]last, 4)
	for i := range lasts {
		lasts[i].ref = create(t, p.stores["a"], fmt.Sprint("busy", i))
		s := p.stores[[]string{"a", "b"}[i%2]]
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				data := contents(i, n)
				// A call whose outcome is not known comes again, as from a client.
				call := vfs.Call{ID: vfs.CallID{Client: [16]byte{byte(i + 1)}, XID: uint32(n), Sum: 1}}
				for {
					res, err := s.Mutate(context.Background(), &call, &vfs.OpWrite{Ref: lasts[i].ref, Data: data})
					if err == nil && res.Kind == vfs.OK {
						break
					}
					if err == nil {
						t.Errorf("write: %v", res.Kind)
						return
					}
				}
				lasts[i].data = data
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		for _, name := range []string{"a", "b"} {
			for _, l := range lasts {
				buf := make([]byte, len(l.data))
				p.await(name, func(ctx context.Context, s *replica.Store) error {
					_, err := s.Read(ctx, vfs.Root, l.ref, 0, buf)
					return err
				})
				if !bytes.Equal(buf, l.data) {
					t.Errorf("%s reads %.30q, acknowledged was %.30q", name, buf, l.data)
				}
			}
		}
	}
}

// flip changes a byte of the tables of a stopped node where they have some text.
func (p *pair) flip(name, text string) {
	p.t.Helper()
	tables, err := filepath.Glob(filepath.Join(p.dir, name, "state", "*.sst"))
	if err != nil {
		p.t.Fatal(err)
	}
	found := 0
	for _, path := range tables {
		b, err := os.ReadFile(path)
		if err != nil {
			p.t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			found++
			b[at] ^= 0x40
			if err := os.WriteFile(path, b, 0o600); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	if found == 0 {
		p.t.Fatalf("%q is in none of %v", text, tables)
	}
}

// A damaged copy is found by each of the ways there are, replaced by the other node's
// while clients go on, and in use again.
func TestRefetch_Found(t *testing.T) {
	const text = "precious data, 64 bytes of it that no compression makes shorter: "
	for damaged, ways := range map[string][]string{"a": {"digest"}, "b": {"read", "scrub", "digest", "table"}} {
		for _, by := range ways {
			t.Run(by+"/"+damaged, func(t *testing.T) {
				t.Parallel()
				p := mendingPair(t, nil)
				f := create(t, p.stores["a"], "f")
				mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte(text)})
				p.agree()
				p.stop(damaged)
				switch by {
				case "digest":
					p.plant(damaged, inodeKey(f.Ino), 2+15)
				case "table":
					p.flip(damaged, "precious")
				default:
					p.plant(damaged, blockKey(f.Ino, 0), 16+3)
				}
				p.start(damaged)
				p.await(damaged, func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
				p.lead(map[string]string{"read": damaged}[by] + map[string]string{"scrub": other(damaged), "digest": damaged, "table": other(damaged)}[by])
				stop := p.busy(t)
				s := p.stores[damaged]
				switch by {
				case "digest":
					mustMutate(t, s, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o600}})
				case "read":
					p.serves(damaged, f, text)
				default:
					if err := s.Scrub(); err != nil {
						t.Fatal(err)
					}
				}
				p.until("the copy was replaced", func() bool { return s.Integrity().Refetched == 1 })
				p.mended(damaged)
				stop()
				p.sound(f, text)
				if q, on := p.stores[other(damaged)].Quarantined(); on {
					t.Errorf("the sound copy: %+v", q)
				}
				mustMutate(t, s, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o640}})
				p.agree()
				if r := s.Integrity(); r.Refetch != "" {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// Where nothing else differs, what the damaged copy says of itself would have it
// taken for the other one's.
func TestRefetch_Idle(t *testing.T) {
	p := mendingPair(t, nil)
	f := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
	p.agree()
	p.stop("b")
	p.plant("b", blockKey(f.Ino, 0), 16+3)
	p.start("b")
	p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	if err := p.stores["b"].Scrub(); err != nil {
		t.Fatal(err)
	}
	p.until("the copy was replaced", func() bool { return p.stores["b"].Integrity().Refetched == 1 })
	if _, _, err := p.stores["b"].Digest(); err != nil {
		t.Error(err)
	}
	p.mended("b")
	p.sound(f, "data")
}

// ruins are ways in which a state cannot be opened.
var ruins = map[string]func(t *testing.T, dir string){
	"manifest lost": func(t *testing.T, dir string) { removeAll(t, dir, "MANIFEST-*") },
	"marker lost":   func(t *testing.T, dir string) { removeAll(t, dir, "marker.manifest*") },
	"tables lost":   func(t *testing.T, dir string) { removeAll(t, dir, "*.sst") },
	"tables cut":    func(t *testing.T, dir string) { alter(t, dir, "*.sst", func(b []byte) []byte { return b[:len(b)/2] }) },
	"tables zeroed": func(t *testing.T, dir string) {
		alter(t, dir, "*.sst", func(b []byte) []byte { return make([]byte, len(b)) })
	},
	"manifest zeroed": func(t *testing.T, dir string) {
		alter(t, dir, "MANIFEST-*", func(b []byte) []byte { return make([]byte, len(b)) })
	},
}

func removeAll(t *testing.T, dir, pattern string) {
	t.Helper()
	for _, path := range found(t, dir, pattern) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func alter(t *testing.T, dir, pattern string, f func([]byte) []byte) {
	t.Helper()
	for _, path := range found(t, dir, pattern) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func found(t *testing.T, dir, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(all) == 0 {
		t.Fatalf("%s in %s: %v, %v", pattern, dir, all, err)
	}
	return all
}

// A copy that cannot be opened is set aside, and the node has another one after a
// while, with a log that begins at the first entry or not.
func TestRefetch_Unopened(t *testing.T) {
	for how, ruin := range ruins {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			p := mendingPair(t, nil)
			f := create(t, p.stores["a"], "f")
			mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
			p.stop("b")
			dir := filepath.Join(p.dir, "b", "state")
			ruin(t, dir)
			before := listing(t, dir)
			p.start("b")
			if kept := listing(t, dir+".damaged"); kept != before {
				t.Errorf("kept is %s, there was %s", kept, before)
			}
			p.serves("b", f, "data") // by forwarding
			stop := p.busy(t)
			p.until("the copy was replaced", func() bool { return p.stores["b"].Integrity().Refetched == 1 })
			p.mended("b")
			stop()
			p.sound(f, "data")
			p.stop("b") // the new copy and the old log are one node's
			p.start("b")
			p.mended("b")
			p.sound(f, "data")
		})
	}
}

// listing names the tables of a store; what else there is Pebble replaces as it opens.
func listing(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range all {
		if strings.HasSuffix(e.Name(), ".sst") {
			fmt.Fprintf(&b, "%s ", e.Name())
		}
	}
	return b.String()
}

// A node without a state, whose log does not begin at the first entry, is a
// witness until it has one.
func TestRefetch_UnopenedShortLog(t *testing.T) {
	p := newPairAs(t, nil, func(name string, log *raftlog.Config, c *replica.Config) {
		shortLogs(nil)(name, log, c)
		c.Refetch = nil
	})
	refs := files(t, p.stores["a"], 64)
	round := 0
	for ; p.nodes["b"].Status().First <= 1; round++ {
		rewrite(t, p.stores["a"], refs, round)
		if err := p.nodes["b"].WriteMarker(); err != nil {
			t.Fatal(err)
		}
	}
	p.stop("b")
	removeAll(t, filepath.Join(p.dir, "b", "state"), "MANIFEST-*")
	p.start("b")
	p.mended("b")
	p.back(refs, round-1)
}

// A store that forgot its latest tables is older than what its log goes on from.
func TestRefetch_Lost(t *testing.T) {
	p := newPairAs(t, nil, func(name string, log *raftlog.Config, c *replica.Config) {
		shortLogs(nil)(name, log, c)
		c.Refetch = nil
	})
	refs := files(t, p.stores["a"], 64)
	p.stop("b")
	dir, old := filepath.Join(p.dir, "b", "state"), filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	p.start("b")
	p.synced()
	round := 0
	for first := p.nodes["b"].Status().Last; p.nodes["b"].Status().First <= first+1; round++ {
		rewrite(t, p.stores["a"], refs, round)
		if err := p.nodes["b"].WriteMarker(); err != nil {
			t.Fatal(err)
		}
	}
	p.stop("b")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, dir); err != nil {
		t.Fatal(err)
	}
	p.start("b")
	if _, on := p.stores["b"].Quarantined(); !on {
		t.Error("the old copy is in use")
	}
	p.mended("b")
	p.back(refs, round-1)
}

// A damaged copy whose node's log leads on no more is replaced together with the log.
func TestRefetch_BeyondTheLog(t *testing.T) {
	p := newPairAs(t, nil, func(name string, log *raftlog.Config, c *replica.Config) {
		shortLogs(nil)(name, log, c)
		c.Refetch = nil
	})
	refs := files(t, p.stores["a"], 256)
	round := p.leave(refs, 1)
	p.plant("b", inodeKey(refs[3].Ino), 2+15)
	why := state.Quarantine{Cause: state.CauseScan, Detail: "test"}
	if err := state.WriteQuarantine(filepath.Join(p.dir, "b", "state"), state.Options{}, why); err != nil {
		t.Fatal(err)
	}
	p.start("b")
	p.mended("b")
	p.back(refs, round-1)
}

// The node is killed before each step on its way to another copy; what was on disk at
// that moment is started again.
func TestRefetch_KilledAtEachStep(t *testing.T) {
	for _, step := range []string{
		replica.StepAsk, catchup.StepStage, catchup.StepCompare, catchup.StepChange, catchup.StepFinish, catchup.StepReady,
		replica.StepReplace, replica.StepReplay, replica.StepLift,
	} {
		t.Run(step, func(t *testing.T) { killedWhileMending(t, "b", step, false) })
	}
	for _, step := range []string{catchup.StepChange, replica.StepReplace, replica.StepReplay} {
		t.Run("unopened/"+step, func(t *testing.T) { killedWhileMending(t, "b", step, true) })
	}
	t.Run("source", func(t *testing.T) { killedWhileMending(t, "a", catchup.StepChange, false) })
}

func killedWhileMending(t *testing.T, victim, step string, unopened bool) {
	t.Parallel()
	var at atomic.Pointer[func(name, step string)]
	p := mendingPair(t, &at)
	refs := files(t, p.stores["a"], 32)
	rewrite(t, p.stores["a"], refs, 1)
	p.agree()
	p.stop("b")
	if unopened {
		removeAll(t, filepath.Join(p.dir, "b", "state"), "MANIFEST-*")
	} else {
		p.plant("b", blockKey(refs[3].Ino, 0), 16+3)
	}
	frozen := filepath.Join(t.TempDir(), victim)
	var once sync.Once
	reached := make(chan struct{})
	f := func(name, s string) {
		if s == replica.StepReplace && name == "b" {
			// So that there is something to apply to the new copy.
			_, err := p.stores["a"].Mutate(t.Context(), &vfs.Call{}, &vfs.OpWrite{Ref: refs[4], Data: contents(4, 1)})
			if err != nil && victim == "b" {
				t.Error(err)
			}
			p.until("b was given it", func() bool { return p.stores["b"].Delivered() >= p.stores["a"].Applied() })
		}
		if s == step && name == "b" {
			once.Do(func() {
				if err := copyDir(frozen, filepath.Join(p.dir, victim)); err != nil {
					t.Error(err)
				}
				close(reached)
			})
		}
	}
	at.Store(&f)
	p.start("b")
	if !unopened {
		p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
		if err := p.stores["b"].Scrub(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-reached:
	case <-time.After(30 * time.Second):
		t.Fatalf("the step was not reached: %+v", p.stores["b"].Integrity())
	}
	at.Store(nil)
	p.stop(victim)
	dir := filepath.Join(p.dir, victim)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(frozen, dir); err != nil {
		t.Fatal(err)
	}
	p.start(victim)
	p.mended("b")
	p.back(refs, 1)
}

// With both copies damaged neither replaces the other, and what could not be opened
// is kept, however often the node starts.
func TestRefetch_BothDamaged(t *testing.T) {
	p := mendingPair(t, nil)
	f := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
	p.agree()
	p.stop("b")
	dir := filepath.Join(p.dir, "b", "state")
	removeAll(t, dir, "MANIFEST-*")
	before := listing(t, dir)
	p.stop("a")
	p.plant("a", blockKey(f.Ino, 0), 16+3)
	if err := state.WriteQuarantine(filepath.Join(p.dir, "a", "state"), state.Options{}, state.Quarantine{Cause: state.CauseScan, Detail: "test"}); err != nil {
		t.Fatal(err)
	}
	p.start("a")
	p.start("b")
	waiting := func() bool {
		return strings.Contains(p.stores["b"].Integrity().Refetch, "its own copy is out of use") ||
			strings.Contains(p.stores["a"].Integrity().Refetch, "its own copy is out of use")
	}
	p.until("a node says why it waits", waiting)
	p.quarantinedFor("a", state.CauseScan)
	p.quarantinedFor("b", state.CauseUnopened)
	p.stop("b")
	removeAll(t, dir, "MANIFEST-*") // the empty one in its place is damaged as well
	p.start("b")
	p.quarantinedFor("b", state.CauseUnopened)
	p.until("a node says why it waits", waiting)
	if kept := listing(t, dir+".damaged"); kept != before {
		t.Errorf("kept is %s, there was %s", kept, before)
	}
	if n := p.stores["a"].Integrity().Refetched + p.stores["b"].Integrity().Refetched; n != 0 {
		t.Errorf("%d copies were replaced", n)
	}
}

// A source that finds its own copy damaged while it sends, in a block or in what has
// no checksum of its own, gives it to nobody.
func TestRefetch_DamagedSource(t *testing.T) {
	for _, what := range []string{"block", "inode"} {
		t.Run(what, func(t *testing.T) {
			p := mendingPair(t, nil)
			f := create(t, p.stores["a"], "f")
			mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
			p.agree()
			for _, name := range []string{"a", "b"} {
				p.stop(name)
				if name == "a" && what == "inode" {
					p.plant(name, inodeKey(f.Ino), 2+15)
				} else {
					p.plant(name, blockKey(f.Ino, 0), 16+3)
				}
				p.start(name)
				p.await(name, func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
			}
			p.lead("a")
			if err := p.stores["b"].Scrub(); err != nil {
				t.Fatal(err)
			}
			p.quarantinedFor("b", state.CauseScan)
			p.quarantinedFor("a", state.CauseUnreadable)
			if n := p.stores["b"].Integrity().Refetched; n != 0 {
				t.Errorf("%d copies were replaced", n)
			}
		})
	}
}
