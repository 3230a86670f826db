package replica

import (
	"encoding/binary"
	"fmt"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

const entryHeader = 8

// appendEntry builds a log entry of commands that were handed over under term.
func appendEntry(dst []byte, term uint64, encs [][]byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, term)
	return command.AppendBatch(dst, encs)
}

// decodeEntry is the inverse of appendEntry.
func decodeEntry(b []byte) (term uint64, cmds []command.Command, err error) {
	if len(b) < entryHeader {
		return 0, nil, fmt.Errorf("%w: log entry of %d bytes", vfs.ErrCorrupt, len(b))
	}
	cmds, err = command.DecodeBatch(b[entryHeader:])
	return binary.BigEndian.Uint64(b), cmds, err
}
