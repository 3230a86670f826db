package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

// leading is a data node that leads over a log of its own: what it proposes is
// committed at once, or when the test says so.
type leading struct {
	t   *testing.T
	s   *Store
	log *fakeLog

	mu      sync.Mutex
	end     raftlog.Index
	entries []raftlog.Entry
	hold    bool // nothing is committed
	kept    []raftlog.Entry
}

func newLeading(t *testing.T) *leading {
	t.Helper()
	l := &leading{t: t, log: newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true}), end: 1}
	l.log.lease = true
	l.log.propose = l.propose
	l.s = openVolume(t)
	l.s.cfg.WaitLimit = 20 * time.Second
	return l
}

func (l *leading) start() { l.s.Start(l.log, rafttest.NewNetwork().Endpoint("a")) }

func (l *leading) propose(data []byte) *raftlog.Proposal {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end++
	e := raftlog.Entry{Index: l.end, Term: 4, Data: slices.Clone(data)}
	l.s.Appended([]raftlog.Entry{e})
	l.entries = append(l.entries, e)
	if l.hold {
		l.kept = append(l.kept, e)
	} else {
		l.s.Commit([]raftlog.Entry{e})
	}
	return raftlog.Decided(e.Index, nil)
}

// release commits what was kept.
func (l *leading) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = false
	l.s.Commit(l.kept)
	l.kept = nil
}

func (l *leading) proposed() []raftlog.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

func (l *leading) must(op vfs.Op) vfs.Result {
	l.t.Helper()
	res, err := l.s.Mutate(l.t.Context(), &vfs.Call{}, op)
	if err != nil || res.Kind != vfs.OK {
		l.t.Fatalf("%T: %v, %v", op, res.Kind, err)
	}
	return res
}

func pendingOf(t *testing.T, seq uint64, op any) pending {
	t.Helper()
	enc, err := command.Append(nil, &command.Command{Header: command.Header{Volume: volumeID, Origin: origin(seq)}, Op: op})
	if err != nil {
		t.Fatal(err)
	}
	return pending{origin: origin(seq), term: 4, touch: touchOf(op), enc: enc}
}

// A name that an earlier change of the batch touches is resolved once that change is
// applied: the batch ends before it, and the order stays.
func TestResolve_ConflictsEndTheBatch(t *testing.T) {
	l := newLeading(t)
	root := vfs.RootRef()
	ops := []any{
		&vfs.OpCreate{Dir: root, Name: "x", Mode: vfs.CreateGuarded},
		&vfs.OpCreate{Dir: root, Name: "y", Mode: vfs.CreateGuarded},
		&vfs.OpRemove{Dir: root, Name: "x"},
		&vfs.OpMkdir{Dir: root, Name: "x"},
		&vfs.OpRename{FromDir: root, FromName: "y", ToDir: root, ToName: "z"},
		&vfs.OpRename{FromDir: root, FromName: "z", ToDir: root, ToName: "w"},
		&vfs.OpLink{Ref: vfs.Ref{Ino: 3}, Dir: root, Name: "w"}, // resolves nothing
	}
	var f fates
	for i, op := range ops {
		p := pendingOf(t, uint64(i+1), op)
		l.s.waiters.add(p.origin, p.term, f.of(uint64(i+1)))
		l.s.held = append(l.s.held, p)
	}
	l.start()
	if _, err := l.s.GetAttr(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	l.must(&vfs.OpMkdir{Dir: root, Name: "last"})
	var got [][]string
	for _, e := range l.proposed() {
		_, cmds, err := decodeEntry(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, c := range cmds {
			if c.Origin.Instance == 99 {
				types = append(types, c.Type.String())
			}
		}
		if types != nil {
			got = append(got, types)
		}
	}
	if want := "[[create create] [remove] [mkdir rename] [rename link]]"; fmt.Sprint(got) != want {
		t.Errorf("entries %v, want %s", got, want)
	}
	for i := range ops {
		f.want(t, uint64(i+1), fateApplied)
	}
	x, err := l.s.Lookup(t.Context(), vfs.Root, root, "x")
	if err != nil || x.Attr.Type != vfs.TypeDir {
		t.Errorf("x: %+v, %v", x, err)
	}
}

// withCommands counts the entries that carry commands.
func withCommands(es []raftlog.Entry) (n int) {
	for _, e := range es {
		if _, cmds, _ := decodeEntry(e.Data); len(cmds) > 0 {
			n++
		}
	}
	return n
}

// A name that an entry of the log touches, perhaps a former leader's, is resolved
// once that entry is applied, or gone.
func TestResolve_WaitsForTheLog(t *testing.T) {
	for _, way := range []string{"applied", "truncated"} {
		t.Run(way, func(t *testing.T) {
			l := newLeading(t)
			root := vfs.RootRef()
			l.s.lingering.limit = -1
			l.start()
			// The term begins with an entry that touches everything.
			waitFor(t, func() bool { return withCommands(l.proposed()) > 0 })
			file := l.must(&vfs.OpCreate{Dir: root, Name: "f", Mode: vfs.CreateGuarded}).Attr.Ref
			l.mu.Lock()
			l.hold = true
			l.mu.Unlock()
			// Its keys name the file: a RENAME that is in the log and not applied.
			go func() {
				_, _ = l.s.Mutate(context.Background(), &vfs.Call{}, &vfs.OpRename{FromDir: root, FromName: "f", ToDir: root, ToName: "g"})
			}()
			waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.kept) > 0 })
			before := withCommands(l.proposed())
			removed := make(chan error, 1)
			go func() {
				res, err := l.s.Mutate(context.Background(), &vfs.Call{}, &vfs.OpRemove{Dir: root, Name: "g"})
				if err == nil && way == "applied" && res.Kind != vfs.OK {
					err = errors.New(res.Kind.String())
				}
				removed <- err
			}()
			time.Sleep(20 * time.Millisecond)
			if withCommands(l.proposed()) > before {
				t.Fatal("a name is resolved that an entry of the log touches")
			}
			if way == "applied" {
				l.release()
			} else {
				l.mu.Lock()
				from := l.kept[0].Index
				l.s.Truncated(from)
				l.end, l.kept, l.hold = from-1, nil, false
				l.mu.Unlock()
			}
			if err := <-removed; err != nil {
				t.Fatal(err)
			}
			es := slices.DeleteFunc(l.proposed(), func(e raftlog.Entry) bool { return withCommands([]raftlog.Entry{e}) == 0 })
			keys := entryTouches(es[len(es)-1].Data)
			if has := slices.Contains(keys.keys, inodeKey(file.Ino)); has != (way == "applied") {
				t.Errorf("REMOVE of g touches the file: %v", has)
			}
		})
	}
}

// A log that was read at start may end with an entry that is never delivered. The
// proposer gets past it by an entry of its own.
func TestResolve_BehindAnEntryThatIsNeverDelivered(t *testing.T) {
	l := newLeading(t)
	l.s.Recovered(2) // an entry of Raft's own
	l.end = 2
	l.s.held = append(l.s.held, pendingOf(t, 1, &vfs.OpMkdir{Dir: vfs.RootRef(), Name: "d"}))
	var f fates
	l.s.waiters.add(origin(1), 4, f.of(1))
	l.start()
	waitFor(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.m[1]) > 0 })
	f.want(t, 1, fateApplied)
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// What was held back and what overflows an entry keep their order, and no entry is
// over its limits.
func TestGather_HeldBack(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer s.Close()
	seq := uint64(0)
	put := func(n, size int) {
		for range n {
			seq++
			p := pending{origin: origin(seq), enc: make([]byte, size)}
			s.reserve(p.enc)
			s.queue <- p
		}
	}
	next := uint64(1)
	take := func(n int) []pending {
		batch := s.gather(nil)
		size := 0
		for i, p := range batch {
			if p.origin.Seq != next+uint64(i) {
				t.Fatalf("change %d comes where %d is due", p.origin.Seq, next+uint64(i))
			}
			size += len(p.enc)
		}
		if len(batch) != n || len(batch) > 1 && size > maxEntryBytes {
			t.Fatalf("%d changes of %d bytes, want %d", len(batch), size, n)
		}
		return batch
	}
	done := func(n int) { next += uint64(n) }
	put(300, 1)
	batch := take(command.MaxBatchOps)
	s.hold(batch, 10) // all but ten clash
	done(10)
	batch = take(command.MaxBatchOps)
	s.hold(batch, 0)
	take(command.MaxBatchOps)
	done(command.MaxBatchOps)
	take(300 - 10 - command.MaxBatchOps)
	done(300 - 10 - command.MaxBatchOps)
	put(3, maxEntryBytes/2)
	batch = take(2) // the third does not fit
	s.hold(batch, 1)
	done(1)
	take(2)
	done(2)
	put(1, maxEntryBytes+5)
	take(1)
	if n := s.queued.Load(); n != 0 {
		t.Errorf("%d bytes are reserved for an empty queue", n)
	}
}

// shape is all that a read can see of a volume, by key.
func shape(t *testing.T, s *Store, refs map[vfs.Ino]vfs.Ref) map[key]string {
	t.Helper()
	seen := map[key]string{}
	var buf [1 << 14]byte
	for ino, ref := range refs {
		attr, err := s.state.GetAttr(ref)
		if err != nil {
			t.Fatal(err)
		}
		v := fmt.Sprintf("%+v", attr)
		link, err := s.state.Readlink(vfs.Root, ref)
		if err != nil {
			t.Fatal(err)
		}
		data := buf[:]
		read, err := s.state.Read(vfs.Root, ref, 0, data)
		if err != nil {
			t.Fatal(err)
		}
		v += fmt.Sprintf(" %s %x", link.Target, xxhash.Sum64(data[:read.N]))
		if attr.Kind == vfs.OK && attr.Attr.Type == vfs.TypeDir {
			up, err := s.state.Lookup(vfs.Root, ref, "..")
			if err != nil {
				t.Fatal(err)
			}
			list, err := s.state.ReadDir(vfs.Root, ref, 0, false, 4096)
			if err != nil {
				t.Fatal(err)
			}
			v += fmt.Sprintf(" %d %+v", up.Attr.Ino, list)
			for _, e := range list.Entries {
				if e.Cookie >= vfs.CookieFirst {
					seen[nameKey(ino, e.Name)] = fmt.Sprint(e.Ino)
				}
			}
		}
		seen[inodeKey(ino)] = v
	}
	return seen
}

// Lemma 11: an entry names a superset of what its apply changes. The order of
// changes is random, many of them meet in one entry, and the node is behind with
// apply now and then.
func TestTouches_AreAllThatApplyChanges(t *testing.T) {
	const rounds, callers, inodes = 100, 6, 30
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l := newLeading(t)
	l.start()
	rng := rand.New(rand.NewPCG(seed, 2))
	made := map[vfs.Ino]vfs.Ref{vfs.RootIno: vfs.RootRef()}
	var mu sync.Mutex
	dirs := []vfs.Ref{vfs.RootRef()}
	pick := func(rng *rand.Rand, dir bool) vfs.Ref {
		mu.Lock()
		defer mu.Unlock()
		if dir && rng.IntN(10) > 0 {
			return dirs[rng.IntN(len(dirs))]
		}
		for {
			if ref, ok := made[vfs.Ino(1+rng.IntN(inodes))]; ok {
				return ref
			}
		}
	}
	work := func(rng *rand.Rand) {
		for range 4 {
			res, err := l.s.Mutate(context.Background(), &vfs.Call{}, randomOp(rng, pick))
			if err != nil {
				t.Error(err)
				return
			}
			if res.HasAttr && res.Attr.Ino <= inodes {
				mu.Lock()
				made[res.Attr.Ino] = res.Attr.Ref
				if res.Attr.Type == vfs.TypeDir && len(dirs) < 4 && !slices.Contains(dirs, res.Attr.Ref) {
					dirs = append(dirs, res.Attr.Ref)
				}
				mu.Unlock()
			}
		}
	}
	replay := openStore(t, t.TempDir())
	defer replay.Close()
	replay.Commit([]raftlog.Entry{entryOf(t, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096, RootMode: 0o755})})
	for range rounds {
		var wg sync.WaitGroup
		for range callers {
			own := rand.New(rand.NewPCG(rng.Uint64(), 3))
			wg.Go(func() { work(own) })
		}
		wg.Wait()
	}
	// A second copy applies entry by entry, and is looked at between.
	before := shape(t, replay, made)
	changes, sizes := 0, 0
	for _, e := range l.proposed() {
		replay.Commit([]raftlog.Entry{e})
		replay.applied.wait(e.Index, nil)
		after := shape(t, replay, made)
		touches := entryTouches(e.Data)
		_, cmds, _ := decodeEntry(e.Data)
		sizes = max(sizes, len(cmds))
		for _, m := range []map[key]string{before, after} {
			for k := range m {
				if before[k] == after[k] {
					continue
				}
				changes++
				isNew := k&nameBit == 0 && wasStale(before[k])
				if !isNew && !touches.all && !slices.Contains(touches.keys, k) {
					for _, c := range cmds {
						t.Logf("%s %+v", c.Type, c.Op)
					}
					t.Fatalf("entry %d changes key %x and does not name it:\n%s\n%s", e.Index, k, before[k], after[k])
				}
			}
		}
		before = after
	}
	t.Logf("%d entries, up to %d changes in one, %d differences", len(l.proposed()), sizes, changes)
	if sizes < 2 || changes < 400 {
		t.Error("this test shows too little")
	}
}

// wasStale tells that no inode was found.
func wasStale(shape string) bool {
	return len(shape) > 10 && shape[:10] == fmt.Sprintf("{Kind:%v", vfs.Stale)[:10]
}

// randomOp is any change, with few names in few directories.
func randomOp(rng *rand.Rand, pick func(*rand.Rand, bool) vfs.Ref) vfs.Op {
	name := func() string { return string(rune('a' + rng.IntN(5))) }
	set := vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o755}
	switch rng.IntN(12) {
	case 0:
		return &vfs.OpSetAttr{Ref: pick(rng, false), Set: vfs.SetAttr{Mask: vfs.SetSize, Size: rng.Uint64N(9000)}}
	case 1:
		return &vfs.OpSetAttr{Ref: pick(rng, false), Set: vfs.SetAttr{Mask: vfs.SetMode | vfs.SetUID | vfs.SetMtimeServer, Mode: rng.Uint32N(0o1000), UID: 1}}
	case 2, 3:
		return &vfs.OpWrite{Ref: pick(rng, false), Offset: rng.Uint64N(9000), Data: []byte{byte(rng.Uint32())}}
	case 4:
		return &vfs.OpCreate{Dir: pick(rng, true), Name: name(), Mode: vfs.CreateUnchecked, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: rng.Uint64N(9)}}
	case 5:
		return &vfs.OpMkdir{Dir: pick(rng, true), Name: name(), Set: set}
	case 6:
		return &vfs.OpSymlink{Dir: pick(rng, true), Name: name(), Target: name()}
	case 7:
		return &vfs.OpMknod{Dir: pick(rng, true), Name: name(), Type: vfs.TypeFifo}
	case 8:
		return &vfs.OpRemove{Dir: pick(rng, true), Name: name()}
	case 9:
		return &vfs.OpRmdir{Dir: pick(rng, true), Name: name()}
	case 10:
		return &vfs.OpLink{Ref: pick(rng, false), Dir: pick(rng, true), Name: name()}
	default:
		return &vfs.OpRename{FromDir: pick(rng, true), FromName: name(), ToDir: pick(rng, true), ToName: name()}
	}
}
