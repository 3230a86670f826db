package state

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// Digests are the running digests of a copy at one applied index.
type Digests struct {
	Index, Term uint64
	Total       Digest   // the sum of all buckets
	Buckets     []Digest // DigestBuckets of them
}

// RunningDigest returns the digest of the whole copy and the applied index to
// which it belongs. It reads nothing. Two copies at one index have the same one.
func (s *State) RunningDigest() (d Digest, index, term uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.total, s.mu.applied, s.mu.term
}

// BucketDigests returns the digests of all buckets, of one moment. It reads
// nothing.
func (s *State) BucketDigests() (Digests, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return Digests{}, vfs.ErrShutdown
	}
	return Digests{
		Index: s.mu.applied, Term: s.mu.term, Total: s.mu.total,
		Buckets: append([]Digest(nil), s.mu.buckets...),
	}, nil
}

// appliedLen is the length of the record of what is applied: index, term, the
// digest of all records and that of the volume's. The latter is the bucket that
// every entry changes: here it costs no record of its own.
const appliedLen = 8 + 8 + 2*checksumLen

func appendApplied(b []byte, index, term uint64, total, super Digest) []byte {
	b = be.AppendUint64(b, index)
	b = be.AppendUint64(b, term)
	b = append(b, total[:]...)
	return append(b, super[:]...)
}

// readDigests reads the running digests from the store, or from a snapshot of
// it. Buckets must sum up to the total.
func readDigests(r pebble.Reader) (Digests, error) {
	d := Digests{Buckets: make([]Digest, DigestBuckets)}
	key := localKey(nil, localApplied)
	v, err := readRecord(r, key)
	switch {
	case err != nil:
		return d, err
	case v == nil:
		return d, nil // nothing was ever applied
	case len(v) != appliedLen:
		return d, corrupt(key, "applied record of %d bytes", len(v))
	}
	d.Index, d.Term = be.Uint64(v), be.Uint64(v[8:])
	d.Total, d.Buckets[superBucket] = Digest(v[16:]), Digest(v[32:])
	sum := d.Buckets[superBucket]
	err = scanRange(r, localKey(nil, localBucket), localKey(nil, localBucket+1), func(key, value []byte) error {
		if len(key) != bucketKeyLen || len(value) != len(Digest{}) {
			return corrupt(key, "bucket record of %d bytes", len(value))
		}
		bucket := int(be.Uint32(key[bucketKeyLen-4:]))
		if bucket >= DigestBuckets || bucket == superBucket {
			return corrupt(key, "bucket %d", bucket)
		}
		d.Buckets[bucket] = Digest(value)
		sum = sum.Plus(d.Buckets[bucket])
		return nil
	})
	if err == nil && sum != d.Total {
		err = fmt.Errorf("%w: the buckets' digests sum up to %v, the copy's is %v", vfs.ErrCorrupt, sum, d.Total)
	}
	return d, err
}

// sums are the changes of one log entry to the running digests.
type sums struct {
	places map[int]int // of a bucket in changes
	// changes are in the order of the buckets' first change, so that batches
	// are alike.
	changes []bucketChange
	total   Digest // after the txn
	super   Digest // the volume's record, after the txn
}

type bucketChange struct {
	bucket int
	// delta is what the bucket gains; after seal, the bucket's digest.
	delta Digest
}

func (c *sums) begin() {
	clear(c.places)
	c.changes = c.changes[:0]
}

// at returns the change of a bucket. It is valid until the next call.
func (c *sums) at(bucket int) *Digest {
	if n := len(c.changes); n > 0 && c.changes[n-1].bucket == bucket {
		return &c.changes[n-1].delta
	}
	i, ok := c.places[bucket]
	if !ok {
		i = len(c.changes)
		c.places[bucket] = i
		c.changes = append(c.changes, bucketChange{bucket: bucket})
	}
	return &c.changes[i].delta
}

func (c *sums) add(bucket int, d Digest) {
	at := c.at(bucket)
	*at = at.Plus(d)
}

func (c *sums) sub(bucket int, d Digest) {
	at := c.at(bucket)
	*at = at.Minus(d)
}

// addRecord counts a record that is written.
func (t *txn) addRecord(key, value []byte) { t.sums.add(bucketOf(key), recordSum(key, value)) }

// subRecord takes back what addRecord counted for what the store has now.
func (t *txn) subRecord(key, value []byte) { t.sums.sub(bucketOf(key), recordSum(key, value)) }

// fillSums writes the digests of the buckets that this txn changes, and the
// record of what is applied.
func (t *txn) fillSums(b *pebble.Batch, index, term uint64) error {
	now := &t.s.mu // The apply goroutine is the only one to change it.
	c := &t.sums
	c.total = now.total.Plus(c.super).Minus(now.buckets[superBucket])
	for i := range c.changes {
		change := &c.changes[i]
		if change.delta.IsZero() {
			change.delta = now.buckets[change.bucket]
			continue
		}
		c.total = c.total.Plus(change.delta)
		change.delta = now.buckets[change.bucket].Plus(change.delta)
		t.keyBuf = bucketKey(t.keyBuf[:0], change.bucket)
		if err := b.Set(t.keyBuf, change.delta[:], nil); err != nil {
			return err
		}
	}
	t.valueBuf = appendApplied(t.valueBuf[:0], index, term, c.total, c.super)
	return b.Set(localKey(nil, localApplied), t.valueBuf, nil)
}

// publishSums makes them visible. The caller holds the lock.
func (s *State) publishSums(c *sums) {
	s.mu.total, s.mu.buckets[superBucket] = c.total, c.super
	for _, change := range c.changes {
		s.mu.buckets[change.bucket] = change.delta
	}
}
