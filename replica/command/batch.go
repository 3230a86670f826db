package command

import "fmt"

// Batch framing: a version byte and a u16 count, then a u32 length per command.
const (
	batchHeaderLen = 3
	frameLen       = 4
)

// BatchSize returns the bytes that a batch takes with n commands of total
// bytes, so that a proposer can stop before MaxBatchBytes.
func BatchSize(n, total int) int { return batchHeaderLen + n*frameLen + total }

// AppendBatch appends one log entry of sealed commands. The caller keeps to
// MaxBatchOps and MaxBatchBytes; DecodeBatch refuses what exceeds them.
func AppendBatch(dst []byte, encs [][]byte) []byte {
	dst = append(dst, Version)
	dst = be.AppendUint16(dst, uint16(len(encs)))
	for _, enc := range encs {
		dst = be.AppendUint32(dst, uint32(len(enc)))
		dst = append(dst, enc...)
	}
	return dst
}

// DecodeBatch reads one log entry. The commands alias b.
func DecodeBatch(b []byte) ([]Command, error) {
	if len(b) > MaxBatchBytes {
		return nil, fmt.Errorf("%w: batch of %d bytes", ErrLimit, len(b))
	}
	r := cursor{b: b}
	if v := r.u8(); r.err == nil && v != Version {
		return nil, fmt.Errorf("%w: batch version %d, want %d", ErrUnknown, v, Version)
	}
	n := int(r.u16())
	if n > MaxBatchOps {
		return nil, fmt.Errorf("%w: batch of %d commands", ErrLimit, n)
	}
	// Each command takes a frame and a header, so bytes bound the allocation.
	if n*(frameLen+headerLen) > len(r.b) {
		return nil, fmt.Errorf("%w: %d commands in %d bytes", ErrShort, n, len(b))
	}
	cmds := make([]Command, 0, n)
	for i := range n {
		enc := r.take(int(r.u32()))
		if r.err != nil {
			return nil, fmt.Errorf("command %d of %d: %w", i, n, r.err)
		}
		c, err := Decode(enc)
		if err != nil {
			return nil, fmt.Errorf("command %d of %d: %w", i, n, err)
		}
		cmds = append(cmds, c)
	}
	return cmds, r.end()
}
