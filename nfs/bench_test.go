package nfs_test

import (
	"net"
	"sync"
	"testing"

	"twofold/nfs"
	"twofold/nfs/client"
)

// BenchmarkServer_Call measures a call of the size of a GETATTR from client to
// handler and back over loopback, both ends in this process.
func BenchmarkServer_Call(b *testing.B) {
	for name, callers := range map[string]int{"callers=1": 1, "callers=16": 16, "callers=64": 64} {
		b.Run(name, func(b *testing.B) {
			benchmarkCalls(b, callers, procEcho, 88) // as long as fattr3 with its status
		})
	}
}

// BenchmarkServer_Record measures calls of the size of a WRITE, with replies of
// no size.
func BenchmarkServer_Record(b *testing.B) {
	for name, size := range map[string]int{"64KiB": 64<<10 + 80, "256KiB": 256<<10 + 80, "1MiB": 1<<20 + 80} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			benchmarkCalls(b, 4, procNull, size)
		})
	}
}

func benchmarkCalls(b *testing.B, callers int, proc uint32, size int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := nfs.NewServer(nfs.Config{Programs: []nfs.Program{{Number: prog, Version: vers, Handler: newHandler()}}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	c, err := client.Dial(b.Context(), l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	args := make([]byte, size)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := i; n < b.N; n += callers {
				if _, err := c.Call(b.Context(), prog, vers, proc, args); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	_ = c.Close()
	_ = s.Close()
	<-done
}
