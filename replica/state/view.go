package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// Record is one replicated record, as bytes.
type Record struct{ Key, Value []byte }

// SumOf is what a record adds to the digest of its bucket.
func SumOf(key, value []byte) Digest { return recordSum(key, value) }

// View is a state at one moment. It holds nothing up, but what is overwritten
// meanwhile stays on disk until it is closed.
type View struct {
	Digests
	s    *State
	snap *pebble.Snapshot
}

// Pin returns a view of this moment. The State is not closed before the view is.
func (s *State) Pin() (*View, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return nil, vfs.ErrShutdown
	}
	s.users.Add(1)
	return &View{
		Digests: Digests{
			Index: s.mu.applied, Term: s.mu.term, Total: s.mu.total,
			Buckets: append([]Digest(nil), s.mu.buckets...),
		},
		s: s, snap: s.db.NewSnapshot(),
	}, nil
}

// Close lets the view go.
func (v *View) Close() error {
	defer v.s.users.Done()
	return asCorrupt(v.snap.Close())
}

// errEnough ends a scan.
var errEnough = errors.New("state: enough")

// Scan calls f for the records of a bucket whose keys are above a key, in the
// order of the keys, until f returns false. The slices are valid during the call.
func (v *View) Scan(bucket int, above []byte, f func(key, value []byte) bool) error {
	return scanAbove(v.snap, bucket, above, func(key, value []byte) error {
		if v.s.closing.Load() {
			return vfs.ErrShutdown
		}
		if !f(key, value) {
			return errEnough
		}
		return nil
	})
}

// scanAbove is scanBucket from a key on. errEnough ends it without an error.
func scanAbove(r pebble.Reader, bucket int, above []byte, f func(key, value []byte) error) error {
	if bucket < 0 || bucket >= DigestBuckets {
		return fmt.Errorf("state: there is no bucket %d", bucket)
	}
	for _, table := range tablesOf(bucket) {
		if len(above) > 0 && table < above[0] {
			continue
		}
		from := []byte{table}
		if len(above) > 0 && table == above[0] {
			from = append(append([]byte(nil), above...), 0)
		}
		if err := scanRuns(r, from, bucket, f); err != nil {
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		}
	}
	return nil
}

// Get returns a copy of a record's value, nil if there is none. A block whose
// checksum is not that of its bytes is damage.
func (v *View) Get(key []byte) ([]byte, error) {
	if len(key) == 0 || key[0] <= tableLocal || key[0] >= tableEnd {
		return nil, fmt.Errorf("state: %x is no key of a replicated record", key)
	}
	value, err := readRecord(v.snap, key)
	if err == nil && key[0] == tableBlock && value != nil && (len(value) <= checksumLen || hash(value[checksumLen:]) != Digest(value)) {
		return nil, corrupt(key, "a block of %d bytes whose checksum is wrong", len(value))
	}
	return value, err
}
