package logstore

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
)

// FS is where a WAL keeps its segments. The WAL's metadata and the bolt files
// are not behind it, unless it is a Disk: bbolt syncs by the number of an open file.
type FS interface {
	types.VFS
	// SyncDir makes what was created and deleted in a directory durable.
	SyncDir(dir string) error
	// Truncate sets the size of a file.
	Truncate(dir, name string, size int64) error
}

// Disk is an FS that holds what is in bolt files otherwise: a simulation needs
// all of it to fail at one moment. Whatever these stores are told is durable when
// they return.
type Disk interface {
	FS
	// Stable opens the store of term and vote.
	Stable() (KV, error)
	// Meta returns a new handle of the WAL's metadata.
	Meta() types.MetaStore
	// Await waits while the disk hangs. It is called before a change of the log
	// takes any lock: on virtual time (testing/synctest) nobody may wait for a
	// lock while its holder waits for time to pass.
	Await()
}

// osFS is the operating system's file system.
type osFS struct{ *fs.FS }

func (osFS) SyncDir(dir string) error { return syncPath(dir) }

func (osFS) Truncate(dir, name string, size int64) error {
	return os.Truncate(filepath.Join(dir, name), size)
}

// makeDir creates a directory and makes its name durable.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncPath(filepath.Dir(dir))
}

// syncPath syncs a file or a directory by its name.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// makeBolt makes an empty bolt file, if there is none, under another name first. bbolt
// takes a file that it began to write, and that lost a part of that with the power,
// for its own and damaged: the node would never start.
func makeBolt(dir, name string) error {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	begun := path + ".new"
	if err := os.Remove(begun); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b, err := bbolt.Open(begun, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	if err := errors.Join(b.Sync(), b.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(begun, path), syncPath(dir))
}
