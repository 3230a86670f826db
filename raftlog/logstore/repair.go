package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// tailWriter is a recovered segment; the WAL's own interface leaves out the
// lookup of offsets, its implementation has it.
type tailWriter interface {
	types.SegmentWriter
	OffsetForFrame(index uint64) (uint32, error)
}

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
	filer := segment.NewFiler(dir, fsys)
	last, err := sealTail(fsys, dir, filer, tail, &state.NextSegmentID)
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
// was removed. It sets tail.IndexStart, and tail.ID if the segment had to be
// copied.
func sealTail(fsys FS, dir string, filer *segment.Filer, tail *types.SegmentInfo, nextID *uint64) (last uint64, err error) {
	err = syncSegment(fsys, dir, segment.FileName(*tail))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	w, err := filer.RecoverTail(*tail)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	last = w.LastIndex()
	if last == 0 || last < tail.MinIndex {
		// No committed entry. The WAL creates a missing last segment.
		return 0, filer.Delete(tail.BaseIndex, tail.ID)
	}
	sealed, start, err := w.Sealed()
	switch {
	case err != nil:
	case !sealed:
		start, err = w.ForceSeal()
	default:
		var whole bool
		if whole, err = indexWhole(fsys, dir, w.(tailWriter), *tail, start); err == nil && !whole {
			start, err = copySegment(filer, tail, nextID)
		}
	}
	tail.IndexStart = start
	return last, err
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

// indexWhole tells whether the index that a crashed process wrote at start is
// complete.
func indexWhole(fsys FS, dir string, w tailWriter, tail types.SegmentInfo, start uint64) (whole bool, err error) {
	f, err := fsys.OpenWriter(dir, segment.FileName(tail))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n := w.LastIndex() - tail.BaseIndex + 1
	buf := make([]byte, frameBytes+indexBytes(n)+frameBytes)
	if _, err := f.ReadAt(buf, int64(start)-frameBytes); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if binary.LittleEndian.Uint32(buf[4:]) != uint32(n*4) || buf[len(buf)-frameBytes] != segment.FrameCommit {
		return false, nil
	}
	for i := tail.MinIndex; i <= w.LastIndex(); i++ {
		want, err := w.OffsetForFrame(i)
		if err != nil {
			return false, err
		}
		if got := binary.LittleEndian.Uint32(buf[frameBytes+4*(i-tail.BaseIndex):]); got != want {
			return false, nil
		}
	}
	return true, nil
}

// copySegment writes the committed entries of a segment into a new one and
// seals that. It is the way out when the last, torn append began to seal the
// old one: what follows the committed entries there cannot be undone.
func copySegment(filer *segment.Filer, tail *types.SegmentInfo, nextID *uint64) (start uint64, err error) {
	from := *tail
	from.MinIndex = from.BaseIndex // read everything, deleted entries too: offsets count from BaseIndex
	r, err := filer.RecoverTail(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	to := *tail
	to.ID = *nextID
	to.SizeLimit = 2*tail.SizeLimit + minSegmentBytes // never seals by itself
	// An earlier attempt at this repair may have left the file behind.
	if err := filer.Delete(to.BaseIndex, to.ID); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	w, err := filer.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for i := from.BaseIndex; i <= r.LastIndex(); i++ {
		raw, err := r.GetLog(i)
		if err != nil {
			return 0, err
		}
		err = w.Append([]types.LogEntry{{Index: i, Data: raw.Bs}})
		raw.Close()
		if err != nil {
			return 0, err
		}
	}
	*nextID++
	tail.ID = to.ID
	return w.ForceSeal()
}
