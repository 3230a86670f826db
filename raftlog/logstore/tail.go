package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// This file reads a WAL segment byte by byte and tells an unfinished write from
// damage (rule M3). Every append is one write, a batch of frames with a checksum
// at its end, and is synced before the next one begins. The file is preallocated, or ends
// where nothing was written. So a loss of power, or a kill, can leave only the
// last batch unfinished, and only by sectors that were not written and are zero:
// holes. No sector within a batch is zero when it was written, as entries are
// masked (seal.go). Anything else that is wrong is damage: so is a hole with a
// whole batch after it.
const (
	sectorBytes = 512 // what a disk writes as one, at least
	headerBytes = 32  // of a segment (raft-wal, segment/format.go)
	// maxSegmentRead bounds the size of a segment that is read: it may exceed its
	// limit by one append.
	maxSegmentRead = maxSegmentBytes + 512<<20
)

// tail is what a segment holds.
type tail struct {
	last       uint64 // the last entry of a whole batch; 0 if there is none
	end        int64  // behind the last whole batch
	indexStart uint64 // of the index of a sealed segment; 0 if it is not sealed
	unfinished bool   // there are leftovers of an unfinished write behind end
	damage     error  // what is wrong behind end, if it is not that
}

// frames reads the batches of a segment, one after the other.
type frames struct {
	b       []byte
	info    types.SegmentInfo
	offsets []uint32
	visit   func(*raft.Log) // is given each entry that is whole; may be nil
}

var (
	errEnd  = errors.New("the end")
	errHole = errors.New("a part was never written")
)

// readTail reads a segment. visit is given its entries as they were stored.
func readTail(b []byte, info types.SegmentInfo, visit func(*raft.Log)) tail {
	f := &frames{b: b, info: info, visit: visit}
	var t tail
	for {
		n := len(f.offsets)
		end, index, err := f.batch(int(t.end))
		switch {
		case err == nil:
			t.end, t.indexStart = int64(end), uint64(index)
			if len(f.offsets) > 0 {
				t.last = info.BaseIndex + uint64(len(f.offsets)) - 1
			}
			continue
		case errors.Is(err, errEnd):
		case errors.Is(err, errHole) && !f.later(int(t.end)):
			t.unfinished = true
		default:
			t.damage = fmt.Errorf("segment %s, at byte %d, entry %d: %w", segment.FileName(info), t.end, info.BaseIndex+uint64(n), err)
		}
		return t
	}
}

// batch reads the batch that begins at start.
func (f *frames) batch(start int) (end, index int, err error) {
	p := start
	if start == 0 {
		p = headerBytes
	}
	if p >= len(f.b) || zero(f.b[start:]) {
		return 0, 0, errEnd
	}
	for {
		if p+frameBytes > len(f.b) || zero(f.b[p:p+frameBytes]) {
			return 0, 0, f.missing(start, p, p+frameBytes, errors.New("a frame is missing"))
		}
		h := f.b[p : p+frameBytes]
		n := int(binary.LittleEndian.Uint32(h[4:]))
		switch {
		case h[1]|h[2]|h[3] != 0:
			return 0, 0, errors.New("a frame's header is wrong")
		case h[0] == segment.FrameEntry:
			err = f.entry(start, p, n)
		case h[0] == segment.FrameIndex:
			index = p + frameBytes
			err = f.index(start, p, n)
		case h[0] == segment.FrameCommit:
			if crc32.Checksum(f.b[start:p], crcTable) != binary.LittleEndian.Uint32(h[4:]) {
				return 0, 0, errors.New("the checksum of an append is wrong")
			}
			return p + frameBytes, index, f.header()
		default:
			err = fmt.Errorf("there is no frame of kind %d", h[0])
		}
		if err != nil {
			return 0, 0, err
		}
		p += frameBytes + (n+7)/8*8
	}
}

// header checks what the segment says of itself.
func (f *frames) header() error {
	if binary.LittleEndian.Uint64(f.b[8:]) != f.info.BaseIndex || binary.LittleEndian.Uint64(f.b[16:]) != f.info.ID {
		return errors.New("the segment is another one")
	}
	return nil
}

// entry reads the entry whose frame is at p.
func (f *frames) entry(start, p, n int) error {
	index := f.info.BaseIndex + uint64(len(f.offsets))
	if n > segment.MaxEntrySize {
		return fmt.Errorf("a frame of %d bytes", n)
	}
	body := f.b[p+frameBytes : min(p+frameBytes+n, len(f.b))]
	var l raft.Log
	err := decode(body, &l)
	if err == nil && len(body) == n {
		plain := l
		if err = unseal(index, &plain); err == nil || errors.Is(err, errUnsealed) {
			f.offsets = append(f.offsets, uint32(p))
			if f.visit != nil {
				f.visit(&l)
			}
			return err
		}
	}
	if err == nil {
		err = errors.New("an entry is cut off")
	}
	if !f.hole(start, p+frameBytes) && !fits(body, index, n) {
		return err // the length of the frame is wrong
	}
	return f.missing(start, p, p+frameBytes+n, err)
}

// fits tells whether the length of a frame is what its beginning says.
func fits(body []byte, index uint64, n int) bool {
	at, v := 0, [4]uint64{} // index, term, kind, bytes of data
	for i := range v {
		k := 0
		if v[i], k = binary.Uvarint(body[min(at, len(body)):]); k <= 0 {
			return false
		}
		at += k
	}
	// After the data come a length, the checksum and a time of 15 or 16 bytes.
	rest := n - at - 1 - sumBytes
	return v[0] == index && v[3] <= uint64(n) && (rest-int(v[3]) == 15 || rest-int(v[3]) == 16)
}

// index compares the index of a sealed segment with where its entries are.
func (f *frames) index(start, p, n int) error {
	if n != 4*len(f.offsets) {
		return errors.New("the index has another length")
	}
	for i, off := range f.offsets {
		at := p + frameBytes + 4*i
		if at+4 > len(f.b) || binary.LittleEndian.Uint32(f.b[at:]) != off {
			return f.missing(start, p, p+frameBytes+n, errors.New("the index is wrong"))
		}
	}
	return nil
}

// missing returns errHole if a part of [from, to) was never written, and
// otherwise err.
func (f *frames) missing(start, from, to int, err error) error {
	for p := from; p < to; p = (p/sectorBytes + 1) * sectorBytes {
		if f.hole(start, p) {
			return errHole
		}
	}
	return err
}

// hole tells whether the sector at p was never written by the batch at start.
func (f *frames) hole(start, p int) bool {
	s := p / sectorBytes * sectorBytes
	return p >= len(f.b) || zero(f.b[max(s, start):min(s+sectorBytes, len(f.b))])
}

// later tells whether there is a whole batch behind from.
func (f *frames) later(from int) bool {
	for p := (from + 7) / 8 * 8; p+frameBytes < len(f.b); p += 8 {
		if binary.LittleEndian.Uint32(f.b[p:]) == uint32(segment.FrameCommit) && f.whole(p+frameBytes) {
			return true
		}
	}
	return false
}

// whole tells whether a batch begins at start.
func (f *frames) whole(start int) bool {
	for p := start; p+frameBytes <= len(f.b); {
		n := int(binary.LittleEndian.Uint32(f.b[p+4:]))
		switch f.b[p] {
		case segment.FrameEntry, segment.FrameIndex:
			p += frameBytes + (n+7)/8*8
		case segment.FrameCommit:
			return p > start && crc32.Checksum(f.b[start:p], crcTable) == uint32(n)
		default:
			return false
		}
	}
	return false
}

// decode decodes an entry; the WAL's codec panics at some that are damaged.
func decode(b []byte, l *raft.Log) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("an entry cannot be decoded: %v", r)
		}
	}()
	return (&wal.BinaryCodec{}).Decode(b, l)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// readSegment reads a whole segment.
func readSegment(fsys FS, dir string, info types.SegmentInfo) (b []byte, err error) {
	f, err := fsys.OpenReader(dir, segment.FileName(info))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := bytes.NewBuffer(make([]byte, 0, min(info.SizeLimit, maxSegmentRead)+bytes.MinRead))
	_, err = buf.ReadFrom(io.NewSectionReader(f, 0, maxSegmentRead+1))
	if buf.Len() > maxSegmentRead {
		return nil, fmt.Errorf("segment %s is larger than %d bytes", segment.FileName(info), maxSegmentRead)
	}
	return buf.Bytes(), err
}
