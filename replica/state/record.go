package state

import "encoding/binary"

// Records that may gain fields are a sequence of fields: tag u8, length as a
// uvarint, bytes; tags ascend. A reader keeps the fields that it does not know
// and writes them back after its own, so that a record which an older version
// rewrites loses nothing.

// appendField appends one field.
func appendField(b []byte, tag byte, value []byte) []byte {
	b = append(b, tag)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// nextField splits the first field off. ok is false if it is malformed.
func nextField(b []byte) (tag byte, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	n, used := binary.Uvarint(b[1:])
	if used <= 0 || n > uint64(len(b)-1-used) {
		return 0, nil, nil, false
	}
	start := 1 + used
	end := start + int(n)
	return b[0], b[start:end:end], b[end:], true
}

// fields calls f for each field and returns those, whole, that f says it does
// not know. Tags must ascend, which also makes the encoding unique.
func fields(key, b []byte, f func(tag byte, value []byte) (known bool, err error)) (unknown []byte, err error) {
	last := byte(0)
	for len(b) > 0 {
		tag, value, rest, ok := nextField(b)
		if !ok || tag <= last {
			return nil, corrupt(key, "malformed field after tag %d", last)
		}
		known, err := f(tag, value)
		if err != nil {
			return nil, err
		}
		if !known {
			unknown = append(unknown, b[:len(b)-len(rest)]...)
		}
		last, b = tag, rest
	}
	return unknown, nil
}
