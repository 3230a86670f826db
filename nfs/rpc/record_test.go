package rpc_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// frag returns one fragment.
func frag(last bool, data string) []byte {
	mark := uint32(len(data))
	if last {
		mark |= 1 << 31
	}
	return append(binary.BigEndian.AppendUint32(nil, mark), data...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func grow(b []byte, n int, _ bool) ([]byte, error) { return append(b, make([]byte, n)...), nil }

func TestRecordReader_Reassembles(t *testing.T) {
	stream := join(
		frag(true, "whole"),
		frag(false, "in "), frag(false, ""), frag(false, "three "), frag(true, "parts"),
		frag(false, "empty end"), frag(true, ""),
		frag(true, ""),
	)
	rr := rpc.NewRecordReader(iotest.OneByteReader(bytes.NewReader(stream)), rpc.RecordLimits{Bytes: 100, Fragments: 10})
	for _, want := range []string{"whole", "in three parts", "empty end", ""} {
		rec, err := rr.Next(grow)
		if err != nil || string(rec) != want {
			t.Fatalf("record %q, %v; want %q", rec, err, want)
		}
	}
	if _, err := rr.Next(grow); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestRecordReader_TellsGrowWhetherMoreComes(t *testing.T) {
	var calls []bool
	rr := rpc.NewRecordReader(bytes.NewReader(join(frag(false, "a"), frag(true, "b"))), rpc.DefaultRecordLimits)
	_, err := rr.Next(func(b []byte, n int, more bool) ([]byte, error) {
		calls = append(calls, more)
		return grow(b, n, more)
	})
	if err != nil || len(calls) != 2 || !calls[0] || calls[1] {
		t.Errorf("calls %v, error %v", calls, err)
	}
}

// Grow may give less than was asked for, and is asked again.
func TestRecordReader_GrowsInSteps(t *testing.T) {
	stream := join(frag(false, "12345"), frag(true, "678"), frag(true, "next"))
	rr := rpc.NewRecordReader(bytes.NewReader(stream), rpc.DefaultRecordLimits)
	var asked []int
	steps := func(b []byte, n int, more bool) ([]byte, error) {
		asked = append(asked, n)
		return grow(b, min(n, 2), more)
	}
	for _, want := range []string{"12345678", "next"} {
		if rec, err := rr.Next(steps); err != nil || string(rec) != want {
			t.Fatalf("record %q, %v; want %q", rec, err, want)
		}
	}
	if want := []int{5, 3, 1, 3, 1, 4, 2}; !slices.Equal(asked, want) {
		t.Errorf("grow was asked for %v, want %v", asked, want)
	}
}

func TestRecordReader_RefusesBadGrow(t *testing.T) {
	for name, by := range map[string]int{"nothing": 0, "too much": 5} {
		rr := rpc.NewRecordReader(bytes.NewReader(frag(true, "1234")), rpc.DefaultRecordLimits)
		if _, err := rr.Next(func(b []byte, _ int, _ bool) ([]byte, error) { return append(b, make([]byte, by)...), nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRecordReader_Limits(t *testing.T) {
	limits := rpc.RecordLimits{Bytes: 8, Fragments: 3}
	refused := errors.New("no memory")
	for _, c := range []struct {
		name   string
		stream []byte
		grow   rpc.Grow
		want   error
	}{
		{"at the limit", frag(true, "12345678"), grow, nil},
		{"one byte over", frag(true, "123456789"), grow, rpc.ErrRecordTooLong},
		{"over in the second fragment", join(frag(false, "12345678"), frag(true, "9")), grow, rpc.ErrRecordTooLong},
		{"a length of 2 GiB", []byte{0xff, 0xff, 0xff, 0xff}, grow, rpc.ErrRecordTooLong},
		{"three fragments", join(frag(false, "1"), frag(false, "2"), frag(true, "3")), grow, nil},
		{"four fragments", join(frag(false, "1"), frag(false, "2"), frag(false, "3"), frag(true, "4")), grow, rpc.ErrTooManyFragments},
		{"ends in the mark", []byte{0x80, 0}, grow, io.ErrUnexpectedEOF},
		{"ends in the data", frag(true, "1234")[:6], grow, io.ErrUnexpectedEOF},
		{"ends between fragments", frag(false, "1234"), grow, io.ErrUnexpectedEOF},
		{"grow refuses", frag(true, "1"), func([]byte, int, bool) ([]byte, error) { return nil, refused }, refused},
	} {
		_, err := rpc.NewRecordReader(bytes.NewReader(c.stream), limits).Next(c.grow)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRecordReader_EmptyFragmentsCount(t *testing.T) {
	for empty, want := range map[int]error{9: nil, 10: rpc.ErrTooManyFragments, 100: rpc.ErrTooManyFragments} {
		stream := join(bytes.Repeat(frag(false, ""), empty), frag(true, "end"))
		_, err := rpc.NewRecordReader(bytes.NewReader(stream), rpc.RecordLimits{Bytes: 8, Fragments: 10}).Next(grow)
		if !errors.Is(err, want) {
			t.Errorf("%d empty fragments: %v, want %v", empty, err, want)
		}
	}
}

func TestRecordReader_DoesNotAllocate(t *testing.T) {
	one := frag(true, "12345678")
	src := bytes.NewReader(one)
	rr := rpc.NewRecordReader(src, rpc.DefaultRecordLimits)
	buf := make([]byte, 0, 8)
	reuse := func(b []byte, n int, _ bool) ([]byte, error) { return buf[:len(b)+n], nil }
	if n := testing.AllocsPerRun(100, func() {
		src.Reset(one)
		_, _ = rr.Next(reuse)
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func TestEndRecord(t *testing.T) {
	var w xdr.Writer
	w.Uint32(7) // whatever came before
	off := w.Len()
	rpc.BeginRecord(&w)
	w.Uint64(9)
	rpc.EndRecord(&w, off)
	if want := unhex(t, "00000007 80000008 0000000000000009"); !bytes.Equal(w.B, want) {
		t.Errorf("got %x, want %x", w.B, want)
	}
}
