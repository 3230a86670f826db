package catchup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"twofold/replica/state"
)

var be = binary.BigEndian

// Limits of the protocol.
const (
	// MaxFrame bounds one frame: a record's value is a block of 1 MiB at most, and
	// its checksum.
	MaxFrame = 3 << 20
	// recordsBytes is where an answer with records ends; the first record always
	// fits.
	recordsBytes = 1 << 20
	// rangeRecords is how many records one range has.
	rangeRecords = 16
	// maxRanges and maxKeys bound one answer.
	maxRanges = 2048
	maxKeys   = 4096
	// maxDigests bounds the digests in one answer.
	maxDigests = 8192
	// maxKey bounds a key.
	maxKey = 1 << 10
	// maxText bounds the text of a refusal.
	maxText = 400

	version   = 1
	headerLen = 4 + 1 + 4
)

// Types of frames.
const (
	frameOffer    byte = 1
	frameDigests  byte = 2
	frameRanges   byte = 3
	frameKeys     byte = 4
	frameRecords  byte = 5
	frameReady    byte = 6
	frameProgress byte = 7
	frameRefused  byte = 8
)

var errFrame = errors.New("catchup: malformed frame")

type frame struct {
	typ  byte
	id   uint32
	body []byte
}

// readFrame allocates what the frame says, which MaxFrame bounds.
func readFrame(r *bufio.Reader) (frame, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := be.Uint32(h[:])
	if n < headerLen-4 || n > MaxFrame {
		return frame{}, fmt.Errorf("%w: length %d", errFrame, n)
	}
	f := frame{typ: h[4], id: be.Uint32(h[5:]), body: make([]byte, n-(headerLen-4))}
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// appendFrame begins a frame; endFrame puts its length in.
func appendFrame(b []byte, typ byte, id uint32) []byte {
	return be.AppendUint32(append(be.AppendUint32(b[:0], 0), typ), id)
}

func endFrame(b []byte) []byte {
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

func appendKey(b, key []byte) []byte {
	return append(be.AppendUint16(b, uint16(len(key))), key...)
}

// cursor reads a body. After a failure everything it returns is zero.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if c.err != nil || len(c.b) < n {
		if c.err == nil {
			c.err = fmt.Errorf("%w: %d bytes where %d are due", errFrame, len(c.b), n)
		}
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return be.Uint64(b)
	}
	return 0
}

func (c *cursor) digest() (d state.Digest) {
	copy(d[:], c.take(len(d)))
	return d
}

func (c *cursor) key() []byte {
	b := c.take(2)
	if b == nil {
		return nil
	}
	n := int(be.Uint16(b))
	if n > maxKey {
		c.err = fmt.Errorf("%w: a key of %d bytes", errFrame, n)
		return nil
	}
	return c.take(n)
}

// more reports that there is something left to read.
func (c *cursor) more() bool { return c.err == nil && len(c.b) > 0 }

// offer is what the source begins with.
type offer struct {
	at, index, term uint64
	total           state.Digest
}

func (o offer) append(b []byte) []byte {
	b = append(b, version)
	b = be.AppendUint64(b, o.at)
	b = be.AppendUint64(b, o.index)
	b = be.AppendUint64(b, o.term)
	return append(b, o.total[:]...)
}

func decodeOffer(b []byte) (o offer, err error) {
	c := cursor{b: b}
	if v := c.u8(); c.err == nil && v != version {
		return o, fmt.Errorf("catchup: the other node speaks version %d of the protocol, this one %d", v, version)
	}
	o.at, o.index, o.term, o.total = c.u64(), c.u64(), c.u64(), c.digest()
	return o, c.err
}
