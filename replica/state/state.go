package state

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	lru "github.com/hashicorp/golang-lru/v2"

	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// FormatVersion is the version of the keys and records that this program
// reads and writes.
const FormatVersion = 5

// ErrFormat is returned by Open for a state of another format version.
var ErrFormat = errors.New("state format not supported")

// State is the state of one volume on one data node.
type State struct {
	dir   string
	opts  Options
	db    *pebble.DB
	cache *lru.Cache[vfs.Ino, *inode] // only of what is committed
	names *nameCache
	txn   *txn             // of the apply goroutine, reused
	calls *duplicate.Index // of the apply goroutine: what is remembered

	mounts *mountIndex // changed by the apply goroutine

	// mu makes caches, store and the fields below change as one. Apply holds
	// it for the commit of a batch, readers for one read.
	mu struct {
		sync.RWMutex
		super super
		tables
		applied, term uint64
		total         Digest   // of all replicated records
		buckets       []Digest // whose sum it is
		forced        uint64   // answers that went because of the limit, since Open
		hits          uint64   // calls that were answered with one, since Open
		closed        bool
	}

	durable struct {
		sync.Mutex
		index, term uint64
	}

	age, lastTime atomic.Int64 // of mu.super

	failure atomic.Pointer[failure] // of db
	closing atomic.Bool             // tells long scans to stop
	users   sync.WaitGroup          // of the store without the lock: Flush, ScanDigest
	broken  error                   // of the apply goroutine: why it stopped
}

// Open opens the state in dir and makes it if dir holds none.
func Open(dir string, o Options) (*State, error) {
	const op = "state.Open"
	o = o.withDefaults()
	cache, err := lru.New[vfs.Ino, *inode](o.InodeCache)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if err := settleSwap(dir, o.FS); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", op, dir, err)
	}
	failure := newFailure(o.Logger)
	db, err := openStore(dir, o, failure)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", op, dir, err)
	}
	s := &State{dir: dir, opts: o, db: db, cache: cache, names: newNameCache(o.NameCacheBytes), calls: duplicate.New()}
	s.failure.Store(failure)
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %s: %w", op, dir, err), db.Close())
	}
	s.txn = newTxn(s)
	return s, nil
}

// load reads what must be in memory. Nothing is written before the format is
// known to be ours.
func (s *State) load() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.halfBuilt(); err != nil {
		return err
	}
	d, err := readDigests(s.db)
	if err != nil {
		return err
	}
	s.mu.applied, s.mu.term, s.mu.total, s.mu.buckets = d.Index, d.Term, d.Total, d.Buckets
	// The WAL is off, so what Open finds is in files: it is durable.
	s.durable.Lock()
	s.durable.index, s.durable.term = s.mu.applied, s.mu.term
	s.durable.Unlock()
	if err := s.loadSuper(); err != nil {
		return err
	}
	s.setTimes()
	if err := s.loadAnswers(); err != nil {
		return err
	}
	return s.loadTables()
}

func (s *State) loadSuper() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableSuper}, UpperBound: []byte{tableSuper + 1}})
	if err != nil {
		return asCorrupt(err)
	}
	if it.First() {
		v, verr := it.ValueAndErr()
		if err = verr; err == nil {
			s.mu.super, err = decodeSuper(it.Key(), v)
		}
	}
	return errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}

// checkFormat compares the format version, and records it in a new state.
func (s *State) checkFormat() error {
	key := localKey(nil, localFormat)
	v, err := s.get(key)
	if err != nil {
		return err
	}
	if v == nil {
		return s.writeFormat(key)
	}
	if len(v) != 4 {
		return corrupt(key, "format record of %d bytes", len(v))
	}
	switch got := be.Uint32(v); {
	case got > FormatVersion:
		return fmt.Errorf("%w: it has format %d and this program reads %d; start a newer twofold", ErrFormat, got, FormatVersion)
	case got < FormatVersion:
		return fmt.Errorf("%w: it has format %d and this program reads %d; start the twofold that wrote it, or format the node anew and let it catch up", ErrFormat, got, FormatVersion)
	}
	return nil
}

// writeFormat makes a new state, if the store is empty.
func (s *State) writeFormat(key []byte) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return asCorrupt(err)
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return asCorrupt(err)
	}
	if !empty {
		return fmt.Errorf("%w: it has no format record; this directory holds something else", ErrFormat)
	}
	if err := s.db.Set(key, be.AppendUint32(nil, FormatVersion), pebble.NoSync); err != nil {
		return err
	}
	return s.db.Flush()
}

// Close makes what was applied durable and closes the store. Apply must not be
// running. Reads that began before finish; later ones get vfs.ErrShutdown.
func (s *State) Close() error {
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return nil
	}
	s.mu.closed = true
	index, term := s.mu.applied, s.mu.term
	s.mu.Unlock()
	s.closing.Store(true)
	s.users.Wait()
	err := s.flush(index, term)
	if s.Failure() != nil {
		return err // Pebble's Close would wait for a flush that never ends.
	}
	return errors.Join(err, s.db.Close())
}

// Flush makes everything that was applied before the call durable.
func (s *State) Flush() error {
	index, term, err := s.use()
	if err != nil {
		return err
	}
	defer s.users.Done()
	return s.flush(index, term)
}

// use keeps the store open until users.Done, for work that is too long to hold
// the lock, and returns what is applied at this moment.
func (s *State) use() (index, term uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return 0, 0, vfs.ErrShutdown
	}
	s.users.Add(1)
	return s.mu.applied, s.mu.term, nil
}

// flush writes out every batch that is in memory, which holds all entries up
// to index, and only then says so.
func (s *State) flush(index, term uint64) error {
	flushed, failure := make(chan error, 1), s.failure.Load()
	go func() { flushed <- s.db.Flush() }()
	select {
	case err := <-flushed:
		if err != nil {
			return fmt.Errorf("state.Flush: %w", asCorrupt(err))
		}
	case <-failure.done:
		return fmt.Errorf("state.Flush: %w", failure.err)
	}
	s.durable.Lock()
	defer s.durable.Unlock()
	if index > s.durable.index {
		s.durable.index, s.durable.term = index, term
	}
	return nil
}

// Applied returns index and term of the last entry whose effects are visible.
func (s *State) Applied() (index, term uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.applied, s.mu.term
}

// Durable returns index and term of the last entry whose effects surely
// survive a crash: what the last finished Flush or Open covers.
func (s *State) Durable() (index, term uint64) {
	s.durable.Lock()
	defer s.durable.Unlock()
	return s.durable.index, s.durable.term
}

// Stats returns the inodes in use and the bytes of file data stored.
func (s *State) Stats() (inodes, bytes uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.super.inodes, s.mu.super.bytes
}

// get returns a copy of a value, or nil.
func (s *State) get(key []byte) ([]byte, error) { return readRecord(s.db, key) }

// asCorrupt marks what Pebble calls corruption as ours.
func asCorrupt(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", vfs.ErrCorrupt, err)
	}
	return err
}
