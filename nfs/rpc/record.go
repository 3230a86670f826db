package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"twofold/nfs/xdr"
)

// MarkLen is the length of a record mark, which leads each fragment.
const MarkLen = 4

// lastFragment is the mark's bit that ends a record.
const lastFragment = 1 << 31

// Errors of a RecordReader. The stream cannot be read any further.
var (
	// ErrRecordTooLong is returned when a record exceeds the limit.
	ErrRecordTooLong = errors.New("rpc: record over the limit")
	// ErrTooManyFragments is returned when a record has too many fragments.
	ErrTooManyFragments = errors.New("rpc: too many fragments in one record")
)

// RecordLimits bounds one record.
type RecordLimits struct {
	Bytes     int // all fragments together, without their marks
	Fragments int // empty ones, which RFC 5531 allows anywhere, included
}

// DefaultRecordLimits fits a WRITE of 1 MiB with its headers. Libraries that
// fragment at all cut at a few KiB, so the number of fragments is generous.
var DefaultRecordLimits = RecordLimits{Bytes: 1<<20 + 16<<10, Fragments: 1024}

// Grow returns b lengthened by n bytes of any content, moved if need be. With
// more set the record goes on after these n bytes. It may lengthen b by fewer,
// at least one if n is not zero; once those are read it is called for the rest.
// An error ends the reading.
type Grow func(b []byte, n int, more bool) ([]byte, error)

// RecordReader reassembles records from a byte stream.
type RecordReader struct {
	r      io.Reader
	limits RecordLimits
	mark   [MarkLen]byte // here, so that reading one does not allocate
}

// NewRecordReader returns a reader of the records in r, which should be buffered.
func NewRecordReader(r io.Reader, limits RecordLimits) *RecordReader {
	return &RecordReader{r: r, limits: limits}
}

// Next reads one record into memory that grow provides. It returns io.EOF only
// between records, and io.ErrUnexpectedEOF within one.
func (rr *RecordReader) Next(grow Grow) ([]byte, error) {
	var rec []byte
	for fragments := 1; ; fragments++ {
		n, last, err := rr.readMark(fragments == 1)
		if err != nil {
			return nil, err
		}
		if fragments > rr.limits.Fragments {
			return nil, fmt.Errorf("%w: %d are allowed", ErrTooManyFragments, rr.limits.Fragments)
		}
		if n > rr.limits.Bytes-len(rec) {
			return nil, fmt.Errorf("%w: %d bytes, %d are allowed", ErrRecordTooLong, len(rec)+n, rr.limits.Bytes)
		}
		if rec, err = rr.readFragment(rec, n, !last, grow); err != nil {
			return nil, err
		}
		if last {
			return rec, nil
		}
	}
}

// readFragment reads n bytes behind rec, in as many steps as grow makes of them.
func (rr *RecordReader) readFragment(rec []byte, n int, more bool, grow Grow) ([]byte, error) {
	for {
		longer, err := grow(rec, n, more)
		if err != nil {
			return nil, err
		}
		got := len(longer) - len(rec)
		if got < min(n, 1) || got > n {
			return nil, fmt.Errorf("rpc: grow gave %d bytes for %d", got, n)
		}
		if _, err := io.ReadFull(rr.r, longer[len(rec):]); err != nil {
			return nil, unexpected(err)
		}
		rec, n = longer, n-got
		if n == 0 {
			return rec, nil
		}
	}
}

// readMark reads the mark of a fragment.
func (rr *RecordReader) readMark(first bool) (n int, last bool, err error) {
	if _, err = io.ReadFull(rr.r, rr.mark[:]); err != nil {
		if first {
			return 0, false, err // io.EOF if nothing came
		}
		return 0, false, unexpected(err)
	}
	m := binary.BigEndian.Uint32(rr.mark[:])
	return int(m &^ lastFragment), m&lastFragment != 0, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// BeginRecord appends room for a record mark to an empty Writer.
func BeginRecord(w *xdr.Writer) { w.Uint32(0) }

// EndRecord sets the mark that BeginRecord left at off. What follows it in w is
// one record of one fragment.
func EndRecord(w *xdr.Writer, off int) {
	w.PutUint32(off, lastFragment|uint32(w.Len()-off-MarkLen))
}
