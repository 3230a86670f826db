package nfs

import (
	"context"
	"errors"
	"runtime/debug"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// replyRoom is the room for a reply's mark and header and for small results.
const replyRoom = 512

// task is one call from the end of its record to the end of its reply.
type task struct {
	conn  *conn
	entry *entry
	call  rpc.Call
	rec   *buffer    // the call message, nil once the handler has returned
	out   *buffer    // what w.B started as
	w     xdr.Writer // the reply with its record mark
	bytes int        // counted in the budgets
}

// startCall makes a task of the record that was read and starts it. A non-nil
// error ends the connection.
func (c *conn) startCall(rec []byte) error {
	t := c.newTask()
	err := rpc.ParseCall(rec, &t.call, &c.creds)
	switch {
	case errors.Is(err, rpc.ErrNotCall):
		c.release(t)
		return nil
	case errors.Is(err, rpc.ErrShortCall):
		c.release(t)
		return err
	case err != nil:
		c.answerError(t, err)
		return nil
	}
	t.entry = c.srv.table.find(t.call.Prog, t.call.Vers)
	if t.entry == nil {
		c.refuse(t)
		return nil
	}
	t.beginReply(replyRoom + c.srv.replySize(t.entry, &t.call))
	if c.turn.takes(t) {
		c.turn.serve(t)
	} else {
		c.srv.workers.start(t)
	}
	return nil
}

// newTask makes a task of the record that was read.
func (c *conn) newTask() *task {
	t := c.srv.tasks.Get().(*task)
	t.conn, t.rec, t.bytes = c, c.rec.buf, c.rec.room
	c.rec.buf, c.rec.room, c.rec.connRoom, c.rec.held = nil, 0, 0, 0
	c.calls.Add(1)
	t.call.Client = c.client
	return t
}

// answerError answers a call whose header is refused with err.
func (c *conn) answerError(t *task, err error) {
	t.beginReply(replyRoom)
	t.w.Truncate(rpc.MarkLen)
	rpc.AppendError(&t.w, t.call.XID, err)
	c.send(t)
}

// refuse answers a call to a program or version that is not there.
func (c *conn) refuse(t *task) {
	t.beginReply(replyRoom)
	t.w.Truncate(rpc.MarkLen)
	if low, high, ok := c.srv.table.versions(t.call.Prog); ok {
		rpc.AppendProgMismatch(&t.w, t.call.XID, low, high)
	} else {
		rpc.AppendProgUnavail(&t.w, t.call.XID)
	}
	c.send(t)
}

// beginReply takes a buffer for n bytes and puts the header of SUCCESS in it.
func (t *task) beginReply(n int) {
	t.charge(roomFor(n))
	t.out = t.conn.srv.buffers.get(n)
	t.w.B = t.out.b[:0]
	rpc.BeginRecord(&t.w)
	rpc.BeginReply(&t.w, t.call.XID)
}

// charge counts n more bytes for t.
func (t *task) charge(n int) {
	t.bytes += n
	t.conn.inFlight.charge(n)
	t.conn.srv.inFlight.charge(t.conn.share, n)
}

// run serves the call and sends the reply.
func (t *task) run() {
	if c := t.conn; t.serve(c.ctx) {
		c.send(t)
	}
}

// serve has the call handled. It returns true if a reply is to be sent, and forgets t
// otherwise.
func (t *task) serve(ctx context.Context) bool {
	c := t.conn
	c.srv.observer.CallStarted()
	begun := &c.begun[c.srv.span.Load()%callSpans]
	begun.Add(1)
	err := t.handle(ctx)
	begun.Add(-1)
	c.srv.observer.CallEnded()
	c.srv.buffers.put(t.rec)
	t.rec = nil
	if over := cap(t.w.B) - cap(t.out.b); over > 0 {
		t.charge(over) // the handler needed a larger buffer
	}
	if err == nil {
		return true
	}
	t.w.Truncate(rpc.MarkLen)
	if rpc.AppendError(&t.w, t.call.XID, err) {
		return true
	}
	if errors.Is(err, errPaused) {
		c.release(t)
		c.end(reasonPaused)
		return false
	}
	if !errors.Is(err, rpc.ErrDrop) && c.ctx.Err() == nil && c.srv.noisy.allow() {
		c.srv.log.Warn("call not answered, connection closed", "client", c.client, "xid", t.call.XID,
			"prog", t.call.Prog, "proc", t.call.Proc, "err", err)
	}
	c.release(t)
	c.drop()
	return false
}

// handle calls the handler, unless the node stood still since the connection
// was made. A panic is the call's own misfortune.
func (t *task) handle(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = rpc.ErrSystem
			t.conn.srv.logPanic(t, v)
		}
	}()
	if t.conn.isStale() { // last of all: see pauseGuard
		return errPaused
	}
	return t.entry.Handler.ServeRPC(ctx, &t.call, &t.w)
}

// replySize asks the handler how long the results may become, within bounds.
func (s *Server) replySize(e *entry, call *rpc.Call) (n int) {
	if e.sizer == nil {
		return 0
	}
	defer func() {
		if recover() != nil {
			n = 0 // the handler meets the same arguments, and its panic is logged
		}
	}()
	return min(max(e.sizer.ReplySize(call), 0), s.limits.Record)
}

// release gives back everything that t holds. The caller forgets t.
func (c *conn) release(t *task) {
	c.giveBack(1, c.recycle(t))
}

// recycle puts t and its buffers into their pools and returns the bytes that
// are still counted for it.
func (c *conn) recycle(t *task) int {
	n := t.bytes
	if t.rec != nil {
		c.srv.buffers.put(t.rec)
	}
	if t.out != nil {
		t.out.b = t.w.B // the handler may have moved to a larger one
		c.srv.buffers.put(t.out)
	}
	*t = task{}
	c.srv.tasks.Put(t)
	return n
}

// giveBack returns calls and bytes to the budgets.
func (c *conn) giveBack(calls, bytes int) {
	c.touch()
	c.srv.inFlight.release(c.share, calls, bytes)
	c.inFlight.release(calls, bytes)
	c.calls.Add(-calls)
}

// logPanic records a panic of a handler.
func (s *Server) logPanic(t *task, v any) {
	if !s.noisy.allow() {
		return
	}
	s.log.Error("handler panicked", "panic", v, "client", t.conn.client, "xid", t.call.XID,
		"prog", t.call.Prog, "proc", t.call.Proc, "stack", string(debug.Stack()))
}
