package state

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// Digest reads every replicated record and returns the SHA-256 of them, and the
// applied index at which they were. Two nodes with the same index have the
// same digest. It takes as long as reading the whole volume, and holds nothing
// up.
func (s *State) Digest() (sum [sha256.Size]byte, index uint64, err error) {
	const op = "state.Digest"
	s.mu.RLock()
	if s.mu.closed {
		s.mu.RUnlock()
		return sum, 0, vfs.ErrShutdown
	}
	s.users.Add(1)
	defer s.users.Done()
	index = s.mu.applied
	snap := s.db.NewSnapshot()
	s.mu.RUnlock()

	sum, err = s.digest(snap)
	if err = errors.Join(err, snap.Close()); err != nil {
		return sum, 0, fmt.Errorf("%s: %w", op, err)
	}
	return sum, index, nil
}

// digest hashes all keys and values in order, each with its length before it.
func (s *State) digest(snap *pebble.Snapshot) (sum [sha256.Size]byte, err error) {
	it, err := snap.NewIter(&pebble.IterOptions{
		LowerBound: []byte{tableLocal + 1},
		UpperBound: []byte{tableEnd},
	})
	if err != nil {
		return sum, asCorrupt(err)
	}
	h := sha256.New()
	var lengths [8]byte
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if s.closing.Load() {
			err = vfs.ErrShutdown
			break
		}
		var v []byte
		if v, err = it.ValueAndErr(); err != nil {
			break
		}
		be.PutUint32(lengths[:], uint32(len(it.Key())))
		be.PutUint32(lengths[4:], uint32(len(v)))
		h.Write(lengths[:]) // A hash never fails.
		h.Write(it.Key())
		h.Write(v)
	}
	h.Sum(sum[:0])
	return sum, errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}
