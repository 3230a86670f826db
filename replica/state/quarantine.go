package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
)

// quarantineFile says in a state's directory that the state is not to be used.
// It lies within the directory, so that a good state that takes the directory's place
// ends the quarantine in the same moment, and a crash between the two cannot be.
const quarantineFile = "quarantined.json"

// maxQuarantineFile bounds what is read of it.
const maxQuarantineFile = 64 << 10

// Cause says why a copy is in quarantine.
type Cause string

// The causes.
const (
	// CauseUnreadable: a read or apply met a record that is not what was written.
	CauseUnreadable Cause = "unreadable"
	// CauseScan: the records do not sum up to the digest that apply kept.
	CauseScan Cause = "scan"
	// CauseReplay: the log, applied once more to an older copy that both nodes had
	// agreed on, leads to another state.
	CauseReplay Cause = "replay"
	// CauseUnopened: the copy could not be opened, and an empty one is in its place.
	CauseUnopened Cause = "unopened"
	// CauseLost: the copy is older than what this node's own log goes on from.
	CauseLost Cause = "lost"
	// CauseUndecided: the two copies differ, and nothing showed which one is wrong.
	CauseUndecided Cause = "undecided"
)

// Damaged reports that the copy is known to be wrong, so that it may be replaced.
func (c Cause) Damaged() bool { return c != CauseUndecided }

// Quarantine says why a copy is not used.
type Quarantine struct {
	Cause  Cause  `json:"cause"`
	Detail string `json:"detail"` // for people
	Index  uint64 `json:"index"`  // that was applied
}

// ReadQuarantine returns why the state in dir is in quarantine, or nil if it is
// not. A file that does not decode stands for a quarantine too.
func ReadQuarantine(dir string, o Options) (*Quarantine, error) {
	fs := o.withDefaults().FS
	f, err := fs.Open(fs.PathJoin(dir, quarantineFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: quarantine of %s: %w", dir, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxQuarantineFile))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("state: quarantine of %s: %w", dir, err)
	}
	var q Quarantine
	if err := json.Unmarshal(b, &q); err != nil || q.Cause == "" {
		return &Quarantine{Cause: CauseUndecided, Detail: "the file " + quarantineFile + " does not decode"}, nil
	}
	return &q, nil
}

// WriteQuarantine puts the state in dir into quarantine, durably.
func WriteQuarantine(dir string, o Options, q Quarantine) error {
	fs := o.withDefaults().FS
	b, err := json.MarshalIndent(q, "", "  ")
	if err != nil {
		return err
	}
	path := fs.PathJoin(dir, quarantineFile)
	if err := writeSynced(fs, path+".new", b); err != nil {
		return fmt.Errorf("state: quarantine of %s: %w", dir, err)
	}
	if err := errors.Join(fs.Rename(path+".new", path), syncDir(fs, dir)); err != nil {
		return fmt.Errorf("state: quarantine of %s: %w", dir, err)
	}
	return nil
}

// ClearQuarantine ends the quarantine of the state in dir, by the word of an operator.
func ClearQuarantine(dir string, o Options) error {
	fs := o.withDefaults().FS
	err := fs.Remove(fs.PathJoin(dir, quarantineFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("state: quarantine of %s: %w", dir, err)
	}
	return syncDir(fs, dir)
}

func writeSynced(fs pebblevfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, pebblevfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(fs pebblevfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
