package xdr_test

import (
	"bytes"
	"errors"
	"testing"

	"twofold/nfs/xdr"
)

func TestRoundTrip(t *testing.T) {
	var w xdr.Writer
	w.Uint32(7)
	w.Uint64(1 << 40)
	w.Bool(true)
	w.String("abcde")
	w.Opaque([]byte{1, 2, 3, 4})
	w.Fixed([]byte{9})
	if w.Len()%4 != 0 {
		t.Fatalf("length %d is not a multiple of 4", w.Len())
	}
	r := xdr.NewReader(w.B)
	if v := r.Uint32(); v != 7 {
		t.Errorf("uint32 = %d", v)
	}
	if v := r.Uint64(); v != 1<<40 {
		t.Errorf("uint64 = %d", v)
	}
	if !r.Bool() {
		t.Error("bool = false")
	}
	if s := r.String(5); s != "abcde" {
		t.Errorf("string = %q", s)
	}
	if b := r.Opaque(4); !bytes.Equal(b, []byte{1, 2, 3, 4}) {
		t.Errorf("opaque = %v", b)
	}
	if b := r.Fixed(1); !bytes.Equal(b, []byte{9}) {
		t.Errorf("fixed = %v", b)
	}
	if r.Err() != nil || len(r.Rest()) != 0 {
		t.Errorf("err %v, rest %v", r.Err(), r.Rest())
	}
}

func TestReader_RefusesBadInput(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		read func(*xdr.Reader)
		want error
	}{
		{"short uint32", []byte{0, 0, 1}, func(r *xdr.Reader) { r.Uint32() }, xdr.ErrShort},
		{"short uint64", make([]byte, 7), func(r *xdr.Reader) { r.Uint64() }, xdr.ErrShort},
		{"bool of 2", []byte{0, 0, 0, 2}, func(r *xdr.Reader) { r.Bool() }, xdr.ErrBadBool},
		{"length over the limit", []byte{0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0}, func(r *xdr.Reader) { r.Opaque(4) }, xdr.ErrTooLong},
		{"length over the record", []byte{0xff, 0xff, 0xff, 0xff}, func(r *xdr.Reader) { r.Opaque(1 << 40) }, xdr.ErrShort},
		{"padding missing", []byte{0, 0, 0, 1, 1}, func(r *xdr.Reader) { r.Opaque(4) }, xdr.ErrShort},
	} {
		r := xdr.NewReader(c.b)
		c.read(r)
		if !errors.Is(r.Err(), c.want) {
			t.Errorf("%s: err = %v, want %v", c.name, r.Err(), c.want)
		}
		if v := r.Uint64(); v != 0 {
			t.Errorf("%s: a value after the error: %d", c.name, v)
		}
	}
}
