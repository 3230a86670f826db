package state

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
)

// Options tune a State. The zero value is usable.
type Options struct {
	// FS is the file system below; nil is the operating system's. Tests use
	// one in memory that can crash.
	FS pebblevfs.FS
	// Logger gets the store's events; nil is slog.Default.
	Logger *slog.Logger
	// CacheBytes bounds the cache of stored blocks. Default 128 MiB.
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory before it is written
	// out. Up to four times this much may be held. Default 64 MiB.
	MemTableBytes uint64
	// InodeCache bounds the inodes kept decoded, about 300 bytes each.
	// Default 65,536.
	InodeCache int
	// NameCacheBytes bounds the directory entries kept decoded, some 200 bytes
	// each. Default 32 MiB.
	NameCacheBytes int
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = pebblevfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 128 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.InodeCache <= 0 {
		o.InodeCache = 1 << 16
	}
	if o.NameCacheBytes <= 0 {
		o.NameCacheBytes = 32 << 20
	}
	return o
}

// heldMemTables is how many memory tables there are at almost all times: one that takes changes, and one that is being written out
// or is kept for reuse. Pebble takes what they hold off its cache (newMemTable in db.go), which would leave no cache where
// it is small beside them.
const heldMemTables = 2

// pebbleOptions chooses what Pebble leaves open. The log is the WAL. The store
// format is pinned, so that an upgrade of the library does not raise it by
// itself. Compression is the library's fastest profile on all levels: file data
// is often compressed already, records are small, and the disk of a data node
// is seldom the scarcest thing.
func (o Options) pebbleOptions(f *failure) *pebble.Options {
	p := &pebble.Options{
		FS:                          o.FS,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		CacheSize:                   o.CacheBytes + heldMemTables*int64(o.MemTableBytes),
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               256 << 20,
		MaxOpenFiles:                512,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      logger{o.Logger},
	}
	p.EventListener = events(o.Logger, f)
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return p
}

// logger passes Pebble's messages on. Its Infof speaks of every flush and
// compaction, so that is Debug.
type logger struct{ *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.Debug("store", "msg", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.Error("store", "err", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble calls it when it cannot go on without risk to
// the data. A panic in its goroutine ends the process, and the log replays.
func (l logger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.Error("store cannot go on", "err", msg)
	panic("state: store cannot go on: " + msg)
}

// events reports what an operator must know of.
func events(l *slog.Logger, f *failure) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: f.set,
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			l.Error("store corruption", "file", i.Path, "err", i.Details.Error())
		},
		DiskSlow: func(i pebble.DiskSlowInfo) {
			l.Warn("store disk slow", "file", i.Path, "took", i.Duration)
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) { l.Warn("store write stall", "reason", i.Reason) },
		WriteStallEnd:   func() { l.Info("store write stall over") },
	}
}
