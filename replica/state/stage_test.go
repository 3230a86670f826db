package state_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/replica/state"
)

// bring makes a stage like a view, bucket by bucket, and returns how many records
// it wrote and deleted.
func bring(t *testing.T, g *state.Stage, v *state.View) (changes int) {
	t.Helper()
	for bucket := range v.Buckets {
		if v.Buckets[bucket] == g.Digests().Buckets[bucket] {
			continue
		}
		want := map[string][]byte{}
		err := v.Scan(bucket, nil, func(k, val []byte) bool {
			want[string(k)] = bytes.Clone(val)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		var del [][]byte
		err = g.Scan(bucket, nil, func(k, val []byte) bool {
			if w, ok := want[string(k)]; !ok {
				del = append(del, bytes.Clone(k))
			} else if bytes.Equal(w, val) {
				delete(want, string(k))
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		var put []state.Record
		for k, val := range want {
			put = append(put, state.Record{Key: []byte(k), Value: val})
		}
		if err := g.Change(put, del); err != nil {
			t.Fatal(err)
		}
		changes += len(put) + len(del)
	}
	return changes
}

// apart returns two states of one history, of which the second stopped early.
func apart(t *testing.T, seed uint64, steps, more int) (a, b *harness) {
	t.Helper()
	a = open(t, 512)
	step := history(a, rand.New(rand.NewPCG(seed, 1)))
	for range steps {
		step()
	}
	b = openOn(t, testOptions(pebblevfs.NewCrashableMem()), 0)
	replayFrom(t, b.s, a.log)
	for range more {
		step()
	}
	return a, b
}

func mustPin(t *testing.T, h *harness) *state.View {
	t.Helper()
	v, err := h.s.Pin()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// install puts what is ready into the place of the state.
func install(t *testing.T, h *harness) {
	t.Helper()
	if err := h.s.Install(); err != nil {
		t.Fatal(err)
	}
}

// A stage becomes what the view is, with fewer records than there are, and the
// state goes on from there. Entries applied at the source meanwhile do not matter.
func TestStage_BecomesTheView(t *testing.T) {
	for _, from := range []state.StageFrom{state.FromState, state.FromRecords, state.FromNothing} {
		a, b := apart(t, 7, 300, 60)
		v := mustPin(t, a)
		at, want := a.index, v.Total
		a.apply(a.command(alice, formatOp(512))) // a verdict, and an entry
		g, err := b.s.OpenStage(from)
		if err != nil {
			t.Fatal(err)
		}
		n := bring(t, g, v)
		t.Logf("from %d: %d records", from, n)
		if err := g.Finish(v.Digests); err != nil {
			t.Fatal(err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if i, term, err := state.Staged("db", b.opts); i != at || term != 1 || err != nil {
			t.Fatalf("staged %d of term %d, %v; want %d", i, term, err, at)
		}
		_, changed := b.s.Exports()
		install(t, b)
		select {
		case <-changed:
		default:
			t.Error("who watches the tables was not told")
		}
		if d, i, _ := b.s.RunningDigest(); d != want || i != at {
			t.Fatalf("digest %v at %d, want %v at %d", d, i, want, at)
		}
		if r, err := b.s.ScanDigest(); err != nil || r.Err() != nil {
			t.Fatalf("%v, %v", err, r.Err())
		}
		replayFrom(t, b.s, a.log)
		da, _, _ := a.s.RunningDigest()
		if db, _, _ := b.s.RunningDigest(); db != da {
			t.Fatal("they differ after the next entry")
		}
	}
}

// A stage that was interrupted goes on, also after a loss of power, and only
// what is missing is brought again.
func TestStage_Resumes(t *testing.T) {
	a, b := apart(t, 3, 200, 100)
	v := mustPin(t, a)
	defer v.Close()
	g, err := b.s.OpenStage(state.FromState)
	if err != nil {
		t.Fatal(err)
	}
	all := bring(t, g, v)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	crashed := b.fs.(*pebblevfs.MemFS).CrashClone(pebblevfs.CrashCloneCfg{})
	o := testOptions(crashed)
	s, err := state.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if i, _, err := state.Staged("db", o); i != 0 || err != nil {
		t.Fatalf("an incomplete stage is ready at %d, %v", i, err)
	}
	if g, err = s.OpenStage(state.FromState); err != nil {
		t.Fatal(err)
	}
	if n := bring(t, g, v); n != 0 || all == 0 {
		t.Errorf("%d of %d records were brought again", n, all)
	}
	if err := g.Finish(v.Digests); err != nil {
		t.Fatal(err)
	}
	// A ready one can be taken further.
	a.apply(a.command(alice, formatOp(512)))
	later := mustPin(t, a)
	defer later.Close()
	if g, err = s.OpenStage(state.FromState); err != nil {
		t.Fatal(err)
	}
	if i, _, _ := state.Staged("db", o); i != 0 {
		t.Error("what is being changed is called ready")
	}
	bring(t, g, later)
	if err := g.Finish(later.Digests); err != nil {
		t.Fatal(err)
	}
}

// What was never completed is not started, and what is not as it was to be is
// not called complete.
func TestStage_HalfBuilt(t *testing.T) {
	a, b := apart(t, 5, 100, 50)
	v := mustPin(t, a)
	defer v.Close()
	g, err := b.s.OpenStage(state.FromState)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Finish(v.Digests); !errors.Is(err, state.ErrUnlike) {
		t.Fatalf("a stage without the records was finished: %v", err)
	}
	if err := b.s.Install(); !errors.Is(err, state.ErrNotStaged) {
		t.Fatalf("installed without a state that is ready: %v", err)
	}
	if _, err := state.Open("db.stage", b.opts); !errors.Is(err, state.ErrHalfBuilt) {
		t.Fatalf("a half-built state was started: %v", err)
	}
}

// Wherever a swap is cut off, Open finds the new state, or before its first step
// the old one.
func TestSwap_CrashAnywhere(t *testing.T) {
	a, b := apart(t, 9, 100, 50)
	v := mustPin(t, a)
	defer v.Close()
	old := b.index
	if old == 0 {
		i, _ := b.s.Applied()
		old = i
	}
	g, err := b.s.OpenStage(state.FromState)
	if err != nil {
		t.Fatal(err)
	}
	bring(t, g, v)
	if err := g.Finish(v.Digests); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Flush(); err != nil {
		t.Fatal(err)
	}
	fs := b.fs.(*pebblevfs.MemFS)
	steps := []struct {
		do   func() error
		want uint64
	}{
		{func() error { return nil }, old},
		{func() error { return fs.Rename("db", "db.old") }, v.Index},
		{func() error { return fs.Rename("db.ready", "db") }, v.Index},
	}
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	b.s = nil
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		d, err := fs.OpenDir("")
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		o := testOptions(fs.CrashClone(pebblevfs.CrashCloneCfg{}))
		s, err := state.Open("db", o)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if at, _ := s.Applied(); at != step.want {
			t.Errorf("step %d: the state is of %d, want %d", i, at, step.want)
		}
		if _, err := o.FS.Stat("db.old"); err == nil {
			t.Errorf("step %d: the old state is left", i)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Beside a damaged state a stage that was made after that state's own word, or was
// ready, is summed up anew.
func TestStage_ResumesDamaged(t *testing.T) {
	a, b := apart(t, 3, 60, 20)
	key := state.InodeKey(b.root().Ino)
	value, err := b.s.Record(key)
	if err != nil {
		t.Fatal(err)
	}
	value[2+15] ^= 1
	b.setRecord(key, value)
	bucket := state.BucketOf(key)
	running, err := b.s.BucketDigests()
	if err != nil {
		t.Fatal(err)
	}
	stage := func(from state.StageFrom) *state.Stage {
		g, err := b.s.OpenStage(from)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	done := func(g *state.Stage) {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	g := stage(state.FromState)
	if g.Digests().Buckets[bucket] != running.Buckets[bucket] {
		t.Fatal("the stage is not what the state says of itself: this test shows nothing")
	}
	done(g)
	g = stage(state.FromRecords)
	if g.Digests().Buckets[bucket] == running.Buckets[bucket] {
		t.Error("the word of a damaged state counts")
	}
	v := mustPin(t, a)
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	bring(t, g, v)
	done(g)
	g = stage(state.FromRecords)
	if n := bring(t, g, v); n != 0 {
		t.Errorf("%d records were brought again", n)
	}
	if err := g.Finish(v.Digests); err != nil {
		t.Fatal(err)
	}
	g = stage(state.FromRecords)
	if n := bring(t, g, v); n != 0 {
		t.Errorf("of what was ready %d records were brought again", n)
	}
	if err := g.Finish(v.Digests); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Replace(); err != nil {
		t.Fatal(err)
	}
	if err := b.s.Check(); err != nil {
		t.Error(err)
	}
}
