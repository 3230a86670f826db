package replica

import (
	"encoding/binary"
	"fmt"
	"slices"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// Format of a log entry; doc.go has it.
const (
	entryVersion = 1
	// entryHeader is the version, the term and the number of keys.
	entryHeader = 1 + 8 + 4
	// maxEntryKeys bounds the keys of an entry: those of a full batch of RENAMEs,
	// with two names, two directories and two inodes each, fit.
	maxEntryKeys = 6 * command.MaxBatchOps
	// allKeys in place of a number of keys says that the entry may alter anything.
	allKeys = 1<<32 - 1
)

var be = binary.BigEndian

// touchedKeys is what a log entry may alter.
type touchedKeys struct {
	all  bool
	keys []key
}

// appendEntry builds a log entry of commands that were handed over under term
// and may alter what t says. It sorts t's keys and drops repeated ones, in place.
func appendEntry(dst []byte, term uint64, t touchedKeys, encs [][]byte) []byte {
	slices.Sort(t.keys)
	keys := slices.Compact(t.keys)
	dst = slices.Grow(dst, entrySize(len(keys), encs))
	dst = be.AppendUint64(append(dst, entryVersion), term)
	if t.all || len(keys) > maxEntryKeys {
		dst = be.AppendUint32(dst, allKeys)
	} else {
		dst = be.AppendUint32(dst, uint32(len(keys)))
		for _, k := range keys {
			dst = be.AppendUint64(dst, k)
		}
	}
	return command.AppendBatch(dst, encs)
}

// entrySize is what an entry takes at most.
func entrySize(keys int, encs [][]byte) int {
	total := 0
	for _, enc := range encs {
		total += len(enc)
	}
	return entryHeader + 8*keys + command.BatchSize(len(encs), total)
}

// decodeEntry is the inverse of appendEntry, without the keys.
func decodeEntry(b []byte) (term uint64, cmds []command.Command, err error) {
	_, _, batch, err := splitEntry(b)
	if err != nil {
		return 0, nil, err
	}
	cmds, err = command.DecodeBatch(batch)
	return be.Uint64(b[1:]), cmds, err
}

// entryTouches returns what the entry b may alter. What does not decode may alter
// anything: apply stops there.
func entryTouches(b []byte) touchedKeys {
	raw, all, _, err := splitEntry(b)
	if err != nil || all {
		return touchedKeys{all: true}
	}
	t := touchedKeys{keys: make([]key, len(raw)/8)}
	for i := range t.keys {
		t.keys[i] = be.Uint64(raw[8*i:])
	}
	return t
}

// splitEntry returns the bytes of the keys, or that they are all keys, and of the
// batch.
func splitEntry(b []byte) (keys []byte, all bool, batch []byte, err error) {
	switch {
	case len(b) < entryHeader:
		return nil, false, nil, fmt.Errorf("%w: log entry of %d bytes", vfs.ErrCorrupt, len(b))
	case b[0] != entryVersion:
		return nil, false, nil, fmt.Errorf("%w: log entry of format version %d, this program reads %d", command.ErrUnknown, b[0], entryVersion)
	}
	n := be.Uint32(b[entryHeader-4:])
	rest := b[entryHeader:]
	switch {
	case n == allKeys:
		return nil, true, rest, nil
	case n > maxEntryKeys || len(rest) < 8*int(n):
		return nil, false, nil, fmt.Errorf("%w: log entry of %d bytes with %d keys", vfs.ErrCorrupt, len(b), n)
	}
	return rest[:8*n], false, rest[8*n:], nil
}
