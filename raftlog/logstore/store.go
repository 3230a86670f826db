package logstore

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/raft"
)

// backend is the third-party store under a Store.
type backend interface {
	raft.LogStore
	io.Closer
}

// Store is the Raft log of one node. It implements raft.LogStore.
type Store struct {
	o       Options
	backend backend

	// write serialises appends and deletions, so that the table changes in
	// the same order as the disk. It is taken before mu and held across disk
	// access; readers do not take it.
	write sync.Mutex

	mu struct {
		sync.Mutex
		table    table
		cache    cache
		ahead    ahead
		appended uint64 // payload bytes since Open
		failed   error
	}
}

var _ raft.LogStore = (*Store)(nil)

// Open opens or creates the log in o.Dir and reads through it once.
func Open(o Options) (*Store, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if err := settleSalvage(&o); err != nil {
		return nil, err
	}
	s, err := open(o)
	if !errors.Is(err, ErrDamaged) || o.OnDamage == nil {
		return s, err
	}
	if _, ok := o.FS.(osFS); !ok {
		return nil, err
	}
	if err := o.OnDamage(err); err != nil {
		return nil, err
	}
	if err := salvage(&o); err != nil {
		return nil, fmt.Errorf("logstore: saving what is sound of the log in %s: %w", o.Dir, err)
	}
	return open(o)
}

func open(o Options) (s *Store, err error) {
	defer damaged(o.Dir, &err)
	b, err := openBackend(o)
	if err != nil {
		return nil, fmt.Errorf("logstore: opening the log in %s: %w", o.Dir, asDamage(err))
	}
	s = &Store{o: o, backend: b}
	s.mu.ahead.moved = sync.NewCond(&s.mu.Mutex)
	if err := s.scan(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

// damaged makes an error of a panic: bbolt's answer to a file that is not as it wrote
// it. What it had locked stays locked, for this process and this file.
func damaged(dir string, err *error) {
	if r := recover(); r != nil {
		*err = damage(fmt.Errorf("a file in %s is damaged: %v", dir, r))
	}
}

// scan fills the table and checks that the log has no gap and that its terms
// never fall.
func (s *Store) scan() error {
	// A reference out of a damaged bolt file would end the process otherwise.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	first, err := s.backend.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.backend.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	var term uint64
	for i := first; i <= last; i++ {
		var l raft.Log
		err := s.backend.GetLog(i, &l)
		if err == nil {
			err = unseal(i, &l)
		}
		if errors.Is(err, errUnsealed) {
			return err
		}
		if err != nil {
			return damage(fmt.Errorf("log entry %d of [%d, %d] cannot be read: %w", i, first, last, err))
		}
		if l.Term < term {
			return damage(fmt.Errorf("entry %d is of term %d after term %d", i, l.Term, term))
		}
		term = l.Term
		s.mu.table.add(&l)
	}
	return nil
}

// Close closes the files. No other method may be running or follow.
func (s *Store) Close() error {
	s.settle()
	return s.backend.Close()
}

// FirstIndex returns the first index of the log, 0 if it is empty.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.table.sizes) == 0 {
		return 0, nil
	}
	return s.mu.table.first, nil
}

// LastIndex returns the last index of the log, 0 if it is empty.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.table.last(), nil
}

// GetLog reads an entry. Its Data is shared and must not be changed.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	s.mu.Lock()
	t := &s.mu.table
	ok := len(t.sizes) > 0 && index >= t.first && index <= t.last()
	hit := ok && (s.mu.cache.get(index, l) || s.mu.ahead.get(index, l))
	s.mu.Unlock()
	if !ok {
		return raft.ErrLogNotFound
	}
	if hit {
		return nil
	}
	err := s.backend.GetLog(index, l)
	if err == nil {
		err = unseal(index, l)
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	t = &s.mu.table
	gone := len(t.sizes) == 0 || index < t.first || index > t.last()
	s.mu.Unlock()
	if gone { // it was deleted meanwhile
		return raft.ErrLogNotFound
	}
	// Nothing is stored any more: the next Open finds the damage.
	return s.fail(damage(fmt.Errorf("log entry %d cannot be read: %w", index, err)))
}

// StoreLog appends one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// await waits while a simulated disk hangs.
func (s *Store) await() {
	if d, ok := s.o.FS.(Disk); ok {
		d.Await()
	}
}

// StoreLogs appends entries and returns when they are synced.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.Drain(); err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.checkAppend(logs); err != nil {
		return s.fail(err)
	}
	if _, err := s.put(logs); err != nil {
		return err
	}
	s.o.OnStore(logs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(logs)
	return nil
}

// checkAppend holds the log to be contiguous. An empty one may begin anywhere.
func (s *Store) checkAppend(logs []*raft.Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failed != nil {
		return failedBefore(s.mu.failed)
	}
	next := s.mu.table.last() + 1
	if next == 1 {
		next = logs[0].Index
	}
	for _, l := range logs {
		if l.Index != next {
			return fmt.Errorf("%w: entry %d appended where %d is due", ErrIntegrity, l.Index, next)
		}
		next++
	}
	return nil
}

// failedBefore is the error of whoever comes after the write that failed with err.
func failedBefore(err error) error { return fmt.Errorf("%w: %w", ErrFailed, err) }

// fail makes the first error of a write the last word.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	first := s.mu.failed == nil
	if first {
		s.mu.failed = err
	}
	s.mu.Unlock()
	if first {
		s.mu.ahead.moved.Broadcast()
		s.o.OnFailure(err)
	}
	return err
}

// DeleteRange deletes a suffix of the log as asked, or a prefix as far as it
// is allowed.
func (s *Store) DeleteRange(lo, hi uint64) error {
	if last, _ := s.LastIndex(); hi >= last { // of the end; compaction does not wait
		if err := s.Drain(); err != nil {
			return err
		}
	}
	s.await()
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	failed, first, last := s.mu.failed, s.mu.table.first, s.mu.table.last()
	s.mu.Unlock()
	switch {
	case failed != nil:
		return failedBefore(failed)
	case last == 0 || lo > hi || lo > last || hi < first:
		return nil
	case hi >= last:
		return s.deleteTail(lo, last)
	case lo > first:
		return s.fail(fmt.Errorf("%w: deletion of [%d, %d] inside of [%d, %d]", ErrIntegrity, lo, hi, first, last))
	}
	return s.compact(hi)
}

func (s *Store) deleteTail(lo, last uint64) error {
	if c := s.o.Committed(); lo <= c {
		return s.fail(fmt.Errorf("%w: entries from %d on were to be deleted, %d is committed", ErrIntegrity, lo, c))
	}
	// Readers must not see the entries any more before they are gone.
	s.mu.Lock()
	s.mu.cache.clear()
	s.mu.table.cutTail(lo)
	s.mu.Unlock()
	s.o.OnTruncate(lo)
	if err := s.backend.DeleteRange(lo, last); err != nil {
		return s.fail(fmt.Errorf("logstore: deleting entries %d to %d: %w", lo, last, err))
	}
	return nil
}

func (s *Store) deleteHead(first, hi uint64) error {
	if hi < first {
		return nil
	}
	s.mu.Lock()
	s.mu.cache.clear()
	s.mu.table.cutHead(hi)
	s.mu.Unlock()
	if err := s.backend.DeleteRange(first, hi); err != nil {
		return s.fail(fmt.Errorf("logstore: deleting entries %d to %d: %w", first, hi, err))
	}
	return nil
}

// Reset empties a log that ends before the entry at to, because a state was
// installed that has the effects of all entries up to there. The next append
// may begin anywhere.
func (s *Store) Reset(to uint64) error {
	if err := s.Drain(); err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	failed, first, last := s.mu.failed, s.mu.table.first, s.mu.table.last()
	s.mu.Unlock()
	switch {
	case failed != nil:
		return failedBefore(failed)
	case last == 0:
		return nil
	case last >= to:
		return s.fail(fmt.Errorf("%w: the log up to %d was to be dropped for a state at %d", ErrIntegrity, last, to))
	}
	return s.deleteHead(first, last)
}

// Term returns the term of an entry of the log.
func (s *Store) Term(index uint64) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.table.term(index)
}

// Visible maps an index down to the last entry at or below it that a state
// machine is given: no-ops and barriers stay inside of hashicorp/raft.
func (s *Store) Visible(index uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.table.visible(index)
}

// Bytes returns the payload bytes of the whole log.
func (s *Store) Bytes() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.table.bytes
}

// Appended returns the payload bytes that were stored since Open.
func (s *Store) Appended() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.appended
}
