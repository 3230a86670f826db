package xdr

import "encoding/binary"

// Writer appends XDR values to B.
type Writer struct {
	B []byte
}

// Len returns the number of bytes written so far.
func (w *Writer) Len() int { return len(w.B) }

// Truncate drops everything after the first n bytes, to undo a partial value.
func (w *Writer) Truncate(n int) { w.B = w.B[:n] }

// Uint32 appends an unsigned int.
func (w *Writer) Uint32(v uint32) { w.B = binary.BigEndian.AppendUint32(w.B, v) }

// Uint64 appends an unsigned hyper.
func (w *Writer) Uint64(v uint64) { w.B = binary.BigEndian.AppendUint64(w.B, v) }

// Bool appends a bool.
func (w *Writer) Bool(v bool) {
	if v {
		w.Uint32(1)
	} else {
		w.Uint32(0)
	}
}

// PutUint32 overwrites the unsigned int at offset off, for a length that is
// known only after what follows it.
func (w *Writer) PutUint32(off int, v uint32) { binary.BigEndian.PutUint32(w.B[off:], v) }

// Fixed appends fixed-length opaque data and its padding.
func (w *Writer) Fixed(p []byte) {
	w.B = append(w.B, p...)
	w.pad(len(p))
}

// Opaque appends variable-length opaque data.
func (w *Writer) Opaque(p []byte) {
	w.Uint32(uint32(len(p)))
	w.Fixed(p)
}

// String appends a string.
func (w *Writer) String(s string) {
	w.Uint32(uint32(len(s)))
	w.B = append(w.B, s...)
	w.pad(len(s))
}

// Extend appends n bytes of unspecified content and returns them, for a caller
// that fills them in place. The slice is valid until the next append.
func (w *Writer) Extend(n int) []byte {
	off := len(w.B)
	if cap(w.B)-off < n {
		grown := make([]byte, off, max(2*cap(w.B), off+n+64))
		copy(grown, w.B)
		w.B = grown
	}
	w.B = w.B[:off+n]
	return w.B[off:]
}

// Pad appends the zero bytes that follow n bytes of opaque data.
func (w *Writer) Pad(n int) { w.pad(n) }

func (w *Writer) pad(n int) {
	for ; n&3 != 0; n++ {
		w.B = append(w.B, 0)
	}
}
