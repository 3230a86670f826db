package rpc_test

import (
	"testing"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// BenchmarkParseCall decodes the header of a call with an AUTH_SYS credential that the connection has seen before.
func BenchmarkParseCall(b *testing.B) {
	rec := unhex(b, sysCall)
	var cache rpc.CredCache
	var c rpc.Call
	b.ReportAllocs()
	for b.Loop() {
		if err := rpc.ParseCall(rec, &c, &cache); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReply encodes a reply of the size of a GETATTR's.
func BenchmarkReply(b *testing.B) {
	var w xdr.Writer
	results := make([]byte, 88)
	b.ReportAllocs()
	for b.Loop() {
		w.Truncate(0)
		rpc.BeginRecord(&w)
		rpc.BeginReply(&w, 7)
		w.B = append(w.B, results...)
		rpc.EndRecord(&w, 0)
	}
}
