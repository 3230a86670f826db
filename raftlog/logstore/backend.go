package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
)

func openBackend(o Options) (backend, error) {
	if err := checkOtherKind(o); err != nil {
		return nil, err
	}
	if o.Kind == Bolt {
		return openBoltLog(o.Dir)
	}
	return openWAL(o)
}

// openBolt opens or creates a bolt file. A process that was killed may have
// left the file, or its last transaction, without a sync; nothing may rest on
// it before it has one.
func openBolt(dir, name string) (*raftboltdb.BoltStore, error) {
	if err := makeBolt(dir, name); err != nil {
		return nil, err
	}
	if err := checkBolt(filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	b, err := raftboltdb.New(raftboltdb.Options{
		Path:        filepath.Join(dir, name),
		BoltOptions: &bbolt.Options{Timeout: lockTimeout},
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(b.Sync(), syncPath(dir)); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func openWAL(o Options) (backend, error) {
	dir := filepath.Join(o.Dir, "wal")
	if _, ok := o.FS.(Disk); !ok {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
	}
	if _, ok := o.FS.(osFS); ok {
		if err := checkBolt(filepath.Join(dir, metadb.FileName)); err != nil {
			return nil, err
		}
	}
	if err := repairWAL(o.FS, dir, o.SegmentBytes); err != nil {
		return nil, err
	}
	// The WAL leaves the metadata open, and locked, if it cannot be opened.
	meta := newMeta(o.FS)
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithSegmentFiler(segment.NewFiler(dir, o.FS)),
		wal.WithSegmentSize(o.SegmentBytes), wal.WithLogger(o.Logger))
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	return w, nil
}

// newMeta returns a handle of the WAL's metadata.
func newMeta(fsys FS) types.MetaStore {
	if d, ok := fsys.(Disk); ok {
		return d.Meta()
	}
	return &metadb.BoltMetaDB{}
}

// checkOtherKind refuses to begin an empty log beside one of another kind.
func checkOtherKind(o Options) error {
	other := filepath.Join(o.Dir, "log.db")
	if o.Kind == Bolt {
		other = filepath.Join(o.Dir, "wal")
	}
	if _, err := os.Stat(other); err == nil {
		return fmt.Errorf("%s exists: this log was written as another kind than %q", other, o.Kind)
	}
	return nil
}
