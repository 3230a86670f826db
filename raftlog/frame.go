package raftlog

import (
	"encoding/binary"
	"fmt"
)

// The kinds of entry. The number is the first byte of the data of every
// command entry in the log; see doc.go, Format.
const (
	frameApp       byte = 1 // the rest is the application's
	frameWatermark byte = 2 // the rest is marks: two indexes, 8 bytes big-endian each
)

// encodeApp frames what an application proposes.
func encodeApp(data []byte) []byte {
	b := make([]byte, 1+len(data))
	b[0] = frameApp
	copy(b[1:], data)
	return b
}

// marks are what a watermark tells of the members.
type marks struct {
	all  Index // every member holds the entries up to here, the witness in its log
	data Index // every data node has their effects on disk
}

// encodeWatermark frames a watermark.
func encodeWatermark(m marks) []byte {
	b := binary.BigEndian.AppendUint64([]byte{frameWatermark}, uint64(m.all))
	return binary.BigEndian.AppendUint64(b, uint64(m.data))
}

// decodeFrame returns the application's data, or nil and a watermark.
func decodeFrame(b []byte) (data []byte, m marks, err error) {
	switch {
	case len(b) >= 1 && b[0] == frameApp:
		return b[1:], marks{}, nil
	case len(b) == 17 && b[0] == frameWatermark:
		return nil, marks{Index(binary.BigEndian.Uint64(b[1:])), Index(binary.BigEndian.Uint64(b[9:]))}, nil
	case len(b) == 9 && b[0] == frameWatermark: // of a version that had one mark
		all := Index(binary.BigEndian.Uint64(b[1:]))
		return nil, marks{all, all}, nil
	case len(b) == 0:
		return nil, marks{}, fmt.Errorf("%w: empty entry", ErrCorrupt)
	}
	return nil, marks{}, fmt.Errorf("%w: entry of unknown kind %d with %d bytes; was it written by a newer version?", ErrCorrupt, b[0], len(b))
}
