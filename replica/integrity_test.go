package replica_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"twofold/raftlog"
	"twofold/replica"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// soundPair is a pair that compares its digests often.
func soundPair(t *testing.T) *pair {
	t.Helper()
	return newPairTuned(t, func(c *replica.Config) {
		c.DigestEvery, c.CheckpointEvery = 30*time.Millisecond, time.Millisecond
	})
}

// inodeKey is the key of an inode's record, and blockKey that of a block
// (docs/formats.md).
func inodeKey(ino vfs.Ino) []byte { return tableKey(0x11, uint64(ino)) }

func blockKey(ino vfs.Ino, number uint64) []byte { return tableKey(0x14, uint64(ino), number) }

func tableKey(table byte, parts ...uint64) []byte {
	b := []byte{table, 0, 0, 0, 1}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, p)
	}
	return b
}

// plant changes a byte of a record in the state of a node that is stopped.
func (p *pair) plant(name string, key []byte, at int) {
	p.t.Helper()
	db, err := pebble.Open(filepath.Join(p.dir, name, "state"), &pebble.Options{
		DisableWAL: true, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quiet{},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	v, closer, err := db.Get(key)
	if err != nil {
		p.t.Fatalf("record %x: %v", key, err)
	}
	v = bytes.Clone(v)
	v[at] ^= 1
	err = errors.Join(closer.Close(), db.Set(key, v, pebble.NoSync), db.Flush(), db.Close())
	if err != nil {
		p.t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// until repeats a question until its answer is yes.
func (p *pair) until(what string, yes func() bool) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			for name, s := range p.stores {
				p.t.Logf("%s: %+v", name, s.Integrity())
			}
			p.t.Fatalf("never: %s", what)
		}
	}
}

// agree waits until both nodes know that they agree on all that was changed.
func (p *pair) agree() {
	p.t.Helper()
	index := max(p.stores["a"].Applied(), p.stores["b"].Applied())
	p.until("the nodes agree", func() bool {
		return p.stores["a"].Integrity().Agreed >= uint64(index) && p.stores["b"].Integrity().Agreed >= uint64(index)
	})
}

func (p *pair) quarantinedFor(name string, cause state.Cause) {
	p.t.Helper()
	p.until(fmt.Sprintf("%s is in quarantine: %s", name, cause), func() bool {
		q, on := p.stores[name].Quarantined()
		return on && q.Cause == cause
	})
}

// serves checks that a node answers reads and takes changes, by whichever way.
func (p *pair) serves(name string, file vfs.Ref, want string) {
	p.t.Helper()
	p.await(name, func(ctx context.Context, s *replica.Store) error {
		buf := make([]byte, len(want))
		res, err := s.Read(ctx, vfs.Root, file, 0, buf)
		if err != nil {
			return err
		}
		if res.Kind != vfs.OK || string(buf[:res.N]) != want {
			p.t.Fatalf("%s reads %v, %q", name, res.Kind, buf[:res.N])
		}
		_, err = s.Mutate(ctx, &vfs.Call{}, &vfs.OpWrite{Ref: file, Data: []byte(want)})
		return err
	})
}

// Both nodes find that they agree, and a volume at rest costs no log entries.
func TestDigests_Agree(t *testing.T) {
	p := soundPair(t)
	f := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["b"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
	p.agree()
	before := p.stores["a"].Applied()
	p.until("nothing is added", func() bool {
		at := p.stores["a"].Applied()
		time.Sleep(200 * time.Millisecond)
		return at == p.stores["a"].Applied()
	})
	if n := p.stores["a"].Applied() - before; n > 4 {
		t.Errorf("%d entries were added at rest", n)
	}
	for _, s := range p.stores {
		if r := s.Integrity(); r.Mismatches != 0 || r.Quarantine != nil {
			t.Errorf("%+v", r)
		}
	}
}

// A record that is not what was written shows in the running digest as soon as it is
// changed; the scan decides, the other copy goes on, and the damaged node serves
// through it, also after a restart.
func TestDigests_DamagedCopy(t *testing.T) {
	for _, damaged := range []string{"follower", "leader"} {
		t.Run(damaged, func(t *testing.T) {
			p := soundPair(t)
			f := create(t, p.stores["a"], "f")
			mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
			p.agree()
			name := "b"
			p.stop(name)
			p.plant(name, inodeKey(f.Ino), 2+15) // the group
			p.start(name)
			p.await(name, func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
			p.lead(map[string]string{"follower": other(name), "leader": name}[damaged])
			mustMutate(t, p.stores["a"], &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o600}})
			p.quarantinedFor(name, state.CauseScan)
			p.until("the other node leads", func() bool { return p.leader() == other(name) })
			p.serves(name, f, "data")
			if q, on := p.stores[other(name)].Quarantined(); on {
				t.Errorf("the sound copy: %+v", q)
			}
			p.stop(name)
			p.start(name)
			p.quarantinedFor(name, state.CauseScan)
			p.serves(name, f, "data")
			p.serves(other(name), f, "data")
		})
	}
}

// lead gives a node the lead.
func (p *pair) lead(name string) {
	p.t.Helper()
	p.until(name+" leads", func() bool {
		if p.leader() == name {
			return true
		}
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
		defer cancel()
		return p.nodes[p.leader()].TransferLeadership(ctx, name) == nil && p.leader() == name
	})
}

// A read that meets a damaged block is answered with what was written, by the other
// node, and the copy is out of use: never with other bytes.
func TestRead_DamagedBlock(t *testing.T) {
	p := soundPair(t)
	f := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("precious data")})
	p.agree()
	p.stop("a")
	p.plant("a", blockKey(f.Ino, 0), 16+3)
	p.start("a")
	p.await("a", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	p.lead("a")
	p.serves("a", f, "precious data")
	p.quarantinedFor("a", state.CauseUnreadable)
	p.serves("b", f, "precious data")
	p.until("another copy is asked for", func() bool { return p.refetched.Load() > 0 })
}

// With both copies damaged nobody is told wrong bytes, and nothing is said of the
// file.
func TestRead_BothDamaged(t *testing.T) {
	p := newPairTuned(t, func(c *replica.Config) { c.WaitLimit = time.Second })
	f := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("precious data")})
	p.until("both have it", func() bool { return p.stores["a"].Applied() == p.stores["b"].Applied() })
	for _, name := range []string{"a", "b"} {
		p.stop(name)
		p.plant(name, blockKey(f.Ino, 0), 16+3)
		p.start(name)
		p.await(name, func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	}
	for _, name := range []string{"a", "b"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		res, err := p.stores[name].Read(ctx, vfs.Root, f, 0, make([]byte, 20))
		cancel()
		if err == nil || errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s answers %v, %v", name, res.Kind, err)
		}
	}
}

// A scan finds damage that nobody has met.
func TestScrub(t *testing.T) {
	p := soundPair(t)
	f := create(t, p.stores["a"], "f")
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("data")})
	p.agree()
	scrub := func(name string) replica.ScrubStatus {
		if err := p.stores[name].Scrub(); err != nil {
			t.Fatal(err)
		}
		p.until("the scan ends", func() bool {
			r := p.stores[name].Integrity().Scrub
			return !r.Running && !r.Ended.IsZero()
		})
		return p.stores[name].Integrity().Scrub
	}
	if r := scrub("b"); r.Damaged != 0 || r.Records == 0 || r.Bytes == 0 || r.Index == 0 || r.Err != "" {
		t.Errorf("%+v", r)
	}
	p.stop("b")
	p.plant("b", blockKey(f.Ino, 0), 16)
	p.start("b")
	p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	if r := scrub("b"); r.Damaged != 1 {
		t.Errorf("%+v", r)
	}
	p.quarantinedFor("b", state.CauseScan)
	p.serves("b", f, "data")
}

// diverge makes a state that is sound in itself and another one than the log leads to.
func (p *pair) diverge(st *state.State, entries []raftlog.Entry) {
	p.t.Helper()
	for _, e := range entries {
		err := replica.ApplyAltered(st, e, func(c *command.Command) {
			if w, ok := c.Op.(*vfs.OpWrite); ok {
				w.Data = bytes.ReplaceAll(w.Data, []byte("good"), []byte("evil"))
			}
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// divergent is a pair of which b's copy is another one than a's, though each is what
// its own apply wrote. A difference shows at the next change.
func divergent(t *testing.T, keepCopies bool) (*pair, vfs.Ref) {
	p := soundPair(t)
	f := create(t, p.stores["a"], "f")
	p.agree()
	p.until("there are copies that both agreed on", func() bool {
		mustMutate(t, p.stores["a"], &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o600}})
		p.agree()
		_, errA := os.Stat(filepath.Join(p.dir, "a", "state"+replica.AgreedSuffix))
		_, errB := os.Stat(filepath.Join(p.dir, "b", "state"+replica.AgreedSuffix))
		return errA == nil && errB == nil
	})
	p.calm = true // no copy is taken from now on
	for _, name := range []string{"a", "b"} {
		p.stop(name)
		p.start(name)
		p.await(name, func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	}
	mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: []byte("good")})
	p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	p.until("b has applied what a has", func() bool { return p.stores["b"].Applied() >= p.stores["a"].Applied() })
	last := p.stores["b"].Applied()
	var entries []raftlog.Entry
	err := p.nodes["b"].Entries(1, last, func(e raftlog.Entry) error {
		e.Data = bytes.Clone(e.Data)
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.stop("b")
	dir := filepath.Join(p.dir, "b", "state")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	st, err := state.Open(dir, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.diverge(st, entries)
	if !keepCopies {
		for _, name := range []string{"a", "b"} {
			if err := os.RemoveAll(filepath.Join(p.dir, name, "state"+replica.AgreedSuffix)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.start("b")
	p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
	p.lead("a")
	mustMutate(t, p.stores["a"], &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o640}})
	return p, f
}

// Two copies that are each what was written: the log, applied once more to what both
// had agreed on, shows which one is wrong.
func TestDigests_ReplayDecides(t *testing.T) {
	p, f := divergent(t, true)
	p.quarantinedFor("b", state.CauseReplay)
	p.serves("b", f, "good")
	p.serves("a", f, "good")
}

// Without such a copy nothing decides: the follower stops serving from its own, and
// nobody's is replaced.
func TestDigests_Undecided(t *testing.T) {
	p, f := divergent(t, false)
	p.quarantinedFor("b", state.CauseUndecided)
	p.serves("a", f, "good")
	q, on := p.stores["a"].Quarantined()
	if on {
		t.Errorf("a: %+v", q)
	}
	if q, _ := p.stores["b"].Quarantined(); !strings.Contains(q.Detail, "differ") {
		t.Errorf("b: %+v", q)
	}
	if n := p.refetched.Load(); n != 0 {
		t.Errorf("another copy was asked for %d times", n)
	}
}
