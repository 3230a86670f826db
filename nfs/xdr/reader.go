package xdr

import (
	"encoding/binary"
	"errors"
)

// Errors of a Reader.
var (
	// ErrShort is the error when the record ends before the value does.
	ErrShort = errors.New("xdr: record too short")
	// ErrTooLong is the error when a length exceeds the caller's limit.
	ErrTooLong = errors.New("xdr: length over the limit")
	// ErrBadBool is the error when a bool is neither 0 nor 1.
	ErrBadBool = errors.New("xdr: bool is neither 0 nor 1")
)

// Reader decodes one record. The zero Reader is empty.
type Reader struct {
	b   []byte // what is left
	err error
}

// NewReader returns a Reader over b, which it does not copy.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Rest returns what has not been read yet.
func (r *Reader) Rest() []byte { return r.b }

// Fail records err unless an error came before. Decoders use it for values
// that are well-formed but not allowed.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err, r.b = err, nil
	}
}

// Uint32 reads an unsigned int.
func (r *Reader) Uint32() uint32 {
	if len(r.b) < 4 {
		r.Fail(ErrShort)
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

// Uint64 reads an unsigned hyper.
func (r *Reader) Uint64() uint64 {
	if len(r.b) < 8 {
		r.Fail(ErrShort)
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// Bool reads a bool; any value but 0 and 1 is an error.
func (r *Reader) Bool() bool {
	switch r.Uint32() {
	case 0:
		return false
	case 1:
		return true
	default:
		r.Fail(ErrBadBool)
		return false
	}
}

// Fixed reads n bytes of fixed-length opaque data and its padding. The result
// aliases the record.
func (r *Reader) Fixed(n int) []byte {
	padded := (n + 3) &^ 3
	if n < 0 || padded < n || len(r.b) < padded {
		r.Fail(ErrShort)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[padded:]
	return v
}

// Opaque reads variable-length opaque data of at most limit bytes. The result
// aliases the record.
func (r *Reader) Opaque(limit int) []byte {
	n := r.Uint32()
	if r.err != nil {
		return nil
	}
	if uint64(n) > uint64(limit) {
		r.Fail(ErrTooLong)
		return nil
	}
	return r.Fixed(int(n))
}

// String reads a string of at most limit bytes.
func (r *Reader) String(limit int) string { return string(r.Opaque(limit)) }
