package state

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// The replicated tables beside the file system are small and bounded, so what
// readers want of them often is kept decoded. A table that is in memory is
// never changed: a change puts another one in its place.
type tables struct {
	exports        vfs.ExportTable
	exportsChanged chan struct{} // closed when exports is replaced
	members        []vfs.Member  // by name
	membersChanged chan struct{} // closed when members is replaced
}

// tableChanges are the changes of one log entry to the tables.
type tableChanges struct {
	exports      *vfs.ExportTable // the new table, if there is one
	members      []vfs.Member     // all members, if memberWrites is not empty
	memberWrites []memberWrite
	mountWrites  []mountWrite

	// written has the records of these tables that this txn has written, by
	// key; nil is one that it deleted.
	written map[string][]byte
}

// loadTables reads the tables into memory.
func (s *State) loadTables() error {
	s.mu.exportsChanged, s.mu.membersChanged = make(chan struct{}), make(chan struct{})
	s.mounts = newMountIndex()
	var err error
	if s.mu.exports, err = s.loadExports(); err != nil {
		return err
	}
	err = s.scan(tableMember, func(key, value []byte) error {
		m, err := decodeMember(key, value)
		s.mu.members = append(s.mu.members, m)
		return err
	})
	if err != nil {
		return err
	}
	return s.scan(tableMount, func(key, value []byte) error {
		e, err := decodeMount(key, value)
		if err == nil {
			s.mounts.add(e)
		}
		return err
	})
}

// scan calls f for each record of a table, in key order. The slices are valid
// during the call.
func (s *State) scan(table byte, f func(key, value []byte) error) error {
	return scanRange(s.db, []byte{table}, []byte{table + 1}, f)
}

// changeTable runs a command that is no change of the file system. It asks for
// no space: the tables are bounded, and an administrator must be able to change
// them when the disk is full. ok is false if op is no such command.
func (c *call) changeTable(op any) (r vfs.Result, ok bool) {
	switch op := op.(type) {
	case *command.SetExports:
		return c.setExports(op), true
	case *command.MountChange:
		return vfs.Result{Kind: c.changeMounts(op)}, true
	case *command.SetMember:
		return vfs.Result{Kind: c.setMember(&op.Member)}, true
	case *command.DropMember:
		c.dropMember(op)
		return vfs.Result{}, true
	default:
		return vfs.Result{}, false
	}
}

// fillTables writes the changes of this txn.
func (t *txn) fillTables(b *pebble.Batch) error {
	if err := t.fillExports(b); err != nil {
		return err
	}
	if err := t.fillMembers(b); err != nil {
		return err
	}
	return t.fillMounts(b)
}

// set writes a record of a table that seldom changes: what the record was is
// read, for the digest.
func (t *txn) set(b *pebble.Batch, key, value []byte) error {
	if err := t.replace(key, value); err != nil {
		return err
	}
	t.addRecord(key, value)
	return b.Set(key, value, nil)
}

// delete is set for a record that goes, if it is there.
func (t *txn) delete(b *pebble.Batch, key []byte) error {
	if err := t.replace(key, nil); err != nil {
		return err
	}
	return b.Delete(key, nil)
}

// replace takes the record with this key out of the digest.
func (t *txn) replace(key, value []byte) error {
	old, ok := t.tables.written[string(key)]
	if !ok {
		var err error
		if old, err = t.s.get(key); err != nil {
			return err
		}
	}
	if old != nil {
		t.subRecord(key, old)
	}
	if t.tables.written == nil {
		t.tables.written = make(map[string][]byte)
	}
	t.tables.written[string(key)] = bytes.Clone(value)
	return nil
}

// publishTables makes them visible. The caller holds the lock.
func (s *State) publishTables(t *tableChanges) {
	if t.exports != nil {
		s.mu.exports = *t.exports
		close(s.mu.exportsChanged)
		s.mu.exportsChanged = make(chan struct{})
	}
	if len(t.memberWrites) > 0 {
		s.mu.members = t.members
		close(s.mu.membersChanged)
		s.mu.membersChanged = make(chan struct{})
	}
}

// Exports returns the export table and a channel that is closed at its next
// change. The table is shared: it must not be changed.
func (s *State) Exports() (vfs.ExportTable, <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.exports, s.mu.exportsChanged
}

// Members returns the members' records by name, and a channel that is closed
// at their next change. The records are shared: they must not be changed.
func (s *State) Members() ([]vfs.Member, <-chan struct{}) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clip(s.mu.members), s.mu.membersChanged
}
