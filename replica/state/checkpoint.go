package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
)

// Checkpoint makes a copy of the state in dir, which takes the place of what is
// there. It shares the files of the store, so that it takes next to no time and no
// space; what the store replaces later is kept for it. The copy is of an entry up to
// which all was applied during the call.
func (s *State) Checkpoint(dir string) error {
	const op = "state.Checkpoint"
	if err := s.Flush(); err != nil {
		return err
	}
	if _, _, err := s.use(); err != nil {
		return err
	}
	defer s.users.Done()
	if err := s.opts.FS.RemoveAll(dir); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := s.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("%s: %w", op, asCorrupt(err))
	}
	return nil
}

// LinkCopy makes a copy of a state that is not open. Tables, which are never
// changed, are shared; whatever else there is, is copied.
func LinkCopy(from, to string, o Options) error {
	fs := o.withDefaults().FS
	if err := fs.RemoveAll(to); err != nil {
		return err
	}
	names, err := fs.List(from)
	if err != nil {
		return err
	}
	if err := fs.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		src, dst := fs.PathJoin(from, name), fs.PathJoin(to, name)
		switch ext := filepath.Ext(name); {
		case name == quarantineFile || name == "LOCK":
			continue
		case ext == ".sst" || ext == ".blob":
			err = fs.Link(src, dst)
		default:
			err = pebblevfs.Copy(fs, src, dst)
		}
		if err != nil {
			return err
		}
	}
	return syncDir(fs, to)
}

// RemoveCopy removes a copy of a state.
func RemoveCopy(dir string, o Options) error { return o.withDefaults().FS.RemoveAll(dir) }

// MoveCopy gives a copy another name, in place of what is there.
func MoveCopy(from, to string, o Options) error {
	fs := o.withDefaults().FS
	if err := fs.RemoveAll(to); err != nil {
		return err
	}
	if err := fs.Rename(from, to); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(to))
}

// Exists reports whether there is a copy.
func Exists(dir string, o Options) (bool, error) {
	_, err := o.withDefaults().FS.Stat(dir)
	if errors.Is(err, os.ErrNotExist) { // which Pebble wraps
		return false, nil
	}
	return err == nil, err
}
