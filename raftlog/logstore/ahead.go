package logstore

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// aheadBytes bounds the payload that may wait for the disk in memory; beyond it
// Begin waits.
const aheadBytes = 8 << 20

// ahead is the end of the log that is in memory and not on the disk yet. Store.mu
// guards it.
type ahead struct {
	entries []*raft.Log // contiguous, up to the last one of the table
	bytes   int         // of their payload
	running bool        // a goroutine writes
	moved   *sync.Cond  // entries were written, or could not be
}

// get returns an entry that waits.
func (a *ahead) get(index uint64, l *raft.Log) bool {
	if len(a.entries) == 0 || index < a.entries[0].Index || index > a.entries[len(a.entries)-1].Index {
		return false
	}
	*l = *a.entries[index-a.entries[0].Index]
	return true
}

// Begin appends entries as StoreLogs does, but returns before they are on the
// disk: they can be read and sent to other members, and Durable, AwaitDurable and
// Drain tell when a crash cannot take them any more. Until then neither this node
// nor another one may count its copy of them: Lemma 18 of docs/consistency.md says
// who may call this.
func (s *Store) Begin(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.checkAppend(logs); err != nil {
		return s.fail(err)
	}
	s.o.OnStore(logs)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.mu.ahead
	for a.bytes > aheadBytes && s.mu.failed == nil {
		a.moved.Wait()
	}
	if s.mu.failed != nil {
		return failedBefore(s.mu.failed)
	}
	a.bytes += s.addLocked(logs)
	a.entries = append(a.entries, logs...)
	if !a.running {
		a.running = true
		go s.writeAhead()
	}
	return nil
}

// addLocked notes entries in the table and the cache, and returns their payload.
func (s *Store) addLocked(logs []*raft.Log) (bytes int) {
	for _, l := range logs {
		s.mu.table.add(l)
		s.mu.cache.put(l)
		bytes += len(l.Data)
	}
	s.mu.appended += uint64(bytes)
	return bytes
}

// writeAhead writes what waits, all that has gathered at once, until nothing does
// or a write fails.
func (s *Store) writeAhead() {
	for s.writeSome() {
	}
}

// writeSome writes once, and reports that it may have to be called again. Between
// two calls others have their turn at the disk.
func (s *Store) writeSome() bool {
	s.write.Lock()
	defer s.write.Unlock()
	a := &s.mu.ahead
	s.mu.Lock()
	defer s.mu.Unlock()
	defer a.moved.Broadcast()
	if len(a.entries) == 0 || s.mu.failed != nil {
		a.running = false
		return false
	}
	logs := a.entries[:len(a.entries):len(a.entries)]
	s.mu.Unlock()
	bytes, err := s.put(logs)
	s.mu.Lock()
	if err == nil {
		a.bytes -= bytes
		if a.entries = a.entries[len(logs):]; len(a.entries) == 0 {
			a.entries = nil
		}
	}
	return true
}

// put writes and syncs entries. The caller holds write.
func (s *Store) put(logs []*raft.Log) (bytes int, err error) {
	defer s.o.OnWrite()()
	s.await()
	start := time.Now()
	if err := s.backend.StoreLogs(sealAll(logs)); err != nil {
		return 0, s.fail(fmt.Errorf("logstore: storing entries %d to %d: %w", logs[0].Index, logs[len(logs)-1].Index, err))
	}
	for _, l := range logs {
		bytes += len(l.Data)
	}
	s.o.OnAppend(bytes, time.Since(start))
	return bytes, nil
}

// Written caps an index at what is on the disk: it differs only while entries wait.
func (s *Store) Written(index uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.ahead.entries) == 0 {
		return index
	}
	return min(index, s.durableLocked())
}

// Durable returns the last index that is on the disk.
func (s *Store) Durable() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durableLocked()
}

func (s *Store) durableLocked() uint64 {
	if len(s.mu.ahead.entries) > 0 {
		return s.mu.ahead.entries[0].Index - 1
	}
	return s.mu.table.last()
}

// AwaitDurable returns nil once the entry at an index is on the disk, or an error
// if it never will be.
func (s *Store) AwaitDurable(index uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.durableLocked() < index {
		if s.mu.failed != nil {
			return failedBefore(s.mu.failed)
		}
		s.mu.ahead.moved.Wait()
	}
	return nil
}

// Drain returns nil once everything that was begun before the call is on the disk, or
// an error if some of it never will be.
func (s *Store) Drain() error {
	last, _ := s.LastIndex() // reads memory and never fails
	return s.AwaitDurable(last)
}

// settle waits until nothing is written any more.
func (s *Store) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.mu.ahead.running {
		s.mu.ahead.moved.Wait()
	}
}
