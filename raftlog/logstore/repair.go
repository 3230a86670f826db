package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// frameBytes is the size of a frame header of a WAL segment; a commit frame is
// nothing else (raft-wal, segment/format.go).
const frameBytes = 8

// repairWAL seals the last segment of a WAL that is not open and begins a new
// one. The WAL's own recovery would go on writing into the last segment, and
// that fails, or reads leftovers, in the cases that doc.go lists. Before that it
// syncs whatever a killed process had written and not yet synced, so that no
// vote and no acknowledgement rests on it.
//
// Every step may be cut short by a crash: until the metadata is committed the
// old segment is the last one, and the repair begins anew.
func repairWAL(fsys FS, dir string, segmentBytes int) (err error) {
	db := newMeta(fsys)
	defer func() { err = errors.Join(err, db.Close()) }()
	state, err := db.Load(dir)
	if err != nil {
		return err
	}
	if _, ok := fsys.(Disk); !ok {
		err = syncPath(filepath.Join(dir, metadb.FileName))
	}
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	last, err := sealTail(fsys, dir, tail)
	if err != nil {
		return fmt.Errorf("sealing segment %s: %w", segment.FileName(*tail), err)
	}
	if last == 0 {
		return nil
	}
	tail.SealTime, tail.MaxIndex = time.Now(), last
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID:         state.NextSegmentID,
		BaseIndex:  last + 1,
		MinIndex:   last + 1,
		Codec:      tail.Codec,
		CreateTime: time.Now(),
		SizeLimit:  uint32(segmentBytes),
	})
	state.NextSegmentID++
	if err := db.CommitState(state); err != nil {
		return err
	}
	// Give back what was preallocated and not used. The index is followed by
	// one commit frame.
	end := int64(tail.IndexStart) + indexBytes(last-tail.BaseIndex+1) + frameBytes
	return fsys.Truncate(dir, segment.FileName(*tail), end)
}

func indexBytes(entries uint64) int64 { return int64((entries*4 + 7) / 8 * 8) }

// sealTail returns the last index of the segment, 0 if it holds nothing and
// was removed. It sets tail.IndexStart.
func sealTail(fsys FS, dir string, tail *types.SegmentInfo) (last uint64, err error) {
	err = syncSegment(fsys, dir, segment.FileName(*tail))
	if errors.Is(err, os.ErrNotExist) {
		return 0, strayed(fsys, dir, tail)
	}
	if err != nil {
		return 0, err
	}
	b, err := readSegment(fsys, dir, *tail)
	if err != nil {
		return 0, err
	}
	have := readTail(b, *tail, nil)
	filer := segment.NewFiler(dir, fsys)
	switch {
	case have.damage != nil:
		return 0, damage(have.damage)
	case have.last == 0 || have.last < tail.MinIndex:
		// No entry. The WAL creates a missing last segment.
		return 0, filer.Delete(tail.BaseIndex, tail.ID)
	case have.unfinished:
		// What was not finished goes for good, before anything is written over it:
		// the remains of two writes could not be told from damage.
		err := errors.Join(fsys.Truncate(dir, segment.FileName(*tail), have.end), syncSegment(fsys, dir, segment.FileName(*tail)))
		if err != nil {
			return 0, err
		}
	}
	w, err := filer.RecoverTail(*tail)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if w.LastIndex() != have.last {
		return 0, damage(fmt.Errorf("it ends at %d and at %d", w.LastIndex(), have.last))
	}
	tail.IndexStart, err = w.ForceSeal()
	return have.last, err
}

// strayed tells why the last segment may be missing. The process may have ended
// between the metadata's change and the file's creation, and then no later file can
// be there: identifiers only rise.
func strayed(fsys FS, dir string, tail *types.SegmentInfo) error {
	found, err := segment.NewFiler(dir, fsys).List()
	if err != nil {
		return err
	}
	for id := range found {
		if id >= tail.ID {
			return damage(fmt.Errorf("segment %s is missing, a later one is there", segment.FileName(*tail)))
		}
	}
	return nil
}

// syncSegment makes durable what a killed process wrote and did not sync. It has
// to come first: recovery checks the checksum of the last commit frame only, so
// that a seal written behind an append that then is torn would vouch for it. And
// only who creates a segment syncs its name (raft-wal, fs/file.go), which the
// process may not have come to.
func syncSegment(fsys FS, dir, name string) error {
	f, err := fsys.OpenWriter(dir, name)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
