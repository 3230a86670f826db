package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of a stream.
const (
	// MaxBody bounds the body of one frame: a WRITE of 1 MiB and its header.
	MaxBody = 1<<20 + 64<<10
	// MaxBuffered bounds the bytes of frames that wait to be written at
	// either end. A client waits when it is reached; a server that reaches it
	// has a peer that does not read, and drops the connection.
	MaxBuffered = 16 << 20
	// maxBufferedReads is up to where answers to reads may fill it: they wait for
	// room, so that those to changes need not.
	maxBufferedReads = MaxBuffered / 2
	// maxReads bounds the reads that a server has in hand for all its peers.
	maxReads = 256
)

const (
	frameForward      = 1
	frameForwardReply = 2
	// 3 and 4 were read indexes.
	frameSpace      = 5
	frameSpaceReply = 6
	frameRead       = 7
	frameReadReply  = 8

	headerLen = 4 + 1 + 8
	// forwardHead is what precedes the command in the body of a forward.
	forwardHead = 8 + 8
)

// Status is the first byte of a reply.
type Status uint8

// The statuses of a reply. Refused promises that nothing was or will be done.
const (
	StatusOK      Status = 0
	StatusRefused Status = 1 // not the leader of that term, or not ready
	StatusBusy    Status = 2 // a limit is reached; nothing was done
	StatusUnknown Status = 3 // proposed, fate not known
	StatusDamaged Status = 4 // a read that met damage
)

// Errors of a request.
var (
	// ErrNotSent is returned when no byte of the request left this node.
	ErrNotSent = errors.New("peer: not sent")
	// ErrBroken is returned when the connection ended before the reply.
	ErrBroken = errors.New("peer: connection lost before the reply")
)

var errFrame = errors.New("peer: malformed frame")

// Space is what a node says of its disk and its clock.
type Space struct {
	Free  uint64 // bytes that it can still take
	Level uint8  // how short it is of space: 0 not at all; the receiver knows the others
	Wall  int64  // its wall clock when it sent this, in ns since 1970
}

// spaceVersion begins the body of a frame about space. A body of another
// version says nothing.
const spaceVersion = 2

func (s Space) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, spaceVersion, s.Level), s.Free)
	return binary.BigEndian.AppendUint64(b, uint64(s.Wall))
}

// decodeSpace reports false for another version.
func decodeSpace(b []byte) (s Space, ok bool, err error) {
	switch {
	case len(b) == 0:
		return s, false, fmt.Errorf("%w: empty", errFrame)
	case b[0] != spaceVersion:
		return s, false, nil
	case len(b) != 18:
		return s, false, fmt.Errorf("%w: space of %d bytes", errFrame, len(b))
	}
	return Space{Level: b[1], Free: binary.BigEndian.Uint64(b[2:]), Wall: int64(binary.BigEndian.Uint64(b[10:]))}, true, nil
}

type frame struct {
	typ  uint8
	id   uint64
	body []byte
}

func appendHeader(dst []byte, typ uint8, id uint64, bodyLen int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(1+8+bodyLen))
	dst = append(dst, typ)
	return binary.BigEndian.AppendUint64(dst, id)
}

// readFrame reads one frame. Its body is freshly allocated and belongs to the
// caller; the allocation is bounded by MaxBody.
func readFrame(r *bufio.Reader) (frame, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n < 9 || n > 9+MaxBody {
		return frame{}, fmt.Errorf("%w: length %d", errFrame, n)
	}
	f := frame{typ: h[4], id: binary.BigEndian.Uint64(h[5:]), body: make([]byte, n-9)}
	if _, err := io.ReadFull(r, f.body); err != nil {
		return frame{}, err
	}
	return f, nil
}
