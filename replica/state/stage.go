package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// A state that comes from another node is built beside the old one, in DIR.stage,
// is called DIR.ready once it is complete and on disk, and then takes the place of
// DIR. A stage begins as a checkpoint of the old state, which shares its files.
//
// A record in a stage says that it is half-built; Open refuses to start it. What
// is changed in a stage is changed together with the digests of its buckets, so
// that they are those of its records after a crash as well. So nothing needs to
// be noted of how far a transfer came: whoever goes on with it compares again. But
// digests that came with a damaged state are not those of its records: a stage has
// the file summed once its own digests are. Beside a damaged state any other one is
// summed up anew first.
const (
	stageSuffix = ".stage"
	readySuffix = ".ready"
	oldSuffix   = ".old"
	tempSuffix  = ".stage-tmp"

	summedFile = "summed"
)

// Limits of a stage's store, which is open beside the node's own.
const (
	stageCache    = 8 << 20
	stageMemTable = 16 << 20
)

// ErrHalfBuilt is returned by Open for a state that was never completed.
var ErrHalfBuilt = errors.New("the state is half-built")

// ErrUnlike is returned when a stage is not what it was made after.
var ErrUnlike = errors.New("the staged state is not the one that was to be made")

// Stage is a state in the making. Scan may be called at any time until the stage is
// closed; the other methods one at a time.
type Stage struct {
	dir     string // of the state that it is for
	o       Options
	db      *pebble.DB
	failure *failure

	digests Digests
	changed map[int]bool // buckets that were changed since it was opened
}

// StageFrom says what a new stage begins with.
type StageFrom int

// The ways to begin.
const (
	// FromState begins with the old state and what it says of itself.
	FromState StageFrom = iota
	// FromRecords begins with the old state and sums its records up anew: it may
	// be damaged.
	FromRecords
	// FromNothing begins without any record.
	FromNothing
)

// OpenStage opens the stage beside this state, and makes it if there is none.
func (s *State) OpenStage(from StageFrom) (*Stage, error) {
	const op = "state.OpenStage"
	g := &Stage{dir: s.dir, o: s.opts, changed: map[int]bool{}}
	g.o.CacheBytes, g.o.MemTableBytes = stageCache, min(stageMemTable, s.opts.MemTableBytes)
	if err := g.place(s, from); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if err := g.open(from != FromState); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return g, nil
}

// place makes DIR.stage, unless it is there or can be had from DIR.ready.
func (g *Stage) place(s *State, from StageFrom) error {
	fs := g.o.FS
	if from == FromNothing {
		if err := DiscardStage(g.dir, g.o); err != nil {
			return err
		}
	}
	switch {
	case exists(fs, g.dir+readySuffix):
		return rename(fs, g.dir+readySuffix, g.dir+stageSuffix)
	case exists(fs, g.dir+stageSuffix):
		return nil
	}
	temp := g.dir + tempSuffix
	if err := fs.RemoveAll(temp); err != nil {
		return err
	}
	if err := g.begin(s, temp, from); err != nil {
		return err
	}
	return rename(fs, temp, g.dir+stageSuffix)
}

// summed reports that the digests of DIR.stage are those of its records.
func (g *Stage) summed() bool {
	return exists(g.o.FS, g.o.FS.PathJoin(g.dir+stageSuffix, summedFile))
}

// setSummed makes that known, also after a crash.
func (g *Stage) setSummed() error {
	if err := g.db.Flush(); err != nil {
		return asCorrupt(err)
	}
	dir := g.dir + stageSuffix
	return errors.Join(writeSynced(g.o.FS, g.o.FS.PathJoin(dir, summedFile), nil), syncDir(g.o.FS, dir))
}

// begin makes a half-built state in temp.
func (g *Stage) begin(s *State, temp string, from StageFrom) error {
	if from != FromNothing {
		if err := s.Flush(); err != nil {
			return err
		}
		if _, _, err := s.use(); err != nil {
			return err
		}
		err := s.db.Checkpoint(temp)
		s.users.Done()
		if err != nil {
			return asCorrupt(err)
		}
	}
	f := newFailure(g.o.Logger)
	db, err := pebble.Open(temp, g.o.pebbleOptions(f))
	if err != nil {
		return asCorrupt(err)
	}
	b := db.NewBatch()
	err = errors.Join(
		b.Set(localKey(nil, localFormat), be.AppendUint32(nil, FormatVersion), nil),
		b.Set(localKey(nil, localHalfBuilt), nil, nil),
		db.Apply(b, pebble.NoSync), b.Close(), db.Flush(), db.Close())
	return asCorrupt(err)
}

// open opens DIR.stage and marks it half-built, which it is not if a crash came
// just before it was called ready.
func (g *Stage) open(rescan bool) error {
	g.failure = newFailure(g.o.Logger)
	db, err := pebble.Open(g.dir+stageSuffix, g.o.pebbleOptions(g.failure))
	if err != nil {
		return asCorrupt(err)
	}
	g.db = db
	err = errors.Join(db.Set(localKey(nil, localHalfBuilt), nil, pebble.NoSync), db.Flush())
	if err == nil && rescan && !g.summed() {
		if err = g.rescan(); err == nil {
			err = g.setSummed()
		}
	}
	if err == nil {
		g.digests, err = readDigests(db)
	}
	if err != nil {
		return errors.Join(asCorrupt(err), db.Close())
	}
	return nil
}

// rescan replaces the digests by those of the records.
func (g *Stage) rescan() error {
	d := Digests{Buckets: make([]Digest, DigestBuckets)}
	err := scanRange(g.db, []byte{tableLocal + 1}, []byte{tableEnd}, func(key, value []byte) error {
		at, sum := &d.Buckets[bucketOf(key)], recordSum(key, value)
		*at, d.Total = at.Plus(sum), d.Total.Plus(sum)
		return nil
	})
	if err != nil {
		return err
	}
	b := g.db.NewBatch()
	for bucket, sum := range d.Buckets {
		if bucket != superBucket {
			err = errors.Join(err, b.Set(bucketKey(nil, bucket), sum[:], nil))
		}
	}
	err = errors.Join(err, b.Set(localKey(nil, localApplied), appendApplied(nil, 0, 0, d.Total, d.Buckets[superBucket]), nil))
	return errors.Join(err, g.db.Apply(b, pebble.NoSync), b.Close())
}

// Digests returns the digests of the stage as it is. They must not be changed.
func (g *Stage) Digests() Digests { return g.digests }

// Scan is View.Scan of the stage.
func (g *Stage) Scan(bucket int, above []byte, f func(key, value []byte) bool) error {
	return scanAbove(g.db, bucket, above, func(key, value []byte) error {
		if !f(key, value) {
			return errEnough
		}
		return nil
	})
}

// Change writes and deletes records in one step. A record that is not there is
// deleted already.
func (g *Stage) Change(put []Record, del [][]byte) error {
	b := g.db.NewBatch()
	buckets := map[int]Digest{}
	err := g.fill(b, buckets, put, del)
	total, super := g.digests.Total, g.digests.Buckets[superBucket]
	for bucket, sum := range buckets {
		total = total.Plus(sum).Minus(g.digests.Buckets[bucket])
		if bucket == superBucket {
			super = sum
			continue
		}
		err = errors.Join(err, b.Set(bucketKey(nil, bucket), sum[:], nil))
	}
	err = errors.Join(err, b.Set(localKey(nil, localApplied), appendApplied(nil, g.digests.Index, g.digests.Term, total, super), nil))
	if err == nil {
		err = g.db.Apply(b, pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("state.Stage.Change: %w", asCorrupt(err))
	}
	g.digests.Total = total
	for bucket, sum := range buckets {
		g.digests.Buckets[bucket], g.changed[bucket] = sum, true
	}
	return nil
}

// fill puts the records into a batch and their buckets' new sums into buckets. No
// key may come twice.
func (g *Stage) fill(b *pebble.Batch, buckets map[int]Digest, put []Record, del [][]byte) error {
	replace := func(key []byte) (int, Digest, error) {
		if len(key) == 0 || key[0] <= tableLocal || key[0] >= tableEnd {
			return 0, Digest{}, fmt.Errorf("state: %x is no key of a replicated record", key)
		}
		bucket := bucketOf(key)
		sum, ok := buckets[bucket]
		if !ok {
			sum = g.digests.Buckets[bucket]
		}
		old, closer, err := g.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return bucket, sum, nil
		}
		if err != nil {
			return 0, Digest{}, err
		}
		return bucket, sum.Minus(recordSum(key, old)), closer.Close()
	}
	for _, r := range put {
		bucket, sum, err := replace(r.Key)
		if err != nil {
			return err
		}
		buckets[bucket] = sum.Plus(recordSum(r.Key, r.Value))
		if err := b.Set(r.Key, r.Value, nil); err != nil {
			return err
		}
	}
	for _, key := range del {
		bucket, sum, err := replace(key)
		if err != nil {
			return err
		}
		buckets[bucket] = sum
		if err := b.Delete(key, nil); err != nil {
			return err
		}
	}
	return nil
}

// Verify compares the stage with what it was to become: the digests of all
// buckets, and the records of those that were changed.
func (g *Stage) Verify(want Digests) error {
	if len(want.Buckets) != DigestBuckets || g.digests.Total != want.Total {
		return fmt.Errorf("%w: its digest is %v, not %v", ErrUnlike, g.digests.Total, want.Total)
	}
	for bucket := range want.Buckets {
		if g.digests.Buckets[bucket] != want.Buckets[bucket] {
			return fmt.Errorf("%w: bucket %d differs", ErrUnlike, bucket)
		}
	}
	for bucket := range g.changed {
		var sum Digest
		err := scanBucket(g.db, bucket, func(key, value []byte) error {
			sum = sum.Plus(recordSum(key, value))
			return nil
		})
		if err != nil {
			return err
		}
		if sum != want.Buckets[bucket] {
			return fmt.Errorf("%w: the records of bucket %d", ErrUnlike, bucket)
		}
	}
	return nil
}

// Finish verifies the stage and makes it durable and ready, with the index and
// term of what it was made after. The stage is closed, whatever is returned.
func (g *Stage) Finish(want Digests) error {
	const op = "state.Stage.Finish"
	if err := g.Verify(want); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", op, err), g.Close())
	}
	b := g.db.NewBatch()
	err := errors.Join(
		b.Set(localKey(nil, localApplied), appendApplied(nil, want.Index, want.Term, want.Total, want.Buckets[superBucket]), nil),
		b.Delete(localKey(nil, localHalfBuilt), nil),
		g.db.Apply(b, pebble.NoSync), b.Close())
	if err = errors.Join(asCorrupt(err), g.Close()); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if g.summed() {
		if err := g.o.FS.Remove(g.o.FS.PathJoin(g.dir+stageSuffix, summedFile)); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return rename(g.o.FS, g.dir+stageSuffix, g.dir+readySuffix)
}

// Close closes the stage and keeps it for the next attempt.
func (g *Stage) Close() error {
	if err := g.flush(); err != nil {
		return err // Pebble's Close would wait for a flush that never ends.
	}
	return asCorrupt(g.db.Close())
}

// flush gives up when the store says that the disk does not take it.
func (g *Stage) flush() error {
	flushed := make(chan error, 1)
	go func() { flushed <- g.db.Flush() }()
	select {
	case err := <-flushed:
		return asCorrupt(err)
	case <-g.failure.done:
		return g.failure.err
	}
}

// halfBuilt refuses to open what was never completed.
func (s *State) halfBuilt() error {
	v, err := s.get(localKey(nil, localHalfBuilt))
	if err == nil && v != nil {
		err = fmt.Errorf("%w: it was being brought from another node and is no state; restore the directory that was there before, or format the node anew", ErrHalfBuilt)
	}
	return err
}
