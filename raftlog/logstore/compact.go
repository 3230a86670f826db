package logstore

import (
	"math"
)

// Compact deletes the beginning of the log as far as the clamp and the two
// sizes allow. It waits until there is some work to do at once.
func (s *Store) Compact() error {
	first, err := s.FirstIndex()
	b, bytes := s.bounds(), s.Bytes()
	some := bytes >= b.keep+b.keep/8 && b.free >= first || bytes > b.most
	if err != nil || !some || b.may < first {
		return err
	}
	s.await()
	s.write.Lock()
	defer s.write.Unlock()
	return s.compact(math.MaxUint64)
}

// compact deletes the beginning of the log up to hi at most, as far as the clamp and
// the two sizes allow. The last entry that is on the disk stays. The caller holds write.
func (s *Store) compact(hi uint64) error {
	b := s.bounds()
	s.mu.Lock()
	failed, first := s.mu.failed, s.mu.table.first
	hi = min(hi, s.limitLocked(b), max(s.durableLocked(), 1)-1)
	empty := len(s.mu.table.sizes) == 0
	s.mu.Unlock()
	if failed != nil {
		return failedBefore(failed)
	}
	if empty {
		return nil
	}
	return s.deleteHead(first, hi)
}

// limitLocked returns the highest index that compaction may delete now: what
// nobody needs, down to keep, and what exceeds the most.
func (s *Store) limitLocked(b bounds) uint64 {
	limit := min(b.free, s.mu.table.cutLimit(b.keep))
	if s.mu.table.bytes > b.most {
		limit = max(limit, s.mu.table.cutLimit(b.most))
	}
	return min(limit, b.may)
}

// bounds is what compaction may delete: of what nobody needs all but keep bytes,
// and of the rest what is above most.
type bounds struct {
	free, may  uint64 // indexes, see Options.Clamp
	keep, most uint64 // bytes
}

func (s *Store) bounds() bounds {
	b := bounds{keep: s.o.KeepBytes, most: s.o.MaxBytes}
	if s.o.Tight() {
		b.keep, b.most = Kept(b.keep, true), s.o.TightMaxBytes
	}
	b.free, b.may = s.o.Clamp()
	return b
}

// BytesAbove returns the payload bytes of the entries above an index.
func (s *Store) BytesAbove(index uint64) (bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.mu.table
	from := 0
	if index >= t.first {
		from = int(min(index-t.first+1, uint64(len(t.sizes))))
	}
	for _, n := range t.sizes[from:] {
		bytes += uint64(n)
	}
	return bytes
}
