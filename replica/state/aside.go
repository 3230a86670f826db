package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/replica/vfs"
)

// asideSuffix is of a state that could not be opened. One is kept.
const asideSuffix = ".damaged"

// sizeMismatch is what Pebble says of a table that is longer or shorter than its
// manifest has it (checkConsistency in its open.go). It has no error of its own
// for that; a test fails if the words change.
const sizeMismatch = "object size mismatch"

// openStore opens the store in dir. vfs.ErrCorrupt says that its files are not what
// was written. What a person, another process or another program has to do with
// (rights, a lock, a full disk, a newer format) and what the device does not read at
// all is another error: a copy is not given up for that.
func openStore(dir string, o Options, f *failure) (*pebble.DB, error) {
	exists, err := storeExists(dir, o.FS)
	if err != nil {
		return nil, asDamage(err, exists)
	}
	db, err := pebble.Open(dir, o.pebbleOptions(f))
	return db, asDamage(err, exists)
}

// storeExists reports that dir holds a store. Pebble would make a new one in a
// directory that lost the file which names its manifest, and delete the tables.
func storeExists(dir string, fs pebblevfs.FS) (bool, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return true, err
	}
	rest := slices.IndexFunc(names, func(n string) bool {
		return strings.HasPrefix(n, "MANIFEST-") || strings.HasSuffix(n, ".sst") || strings.HasSuffix(n, ".blob")
	})
	if !desc.Exists && rest >= 0 {
		return true, fmt.Errorf("%w: there is %s, and nothing names the store's manifest", vfs.ErrCorrupt, names[rest])
	}
	return desc.Exists, nil
}

// asDamage marks what shows that the files of a store are not what was written.
func asDamage(err error, exists bool) error {
	switch {
	case err == nil || errors.Is(err, vfs.ErrCorrupt):
		return err
	case pebble.IsCorruptionError(err),
		exists && errors.Is(err, os.ErrNotExist),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), sizeMismatch):
		return fmt.Errorf("%w: %w", vfs.ErrCorrupt, err)
	}
	return err
}

// SetAside puts an empty state in quarantine into the place of one that cannot be
// opened, which is kept under the name that is returned. It takes the place of
// one that was kept before, unless it is itself such an empty state: that is worth
// nothing. After a crash at any moment Open finds one of the two.
func SetAside(dir string, o Options, why error) (kept string, err error) {
	const op = "state.SetAside"
	o = o.withDefaults()
	if err := DiscardStage(dir, o); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	kept = dir + asideSuffix
	q := Quarantine{Cause: CauseUnopened, Detail: fmt.Sprintf("%v; what there was is kept in %s", why, kept)}
	empty, err := isPlaceholder(dir, o)
	if err == nil {
		err = makePlaceholder(dir+tempSuffix, o, q)
	}
	if err == nil {
		err = rename(o.FS, dir+tempSuffix, dir+readySuffix)
	}
	if err == nil && empty {
		err = o.FS.RemoveAll(dir)
	} else if err == nil {
		if err = o.FS.RemoveAll(kept); err == nil {
			err = rename(o.FS, dir, kept)
		}
	}
	if err == nil {
		err = settleSwap(dir, o.FS)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	return kept, nil
}

// isPlaceholder reports that the state in dir is one that SetAside has made.
func isPlaceholder(dir string, o Options) (bool, error) {
	q, err := ReadQuarantine(dir, o)
	return q != nil && q.Cause == CauseUnopened, err
}

// makePlaceholder makes an empty state in quarantine.
func makePlaceholder(dir string, o Options, q Quarantine) error {
	o.CacheBytes, o.MemTableBytes = stageCache, min(stageMemTable, o.MemTableBytes)
	s, err := Open(dir, o)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	return WriteQuarantine(dir, o, q)
}
