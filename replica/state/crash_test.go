package state_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// history fills a volume with a mix of calls, from a seed, one entry per call
// of the returned function.
func history(h *harness, rng *rand.Rand) func() {
	dirs, files := []vfs.Ref{h.root()}, []vfs.Ref{}
	return func() {
		var encs [][]byte
		for range 1 + rng.IntN(6) {
			encs = append(encs, h.command(vfs.Root, randomOp(rng, dirs, files)))
		}
		if rng.IntN(10) == 0 {
			h.index++ // An entry that is not ours.
			h.log = append(h.log, nil)
			if _, err := h.s.Apply(h.index, 1, nil); err != nil {
				h.t.Fatal(err)
			}
		}
		for _, r := range h.apply(encs...) {
			switch {
			case !r.HasAttr:
			case r.Attr.Type == vfs.TypeDir:
				dirs = append(dirs, r.Attr.Ref)
			default:
				files = append(files, r.Attr.Ref)
			}
		}
	}
}

func randomOp(rng *rand.Rand, dirs, files []vfs.Ref) vfs.Op {
	dir := func() vfs.Ref { return dirs[rng.IntN(len(dirs))] }
	name := func() string { return fmt.Sprintf("n%d", rng.IntN(12)) }
	file := func() vfs.Ref {
		if len(files) == 0 {
			return dirs[0]
		}
		return files[max(0, len(files)-1-rng.IntN(20))]
	}
	switch rng.IntN(9) {
	case 0, 1:
		return &vfs.OpCreate{Dir: dir(), Name: name(), Set: modeSet(0o644)}
	case 2:
		return &vfs.OpMkdir{Dir: dir(), Name: name(), Set: modeSet(0o755)}
	case 3:
		return &vfs.OpRemove{Dir: dir(), Name: name()}
	case 4:
		return &vfs.OpRename{FromDir: dir(), FromName: name(), ToDir: dir(), ToName: name()}
	case 5:
		return &vfs.OpSetAttr{Ref: file(), Set: vfs.SetAttr{Mask: vfs.SetSize, Size: rng.Uint64N(40_000)}}
	case 6:
		return &vfs.OpLink{Ref: file(), Dir: dir(), Name: name()}
	default:
		data := make([]byte, rng.IntN(6000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		return &vfs.OpWrite{Ref: file(), Offset: rng.Uint64N(60_000), Data: data}
	}
}

// replayFrom applies h's log to a state, from its durable index on.
func replayFrom(t *testing.T, s *state.State, log [][]byte) {
	t.Helper()
	index, _ := s.Durable()
	if applied, _ := s.Applied(); applied != index {
		t.Fatalf("after open applied is %d and durable %d", applied, index)
	}
	for i := index; i < uint64(len(log)); i++ {
		if log[i] == nil {
			if _, err := s.Apply(i+1, 1, nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		cmds, err := command.DecodeBatch(log[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(i+1, 1, cmds); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever a crash leaves, the state is whole at or above what Durable said,
// and the log from there leads to the state of a node that never crashed.
func TestCrash_ReplayGivesSameDigest(t *testing.T) {
	for seed := range uint64(roundsOf(3, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := pebblevfs.NewCrashableMem()
			o := testOptions(fs)
			o.MemTableBytes = 256 << 10 // Flushes happen on their own too.
			h := openOn(t, o, 512)
			step := history(h, rng)
			type clone struct {
				fs      *pebblevfs.MemFS
				durable uint64
				at      int
			}
			var clones []clone
			for i := range 300 {
				step()
				if rng.IntN(40) == 0 {
					if err := h.s.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				if i%97 == 13 {
					durable, _ := h.s.Durable()
					cfg := pebblevfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}
					clones = append(clones, clone{fs.CrashClone(cfg), durable, i})
				}
			}
			want := h.digest()
			h.check()
			for _, c := range clones {
				s, err := state.Open("db", testOptions(c.fs))
				if err != nil {
					t.Fatalf("crash after step %d: %v", c.at, err)
				}
				if applied, _ := s.Applied(); applied < c.durable {
					t.Errorf("crash after step %d: durable was %d, found %d", c.at, c.durable, applied)
				}
				if err := s.Check(); err != nil {
					t.Errorf("crash after step %d: %v", c.at, err)
				}
				replayFrom(t, s, h.log)
				if got := digestOf(t, s, h.index); got != want {
					t.Errorf("crash after step %d: another digest after replay", c.at)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Durable must not move before a flush has finished, and survives a restart.
func TestDurable(t *testing.T) {
	fs := pebblevfs.NewCrashableMem()
	h := openOn(t, testOptions(fs), 512)
	h.create(h.root(), "a", 0o644)
	if index, _ := h.s.Durable(); index != 0 {
		t.Errorf("durable is %d before any flush", index)
	}
	if err := h.s.Flush(); err != nil {
		t.Fatal(err)
	}
	if index, term := h.s.Durable(); index != 2 || term != 1 {
		t.Errorf("durable is %d in term %d after flush of 2", index, term)
	}
	h.create(h.root(), "b", 0o644)
	if index, _ := h.s.Durable(); index != 2 {
		t.Errorf("durable is %d, flushed was 2", index)
	}
	crashed, err := state.Open("db", testOptions(fs.CrashClone(pebblevfs.CrashCloneCfg{})))
	if err != nil {
		t.Fatal(err)
	}
	defer crashed.Close()
	if index, _ := crashed.Applied(); index != 2 {
		t.Errorf("after the crash the state is at %d, want 2", index)
	}
	h.reopen()
	if index, term := h.s.Durable(); index != 3 || term != 1 {
		t.Errorf("after a clean restart durable is %d in term %d", index, term)
	}
}

// An entry at or below the applied index has no effect and no results.
func TestApply_SkipsOldEntries(t *testing.T) {
	h := open(t, 512)
	h.create(h.root(), "a", 0o644)
	before := h.digest()
	cmds, err := command.DecodeBatch(h.log[1])
	if err != nil {
		t.Fatal(err)
	}
	for index := range uint64(3) {
		rs, err := h.s.Apply(index, 1, cmds)
		if rs != nil || err != nil {
			t.Errorf("entry %d again: %v, %v", index, rs, err)
		}
		if _, err := h.s.Apply(index, 9, nil); err != nil {
			t.Error(err)
		}
	}
	if h.digest() != before {
		t.Error("an old entry changed the state")
	}
	if _, term := h.s.Applied(); term != 1 {
		t.Errorf("an old entry changed the term to %d", term)
	}
}
