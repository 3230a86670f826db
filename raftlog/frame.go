package raftlog

import (
	"encoding/binary"
	"fmt"
)

// The kinds of entry. The number is the first byte of the data of every
// command entry in the log; see doc.go, Format.
const (
	frameApp       byte = 1 // the rest is the application's
	frameWatermark byte = 2 // the rest is an index, 8 bytes big-endian
)

// encodeApp frames what an application proposes.
func encodeApp(data []byte) []byte {
	b := make([]byte, 1+len(data))
	b[0] = frameApp
	copy(b[1:], data)
	return b
}

// encodeWatermark frames the lowest durable index of the data nodes.
func encodeWatermark(durable Index) []byte {
	return binary.BigEndian.AppendUint64([]byte{frameWatermark}, uint64(durable))
}

// decodeFrame returns the application's data, or nil and a watermark.
func decodeFrame(b []byte) (data []byte, watermark Index, err error) {
	switch {
	case len(b) >= 1 && b[0] == frameApp:
		return b[1:], 0, nil
	case len(b) == 9 && b[0] == frameWatermark:
		return nil, Index(binary.BigEndian.Uint64(b[1:])), nil
	case len(b) == 0:
		return nil, 0, fmt.Errorf("%w: empty entry", ErrCorrupt)
	}
	return nil, 0, fmt.Errorf("%w: entry of unknown kind %d with %d bytes; was it written by a newer version?", ErrCorrupt, b[0], len(b))
}
