package rpc_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// FuzzParseCall: no input makes the parser panic, every slice lies within the
// record, and the cache changes no result.
func FuzzParseCall(f *testing.F) {
	f.Add(unhex(f, sysCall))
	f.Add(unhex(f, "00000011 00000000 00000002 000186a5 00000003 00000000 00000000 00000000 00000000 00000000"))
	var cache rpc.CredCache
	f.Fuzz(func(t *testing.T, rec []byte) {
		var plain, cached rpc.Call
		err := rpc.ParseCall(rec, &plain, nil)
		for range 2 {
			if again := rpc.ParseCall(rec, &cached, &cache); !errors.Is(again, err) {
				t.Fatalf("error %v, with the cache %v", err, again)
			}
		}
		if err != nil {
			return
		}
		a, b := plain.Cred, cached.Cred
		if a.UID != b.UID || a.GID != b.GID || a.Machine != b.Machine || !slices.Equal(a.Groups, b.Groups) {
			t.Fatalf("credential %+v, with the cache %+v", a, b)
		}
		if len(a.Groups) > rpc.MaxGroups || len(a.Machine) > rpc.MaxMachine || len(plain.CredBytes) > rpc.MaxAuth {
			t.Fatalf("over the limits: %+v", a)
		}
		if len(plain.Args)+len(plain.CredBytes) > len(rec) {
			t.Fatal("more was read than there is")
		}
	})
}

// FuzzRecordReader: whatever the stream, no record exceeds the limits.
func FuzzRecordReader(f *testing.F) {
	f.Add(join(frag(false, "ab"), frag(true, "cd")))
	f.Add(frag(true, ""))
	limits := rpc.RecordLimits{Bytes: 64, Fragments: 8}
	f.Fuzz(func(t *testing.T, stream []byte) {
		rr := rpc.NewRecordReader(bytes.NewReader(stream), limits)
		asked := 0
		for {
			asked = 0
			rec, err := rr.Next(func(b []byte, n int, more bool) ([]byte, error) {
				asked += n
				return grow(b, n, more)
			})
			if asked > limits.Bytes || len(rec) > limits.Bytes {
				t.Fatalf("a record of %d bytes, %d asked for", len(rec), asked)
			}
			if err != nil {
				if errors.Is(err, io.EOF) && err != io.EOF {
					t.Fatalf("wrapped io.EOF: %v", err)
				}
				return
			}
		}
	})
}

// FuzzRecordReader_Cuts: however a call is cut into fragments, it is read as
// what it was. Each byte of cuts is the length of a fragment, 0 for an empty one;
// what is left is the last.
func FuzzRecordReader_Cuts(f *testing.F) {
	call := unhex(f, sysCall)
	f.Add(call, bytes.Repeat([]byte{1}, len(call)))
	f.Add(call, bytes.Repeat([]byte{0, 1}, 20))
	f.Add(call, []byte{byte(len(call)), 0, 0})
	f.Add([]byte{}, []byte{0})
	f.Fuzz(func(t *testing.T, call, cuts []byte) {
		var stream []byte
		left := string(call)
		for _, n := range cuts {
			n := min(int(n), len(left))
			stream = append(stream, frag(false, left[:n])...)
			left = left[n:]
		}
		stream = append(stream, frag(true, left)...)
		limits := rpc.RecordLimits{Bytes: len(call), Fragments: len(cuts) + 1}
		rec, err := rpc.NewRecordReader(bytes.NewReader(stream), limits).Next(grow)
		if err != nil || !bytes.Equal(rec, call) {
			t.Fatalf("read %x, %v; sent %x", rec, err, call)
		}
	})
}

// FuzzParseReply: no input makes the client's parser panic.
func FuzzParseReply(f *testing.F) {
	var w xdr.Writer
	rpc.AppendProgMismatch(&w, 1, 2, 3)
	f.Add(bytes.Clone(w.B))
	w.Truncate(0)
	rpc.BeginReply(&w, 1)
	f.Add(w.B)
	f.Fuzz(func(t *testing.T, rec []byte) {
		res, err := rpc.ParseReply(rec)
		if len(res) > len(rec) || err != nil && res != nil {
			t.Fatalf("results %x, error %v", res, err)
		}
	})
}
