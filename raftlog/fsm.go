package raftlog

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// fsm stands between hashicorp/raft and the state machine. Raft calls it from
// one goroutine (runFSM), but for Persist.
type fsm struct {
	sm        StateMachine        // nil on a witness
	queue     *delivery           // nil on a witness
	skip      Index               // entries up to here are in the state already
	fail      func(error)         // told of an integrity error
	committed func([]*raft.Log)   // told of entries after they were queued
	own       func(Index) error   // waits until an entry is on this node's disk
	install   func(*marker) error // puts a staged state in place
	marks     *markers
	stalls    *stalls

	delivered atomic.Uint64 // last index that was queued for delivery or skipped
	watermark atomic.Uint64 // all members hold the entries up to here
	dataMark  atomic.Uint64 // all data nodes have their effects on disk
	broken    error         // after it, nothing is delivered any more
}

var (
	_ raft.BatchingFSM        = (*fsm)(nil)
	_ raft.ConfigurationStore = (*fsm)(nil)
)

// ApplyBatch queues committed entries for the state machine. Raft calls it with
// commands and configurations; no-ops and barriers stay inside of it.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	entries := make([]Entry, 0, len(logs))
	// Lemma 18 of docs/consistency.md: raft may have counted this node's copy before
	// it was on the disk.
	if n := len(logs); n > 0 && f.broken == nil {
		f.broken = f.own(Index(logs[n-1].Index))
	}
	for i, l := range logs {
		if f.broken != nil {
			out[i] = f.broken
			continue
		}
		e := Entry{Index: Index(l.Index), Term: Term(l.Term)}
		if l.Type == raft.LogCommand {
			data, marks, err := decodeFrame(l.Data)
			if err != nil {
				f.broken = fmt.Errorf("log entry %d: %w", l.Index, err)
				f.fail(f.broken)
				out[i] = f.broken
				continue
			}
			e.Data = data
			raise(&f.watermark, marks.all)
			raise(&f.dataMark, marks.data)
		}
		if e.Index > f.skip {
			entries = append(entries, e)
		}
	}
	if f.sm != nil && len(entries) > 0 {
		f.queue.put(entries)
	}
	if f.broken == nil && len(logs) > 0 {
		f.delivered.Store(logs[len(logs)-1].Index)
		f.committed(logs)
	}
	return out
}

// Apply is never called: hashicorp/raft prefers ApplyBatch.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// StoreConfiguration is never called either, for the same reason. It has to
// exist: a state machine without it would not count configuration entries.
func (f *fsm) StoreConfiguration(uint64, raft.Configuration) {}

// raise never lowers a mark: durable indexes do not fall.
func raise(mark *atomic.Uint64, to Index) {
	if uint64(to) > mark.Load() {
		mark.Store(uint64(to))
	}
}

// Restore puts the state in place that was staged for the marker which raft
// has just taken from a leader. Raft's main goroutine waits for it.
func (f *fsm) Restore(r io.ReadCloser) error {
	err := r.Close()
	m := f.marks.takeIncoming()
	if m == nil {
		return errors.Join(errors.New("raftlog: no marker was taken"), err)
	}
	if f.broken != nil {
		return f.broken
	}
	if err := f.install(m); err != nil {
		return err
	}
	f.skip = max(f.skip, Index(m.Installed))
	f.delivered.Store(m.Index)
	return nil
}

// Snapshot returns a marker to be; see markerSink.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	return fsmSnapshot{f}, nil
}

type fsmSnapshot struct{ f *fsm }

// Persist makes the state durable up to the snapshot's index and puts down how
// far it came. Raft writes the marker with the sink's Close.
//
// The snapshot's index may be that of a barrier, which the state machine never
// sees: its durable index, and so the marker, may stay below. That is harmless
// as long as the log still has the entries from the marker on, and the clamp
// holds to the marker (see doc.go, Compaction).
func (s fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	ms, ok := sink.(*markerSink)
	if !ok {
		return fmt.Errorf("raftlog: unexpected snapshot sink %T", sink)
	}
	ms.own = true
	ms.m.Watermark, ms.m.DataMark = s.f.watermark.Load(), s.f.dataMark.Load()
	if s.f.sm == nil {
		return nil
	}
	end := s.f.stalls.begin(opFlush)
	err := s.f.sm.Flush()
	end()
	if err != nil {
		return fmt.Errorf("raftlog: flushing the state: %w", err)
	}
	if index, term := s.f.sm.Durable(); uint64(index) < ms.m.Index {
		ms.m.Index, ms.m.Term = uint64(index), uint64(term)
	}
	if ms.m.ConfigIndex > ms.m.Index {
		return fmt.Errorf("raftlog: the state is durable up to %d, the configuration is of %d", ms.m.Index, ms.m.ConfigIndex)
	}
	return nil
}

func (fsmSnapshot) Release() {}
