package state

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// Staged returns index and term of the state that is ready beside the one in dir,
// zero if there is none. It reads from disk.
func Staged(dir string, o Options) (index, term uint64, err error) {
	o = o.withDefaults()
	if !exists(o.FS, dir+readySuffix) {
		return 0, 0, nil
	}
	p := o.pebbleOptions(newFailure(o.Logger))
	p.ReadOnly = true
	db, err := pebble.Open(dir+readySuffix, p)
	if err != nil {
		return 0, 0, fmt.Errorf("state.Staged: %w", asCorrupt(err))
	}
	d, err := readDigests(db)
	return d.Index, d.Term, errors.Join(err, db.Close())
}

// Install puts the state that is ready beside this one into its place. Apply must
// not be running; reads wait, which takes as long as Open does, and then see the
// new state. What was applied to the old one is lost. After a crash at any moment
// Open finds one of the two. ErrNotStaged says that nothing was done; after any
// other error the State is closed.
func (s *State) Install() error { return s.replace("state.Install", (*State).closeSound) }

// Replace is Install for an old state that is known to be damaged: whether it can
// still be written out and closed does not matter.
func (s *State) Replace() error { return s.replace("state.Replace", (*State).closeDamaged) }

func (s *State) closeSound() error {
	if err := s.Failure(); err != nil {
		return err
	}
	return asCorrupt(s.db.Close())
}

// damagedClose bounds the end of a damaged store: one that cannot write out what it
// has in memory never ends.
const damagedClose = 20 * time.Second

func (s *State) closeDamaged() error {
	done := make(chan error, 1)
	db := s.db
	go func() { done <- db.Close() }()
	select {
	case err := <-done:
		if err != nil {
			s.opts.Logger.Warn("closing a damaged store", "err", err)
		}
		return nil
	case <-time.After(damagedClose):
		return errors.New("the damaged store does not end: the process has to be started again")
	}
}

func (s *State) replace(op string, closeOld func(*State) error) error {
	if !exists(s.opts.FS, s.dir+readySuffix) {
		return fmt.Errorf("%s: %w", op, ErrNotStaged)
	}
	s.closing.Store(true) // ends long scans
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return vfs.ErrShutdown
	}
	s.users.Wait()
	if err := s.replaceLocked(closeOld); err != nil {
		s.mu.closed = true
		return fmt.Errorf("%s: %w", op, err)
	}
	s.closing.Store(false)
	return nil
}

func (s *State) replaceLocked(closeOld func(*State) error) error {
	if err := closeOld(s); err != nil {
		return err
	}
	fs := s.opts.FS
	if err := fs.RemoveAll(s.dir + oldSuffix); err != nil {
		return err
	}
	if err := rename(fs, s.dir, s.dir+oldSuffix); err != nil {
		return err
	}
	if err := settleSwap(s.dir, fs); err != nil {
		return err
	}
	failure := newFailure(s.opts.Logger)
	db, err := openStore(s.dir, s.opts, failure)
	if err != nil {
		return err
	}
	s.db = db
	s.failure.Store(failure)
	s.broken = nil // what Apply met was in the old one
	s.cache.Purge()
	s.names.purge()
	s.calls = duplicate.New()
	exports, members := s.mu.exportsChanged, s.mu.membersChanged
	s.mu.super, s.mu.tables = super{}, tables{}
	if err := s.load(); err != nil {
		return errors.Join(err, db.Close())
	}
	close(exports) // whoever watches the tables looks again
	close(members)
	return nil
}

// WakeTables has whoever watches the tables look at them again.
func (s *State) WakeTables() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.mu.exportsChanged)
	close(s.mu.membersChanged)
	s.mu.exportsChanged, s.mu.membersChanged = make(chan struct{}), make(chan struct{})
}

// ErrNotStaged is returned if no state is ready to be installed.
var ErrNotStaged = errors.New("no state is ready to be installed")

// settleSwap ends a swap that was begun: the state is in one of its two places.
func settleSwap(dir string, fs pebblevfs.FS) error {
	switch {
	case exists(fs, dir):
	case exists(fs, dir+readySuffix):
		if err := rename(fs, dir+readySuffix, dir); err != nil {
			return err
		}
	case exists(fs, dir+oldSuffix):
		if err := rename(fs, dir+oldSuffix, dir); err != nil {
			return err
		}
	default:
		return nil // a new directory
	}
	if exists(fs, dir+oldSuffix) {
		return fs.RemoveAll(dir + oldSuffix)
	}
	return nil
}

// DiscardStage removes what is staged beside the state in dir, complete or not.
func DiscardStage(dir string, o Options) error {
	fs := o.withDefaults().FS
	for _, suffix := range []string{tempSuffix, stageSuffix, readySuffix} {
		if exists(fs, dir+suffix) {
			if err := fs.RemoveAll(dir + suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

func exists(fs pebblevfs.FS, path string) bool {
	_, err := fs.Stat(path)
	return err == nil
}

// rename is durable when it returns.
func rename(fs pebblevfs.FS, from, to string) error {
	if err := fs.Rename(from, to); err != nil {
		return err
	}
	d, err := fs.OpenDir(fs.PathDir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
