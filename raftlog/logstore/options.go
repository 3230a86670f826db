package logstore

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/fs"
)

// Kind names an implementation of the log on disk.
type Kind string

// The kinds of log.
const (
	WAL  Kind = "wal"
	Bolt Kind = "boltdb"
)

// Limits and defaults.
const (
	DefaultSegmentBytes = 64 << 20
	minSegmentBytes     = 64 << 10
	maxSegmentBytes     = 1 << 30

	// lockTimeout is how long a second process waits for the first one's file
	// lock before it gives up with an error.
	lockTimeout = time.Second
	// cacheEntries and cacheBytes bound the cache of the log's tail. It holds the
	// largest message of a leader, whose entries a follower reads once more when they
	// are committed, and what gathers for a witness.
	cacheEntries = 2048
	cacheBytes   = 8 << 20
)

// ErrFailed is returned by every write after the first one that failed.
var ErrFailed = errors.New("logstore: an earlier write failed")

// ErrIntegrity is returned when the log would lose committed entries, or does
// not hold together.
var ErrIntegrity = errors.New("logstore: integrity")

// Options are the parameters of [Open].
type Options struct {
	Dir  string
	Kind Kind // WAL if empty
	// SegmentBytes is the size of a WAL segment; 64 MiB if zero.
	SegmentBytes int
	// FS is the file system below the WAL's segments; nil is the operating
	// system's. Tests use one in memory that loses power.
	FS FS
	// KeepBytes is how much of the log compaction leaves, at least.
	KeepBytes uint64
	// Tight tells that the disk is short of space: then only a part of KeepBytes
	// is left, and TightMaxBytes counts. nil means never.
	Tight func() bool
	// MaxBytes is how much of it compaction leaves at most, as far as Clamp
	// allows; zero for no bound.
	MaxBytes uint64
	// TightMaxBytes takes the place of MaxBytes while the disk is short of space,
	// if it is not zero.
	TightMaxBytes uint64
	// Clamp returns the highest index that nobody needs any more, and the highest
	// one that compaction may ever delete, MaxBytes or not. Without it nothing is
	// ever compacted.
	Clamp func() (free, may uint64)
	// Committed returns an index that is known to be committed: no suffix that
	// begins at or below it may be deleted.
	Committed func() uint64
	// OnAppend is told of every append: the payload bytes, and the time it
	// took with its sync.
	OnAppend func(bytes int, d time.Duration)
	// OnStore is told of entries that were just stored, before StoreLogs
	// returns, and OnTruncate of the first of a suffix that is being deleted. They
	// are called in the order of the changes to the log, and must not block.
	OnStore    func(logs []*raft.Log)
	OnTruncate func(from uint64)
	// OnWrite is told of the beginning of every write of entries, and calls what it
	// returns at its end.
	OnWrite func() (end func())
	// OnFailure is told, once, of the error after which nothing is stored.
	OnFailure func(error)
	// OnDamage is told of damage in the log that Open found, before anything of it is cut:
	// when it has returned nil, everything from that on is set aside. The node must not
	// vote any more then until its log was filled again (Lemma 16 of
	// docs/consistency.md). Without it Open refuses a damaged log.
	OnDamage func(reason error) error
	// Logger is for messages of the underlying store.
	Logger hclog.Logger
}

// tightPart is how much less of the log is kept while the disk is short of space.
const tightPart = 16

// Kept is how much of keep compaction leaves.
func Kept(keep uint64, tight bool) uint64 {
	if tight {
		return keep / tightPart
	}
	return keep
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("logstore: no directory")
	}
	if o.Kind == "" {
		o.Kind = WAL
	}
	if o.Kind != WAL && o.Kind != Bolt {
		return fmt.Errorf("logstore: unknown kind of log %q (known: %s, %s)", o.Kind, WAL, Bolt)
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes {
		return fmt.Errorf("logstore: segment size %d is not in [%d, %d]", o.SegmentBytes, minSegmentBytes, maxSegmentBytes)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = math.MaxUint64
	}
	if o.TightMaxBytes == 0 {
		o.TightMaxBytes = o.MaxBytes
	}
	if o.FS == nil {
		o.FS = osFS{fs.New()}
	}
	if o.Tight == nil {
		o.Tight = func() bool { return false }
	}
	if o.Clamp == nil {
		o.Clamp = func() (free, may uint64) { return 0, 0 }
	}
	if o.Committed == nil {
		o.Committed = func() uint64 { return 0 }
	}
	if o.OnAppend == nil {
		o.OnAppend = func(int, time.Duration) {}
	}
	if o.OnStore == nil {
		o.OnStore = func([]*raft.Log) {}
	}
	if o.OnTruncate == nil {
		o.OnTruncate = func(uint64) {}
	}
	if o.OnWrite == nil {
		o.OnWrite = func() func() { return func() {} }
	}
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return nil
}
