package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"runtime/debug"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// endIndex is the index of a record that is written with each append, and says what
// the last entry is: a bolt file has no checksums, and what is missing at its end
// would be missed by nobody. The record's data are two numbers: the last entry is
// one of them. They differ while the log's end is being deleted.
const endIndex = math.MaxUint64

// boltLog is a log in a bolt file.
type boltLog struct {
	*raftboltdb.BoltStore
	last uint64
}

func openBoltLog(dir string) (_ backend, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err := openBolt(dir, "log.db")
	if err != nil {
		return nil, err
	}
	b := &boltLog{BoltStore: db}
	if b.last, err = b.end(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return b, nil
}

// end reads what the last entry is.
func (b *boltLog) end() (uint64, error) {
	first, err := b.BoltStore.FirstIndex()
	if err != nil || first == 0 {
		return 0, err
	}
	var l raft.Log
	if err := b.GetLog(endIndex, &l); err != nil {
		if err := b.GetLog(first, &l); err == nil && errors.Is(unseal(first, &l), errUnsealed) {
			return 0, errUnsealed
		}
		return 0, damage(fmt.Errorf("the record of the log's end: %w", err))
	}
	if err := unseal(endIndex, &l); err != nil || len(l.Data) != 16 {
		return 0, damage(fmt.Errorf("the record of the log's end is wrong: %v", err))
	}
	low, high := binary.BigEndian.Uint64(l.Data), binary.BigEndian.Uint64(l.Data[8:])
	if low != high && b.GetLog(high, &l) != nil {
		return low, nil
	}
	return high, nil
}

func endRecord(low, high uint64) *raft.Log {
	data := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, low), high)
	return seal(&raft.Log{Index: endIndex, Data: data})
}

// FirstIndex returns the first entry, 0 if there is none.
func (b *boltLog) FirstIndex() (uint64, error) {
	first, err := b.BoltStore.FirstIndex()
	if first == endIndex || b.last == 0 {
		first = 0
	}
	return first, err
}

// LastIndex returns the last entry, 0 if there is none.
func (b *boltLog) LastIndex() (uint64, error) { return b.last, nil }

// StoreLogs appends entries in one transaction.
func (b *boltLog) StoreLogs(logs []*raft.Log) error {
	last := logs[len(logs)-1].Index
	if err := b.BoltStore.StoreLogs(append(logs[:len(logs):len(logs)], endRecord(last, last))); err != nil {
		return err
	}
	b.last = last
	return nil
}

// StoreLog appends one entry.
func (b *boltLog) StoreLog(l *raft.Log) error { return b.StoreLogs([]*raft.Log{l}) }

// DeleteRange deletes the beginning or the end of the log.
func (b *boltLog) DeleteRange(lo, hi uint64) error {
	if hi < b.last {
		return b.BoltStore.DeleteRange(lo, hi)
	}
	first, err := b.FirstIndex()
	if err != nil {
		return err
	}
	low := lo - 1
	if lo <= first {
		low = 0
	}
	if err := b.BoltStore.StoreLogs([]*raft.Log{endRecord(low, b.last)}); err != nil {
		return err
	}
	if err := b.BoltStore.DeleteRange(lo, b.last); err != nil {
		return err
	}
	b.last = low
	return nil
}

// The places in the two meta pages of a bolt file (bbolt, internal/common/meta.go).
const (
	boltMetaAt   = 16 // behind the header of the page
	boltMetaSum  = 56 // the bytes that the checksum behind them covers
	boltPageSize = 8  // where in the meta the size of a page is
)

// checkBolt tells whether both meta pages of a bolt file are whole. bbolt goes on with one,
// which may be the older one: the last change would be lost in silence. A meta page is
// written within one sector, so that no loss of power tears it.
func checkBolt(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	var size int64
	for page := range int64(2) {
		var b [boltMetaAt + boltMetaSum + 8]byte
		if _, err := f.ReadAt(b[:], page*size); err == io.EOF {
			return damage(fmt.Errorf("%s is cut off", path))
		} else if err != nil {
			return asDamage(err)
		}
		h := fnv.New64a()
		h.Write(b[boltMetaAt : boltMetaAt+boltMetaSum]) // never fails
		if h.Sum64() != binary.LittleEndian.Uint64(b[boltMetaAt+boltMetaSum:]) {
			return damage(fmt.Errorf("meta page %d of %s is wrong", page, path))
		}
		size = int64(binary.LittleEndian.Uint32(b[boltMetaAt+boltPageSize:]))
	}
	return nil
}
