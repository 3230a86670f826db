package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// Scan is the outcome of ScanDigest.
type Scan struct {
	Index, Term uint64 // the scan is of this moment
	Running     Digest // what apply kept
	Scanned     Digest // what the records sum up to
	Damaged     []int  // buckets whose records are not what apply wrote
}

// Err tells of a copy whose records are not what apply wrote.
func (r *Scan) Err() error {
	if len(r.Damaged) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the records of %d buckets are not what was written, bucket %d first",
		vfs.ErrCorrupt, len(r.Damaged), r.Damaged[0])
}

// ScanDigest reads every replicated record, sums them up anew and compares the
// sums with the running ones. It takes as long as reading the whole volume, and
// holds nothing up. An error says that the scan could not be made; damage that
// it finds is in the result.
func (s *State) ScanDigest() (Scan, error) { return s.Scrub(context.Background(), ScanOptions{}) }

// Scrub is ScanDigest at a bounded rate, with progress, until ctx ends.
func (s *State) Scrub(ctx context.Context, o ScanOptions) (Scan, error) {
	const op = "state.Scrub"
	s.mu.RLock()
	if s.mu.closed {
		s.mu.RUnlock()
		return Scan{}, vfs.ErrShutdown
	}
	s.users.Add(1)
	defer s.users.Done()
	snap := s.db.NewSnapshot()
	s.mu.RUnlock()

	p := newPacer(ctx, o)
	r, err := s.scanDigest(snap, p)
	p.done()
	if err = errors.Join(err, snap.Close()); err != nil {
		return Scan{}, fmt.Errorf("%s: %w", op, err)
	}
	return r, nil
}

func (s *State) scanDigest(snap *pebble.Snapshot, p *pacer) (Scan, error) {
	running, err := readDigests(snap)
	if err != nil {
		return Scan{}, err
	}
	r := Scan{Index: running.Index, Term: running.Term, Running: running.Total}
	scanned := make([]Digest, DigestBuckets)
	err = scanRange(snap, []byte{tableLocal + 1}, []byte{tableEnd}, func(key, value []byte) error {
		if s.closing.Load() {
			return vfs.ErrShutdown
		}
		at := &scanned[bucketOf(key)]
		*at = at.Plus(recordSum(key, value))
		return p.read(len(key) + len(value))
	})
	if err != nil {
		return Scan{}, err
	}
	for i := range scanned {
		r.Scanned = r.Scanned.Plus(scanned[i])
		if scanned[i] != running.Buckets[i] {
			r.Damaged = append(r.Damaged, i)
		}
	}
	return r, nil
}

// scanRange calls f for each record with from <= key < to, in key order. The
// slices are valid during the call.
func scanRange(r pebble.Reader, from, to []byte, f func(key, value []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return asCorrupt(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = f(it.Key(), v)
		}
	}
	return errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}

// scanBucket calls f for each record of a bucket, table by table and in key
// order. The slices are valid during the call. Buckets of inodes and of
// duplicate requests are found by their runs, without a look at the others.
func scanBucket(r pebble.Reader, bucket int, f func(key, value []byte) error) error {
	for _, table := range tablesOf(bucket) {
		if err := scanRuns(r, []byte{table}, bucket, f); err != nil {
			return err
		}
	}
	return nil
}

// tablesOf returns the tables of which a bucket has records.
func tablesOf(bucket int) []byte {
	switch {
	case bucket < inodeBuckets:
		return []byte{tableInode, tableDirent, tableCookie, tableBlock, tableExtent}
	case bucket < inodeBuckets+answerBuckets:
		return []byte{tableDuplicate}
	default:
		return []byte{byte(bucket - inodeBuckets - answerBuckets)}
	}
}

// scanRuns is scanBucket of one table, from a key in it on.
func scanRuns(r pebble.Reader, from []byte, bucket int, f func(key, value []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{from[0] + 1}})
	if err != nil {
		return asCorrupt(err)
	}
	var seek []byte
	for ok := it.First(); ok && err == nil; {
		if bucketOf(it.Key()) == bucket {
			var v []byte
			if v, err = it.ValueAndErr(); err == nil {
				err = f(it.Key(), v)
			}
			ok = it.Next()
			continue
		}
		if seek = appendNextRun(seek[:0], it.Key(), bucket); len(seek) == 0 {
			ok = it.Next()
		} else {
			ok = it.SeekGE(seek)
		}
	}
	return errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}

// appendNextRun appends the key at which the next run of a bucket begins after a
// key that is not in it. It appends nothing if only a look at every key tells.
func appendNextRun(b, key []byte, bucket int) []byte {
	run, shape, ok := runOf(key)
	if !ok || bucket < shape.first || uint64(bucket-shape.first) >= shape.buckets {
		return b
	}
	next := run + (uint64(bucket-shape.first)-run)%shape.buckets
	switch volume := be.Uint32(key[1:]); {
	case next <= ^uint64(0)>>shape.bits:
		b = append(b, key[:prefixLen]...)
		return be.AppendUint64(b, next<<shape.bits)
	case volume < ^uint32(0):
		return appendPrefix(b, key[0], volume+1)
	default:
		return append(b, key[0]+1)
	}
}

// readRecord returns a copy of a value, or nil.
func readRecord(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, asCorrupt(err)
	}
	out := make([]byte, len(v))
	copy(out, v)
	return out, closer.Close()
}
