package nfs

import (
	"context"
	"time"

	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

const (
	// maxReady bounds the replies that wait for those of the calls that have been read
	// with theirs. Where they have more bytes than maxReadyBytes, the client may be slow to take
	// them: then another goroutine reads on, and this one writes.
	maxReady      = 64
	maxReadyBytes = 64 << 10
	// quickTime is what a quick call may take. Where they take longer, because what they
	// ask for is on a disk, the next slowCalls have goroutines of their own, so
	// that the disk sees more than one at a time.
	quickTime = 100 * time.Microsecond
	slowCalls = 64
)

// turn is the time for which one goroutine reads a connection's calls. It runs the
// quick ones itself (rpc.Quick), since to hand one to a worker costs as much as the call. Their
// replies wait until no further call has arrived, or the goroutine has to
// wait for anything, and are then written together.
//
// A call that has to wait after all says so before. Then this turn is over: another
// goroutine reads on, and this one has no more than that call, and these replies.
//
// A turn is the context of the calls that it runs.
type turn struct {
	context.Context // the connection's
	conn            *conn
	over            bool

	ready []*task // whose replies wait
	bytes int     // of these replies
	begun time.Time
	ran   int // calls since begun
	slow  int // calls that are not to be run here
}

var _ vfs.Waiter = (*turn)(nil)

// Value has the turn under vfs.WaiterKey.
func (r *turn) Value(key any) any {
	if key == vfs.WaiterKey {
		return r
	}
	return r.Context.Value(key)
}

// WillWait ends the turn. The call that is being run goes on.
func (r *turn) WillWait() {
	if r.over {
		return
	}
	r.over = true
	r.conn.srv.workers.start(r.conn)
	r.flush()
}

// takes tells whether t is to be run by the goroutine that reads.
func (r *turn) takes(t *task) bool {
	if t.entry.quick == nil {
		return false
	}
	if r.slow > 0 {
		r.slow--
		return false
	}
	return t.entry.quick.Quick(&t.call)
}

// serve runs t.
func (r *turn) serve(t *task) {
	if r.ran == 0 {
		r.begun = time.Now()
	}
	r.ran++
	if !t.serve(r) {
		return
	}
	if r.over {
		t.conn.send(t)
		return
	}
	rpc.EndRecord(&t.w, 0)
	r.ready, r.bytes = append(r.ready, t), r.bytes+len(t.w.B)
	switch {
	case r.bytes > maxReadyBytes:
		r.WillWait()
	case len(r.ready) == maxReady:
		r.flush()
	}
}

// flush writes the replies that wait, or leaves them to the goroutine that is
// writing already.
func (r *turn) flush() {
	if r.ran > 0 && time.Since(r.begun) > time.Duration(r.ran)*quickTime {
		r.slow = slowCalls
	}
	r.ran = 0
	if len(r.ready) == 0 {
		return
	}
	r.conn.sendAll(r.ready)
	clear(r.ready)
	r.ready, r.bytes = r.ready[:0], 0
}

// socket is what a connection's read buffer is filled from.
type socket struct{ conn *conn }

// Read may wait, so what is ready goes out before.
func (s socket) Read(b []byte) (int, error) {
	s.conn.turn.flush()
	return s.conn.nc.Read(b)
}
