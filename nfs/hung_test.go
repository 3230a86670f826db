package nfs_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// stuckHandler takes no notice of its context, as a read of a disk that hangs does
// not. The other calls it serves as handler does.
type stuckHandler struct{ *handler }

func (h stuckHandler) ServeRPC(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	if call.Proc == procBlock {
		<-h.release
	}
	return h.handler.ServeRPC(ctx, call, w)
}

// A call that waits for a disk that hangs loses its connection, and others go on. One
// that merely takes long keeps it.
//
// Seen red: with a sweep that does not ask Hung.
func TestHung_ConnectionsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hung atomic.Bool
		h, obs := stuckHandler{newHandler()}, &counter{}
		dial, stop := startMem(t, h, func(c *nfs.Config) { c.Hung, c.Observer = hung.Load, obs })
		defer stop()
		waits, works := dial(), dial()
		defer waits.Close()
		defer works.Close()
		write(t, waits, record(message(1, prog, vers, procBlock, "")))
		time.Sleep(time.Minute)
		if n := obs.cut("hung"); n != 0 {
			t.Errorf("%d connections cut while no disk hangs", n)
		}
		hung.Store(true)
		begin := time.Now()
		if err := waits.SetReadDeadline(begin.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, waits)
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("closed after %s", d)
		}
		for range 5 {
			honestCalls(t, works, 4)
			time.Sleep(time.Second)
		}
		if n := obs.cut("hung"); n != 1 {
			t.Errorf("%d connections cut, 1 has a call that hangs", n)
		}
		close(h.release)
	})
}
