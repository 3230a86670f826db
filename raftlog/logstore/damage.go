package logstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
)

// A log that is damaged is not repaired in place. What is sound of it, from its
// beginning up to the first entry that is not, is copied into a new log, and that
// takes the place of the damaged one, which stays beside it under another name.
const (
	salvagedSuffix = ".salvaged" // a copy in the making
	damagedSuffix  = ".damaged"  // what was set aside
)

// salvageBatch bounds the entries that are copied in one append.
const salvageBatch = 64

// ErrDamaged is in an error about bytes that are not what was written, and that no
// unfinished write explains.
var ErrDamaged = fmt.Errorf("%w: damaged", ErrIntegrity)

func damage(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// asDamage tells the errors of the stores below that are about bytes from those
// about circumstances, such as a file lock or permissions.
func asDamage(err error) error {
	for _, is := range []error{
		types.ErrCorrupt, os.ErrNotExist, io.EOF, io.ErrUnexpectedEOF, syscall.EIO,
	} {
		if errors.Is(err, is) {
			return damage(err)
		}
	}
	return err
}

// logPath is the file or directory of a log.
func logPath(o *Options) string {
	if o.Kind == Bolt {
		return filepath.Join(o.Dir, "log.db")
	}
	return filepath.Join(o.Dir, "wal")
}

// settleSalvage brings a replacement that a crash interrupted to its end. The
// copy is complete if the log itself is gone.
func settleSalvage(o *Options) error {
	if _, ok := o.FS.(osFS); !ok {
		return nil
	}
	path := logPath(o)
	if _, err := os.Stat(path + salvagedSuffix); err != nil {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return errors.Join(os.Rename(path+salvagedSuffix, path), syncPath(o.Dir))
	}
	return os.RemoveAll(path + salvagedSuffix)
}

// salvage replaces a damaged log by what is sound of it.
func salvage(o *Options) error {
	path := logPath(o)
	tmp := *o
	tmp.Dir = path + salvagedSuffix + ".dir"
	if err := errors.Join(os.RemoveAll(tmp.Dir), os.RemoveAll(path+salvagedSuffix), os.MkdirAll(tmp.Dir, 0o700)); err != nil {
		return err
	}
	to, err := openBackend(tmp)
	if err != nil {
		return err
	}
	c := &copying{to: to}
	if o.Kind == Bolt {
		err = soundOfBolt(path, c.add)
	} else {
		err = soundOfWAL(o, path, c.add)
	}
	if errors.Is(err, ErrDamaged) {
		err = nil // the end of what is sound
	}
	if err = errors.Join(err, c.flush(), to.Close()); err != nil {
		return err
	}
	return errors.Join(
		os.Rename(logPath(&tmp), path+salvagedSuffix), syncPath(o.Dir), os.RemoveAll(tmp.Dir),
		os.RemoveAll(path+damagedSuffix), os.Rename(path, path+damagedSuffix), syncPath(o.Dir),
		os.Rename(path+salvagedSuffix, path), syncPath(o.Dir))
}

// Forget deletes what was set aside of a damaged log.
func (s *Store) Forget() error {
	return os.RemoveAll(logPath(&s.o) + damagedSuffix)
}

// copying writes sound entries into a new log.
type copying struct {
	to      backend
	pending []*raft.Log
	next    uint64
	term    uint64
}

// add takes an entry as it was stored, and fails at the first that is not the next
// one and sound.
func (c *copying) add(l *raft.Log) error {
	plain := *l
	if err := unseal(l.Index, &plain); err != nil {
		return damage(err)
	}
	if c.next != 0 && l.Index != c.next || l.Term < c.term {
		return damage(fmt.Errorf("entry %d of term %d is not the next one", l.Index, l.Term))
	}
	c.next, c.term = l.Index+1, l.Term
	c.pending = append(c.pending, l)
	if len(c.pending) < salvageBatch {
		return nil
	}
	return c.flush()
}

func (c *copying) flush() error {
	if len(c.pending) == 0 {
		return nil
	}
	err := c.to.StoreLogs(c.pending)
	c.pending = nil
	return err
}

// soundOfWAL reads the segments in the order of the metadata, from the beginning of
// the log. It reads a copy of the metadata: bbolt may not let go of a file
// that it found damaged.
func soundOfWAL(o *Options, dir string, add func(*raft.Log) error) (err error) {
	defer damaged(dir, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := checkBolt(filepath.Join(dir, metadb.FileName)); err != nil {
		return err
	}
	tmp := dir + ".meta"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700), copyFile(filepath.Join(dir, metadb.FileName), filepath.Join(tmp, metadb.FileName))); err != nil {
		return asDamage(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	db := &metadb.BoltMetaDB{}
	state, err := db.Load(tmp)
	if err = errors.Join(err, db.Close()); err != nil {
		return damage(err)
	}
	for _, info := range state.Segments {
		b, err := readSegment(o.FS, dir, info)
		if err != nil {
			return asDamage(err)
		}
		var stop error
		t := readTail(b, info, func(l *raft.Log) {
			sealed := !info.SealTime.IsZero()
			if stop == nil && l.Index >= info.MinIndex && (!sealed || l.Index <= info.MaxIndex) {
				stop = add(l)
			}
		})
		if stop != nil {
			return stop
		}
		if t.damage != nil {
			return damage(t.damage)
		}
		if t.unfinished && info.SealTime.IsZero() {
			return nil
		}
	}
	return nil
}

// soundOfBolt reads the entries of a copy of the file.
func soundOfBolt(path string, add func(*raft.Log) error) (err error) {
	defer damaged(path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := checkBolt(path); err != nil {
		return err
	}
	tmp := path + ".copy"
	if err := errors.Join(os.RemoveAll(tmp), copyFile(path, tmp)); err != nil {
		return asDamage(err)
	}
	defer os.Remove(tmp) // the next one removes it otherwise
	db, err := raftboltdb.New(raftboltdb.Options{Path: tmp, BoltOptions: &bbolt.Options{Timeout: lockTimeout}})
	if err != nil {
		return damage(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	first, err := db.FirstIndex()
	if err != nil {
		return damage(err)
	}
	for i := first; i > 0 && i < endIndex; i++ {
		var l raft.Log
		if err := db.GetLog(i, &l); err != nil {
			return damage(err)
		}
		if err := add(&l); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
