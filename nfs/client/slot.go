package client

import (
	"bytes"
	"context"
	"time"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// Slot is the place of one outstanding call of a goroutine that makes many, one
// after the other. It makes calls that were encoded beforehand and keeps the
// results in memory of its own, so that a call allocates nothing.
type Slot struct {
	conn  *conn
	reply chan error // has room for the one answer
	buf   []byte     // the results, until the next call
	last  uint32     // XID of the last call

	// The following are guarded by conn.pending.
	xid     uint32
	waiting bool
	since   time.Time
	next    *Slot // calls of the same XID form a list
}

// NewSlot returns a Slot on the Client's connection.
func (c *Client) NewSlot() *Slot { return newSlot(c.conn) }

func newSlot(c *conn) *Slot { return &Slot{conn: c, reply: make(chan error, 1)} }

// EncodeCall appends a call's message with the Client's credential to w, for
// [Slot.Call]. Its XID is left open. The arguments follow it.
func (c *Client) EncodeCall(w *xdr.Writer, prog, vers, proc uint32) {
	rpc.AppendCall(w, 0, prog, vers, proc, &c.cred)
}

// Call sends head and data as one message, whose XID it chooses, and returns the
// results, which are valid until the next call. Both are copied, so that they may
// be used again at once, and by many Slots. It waits for room like any call, then
// until there is a reply, the connection fails, or the call is abandoned.
func (s *Slot) Call(now time.Time, head, data []byte) ([]byte, error) {
	return s.CallAs(s.conn.xid.Add(1)-1, now, head, data)
}

// CallAs is Call with an XID, to repeat a call of another connection that failed.
func (s *Slot) CallAs(xid uint32, now time.Time, head, data []byte) ([]byte, error) {
	c := s.conn
	s.last = xid
	select {
	case c.slots <- struct{}{}:
	case <-c.failed:
		return nil, c.lastError()
	}
	if err := c.register(xid, s, now); err != nil {
		return nil, err
	}
	if err := c.sendEncoded(xid, head, data); err != nil && c.forget(s) {
		return nil, err
	}
	if err := <-s.reply; err != nil {
		return nil, err
	}
	return rpc.ParseReply(s.buf)
}

// LastXID is the XID of the last call.
func (s *Slot) LastXID() uint32 { return s.last }

// Abandon ends the Slot's call with err if it was made before a time, and
// reports whether there was one. The server may still act on it.
func (s *Slot) Abandon(before time.Time, err error) bool {
	if !s.conn.forgetBefore(s, before) {
		return false
	}
	s.reply <- err
	return true
}

// answer gives the Slot a reply. Who calls it has taken the Slot from those that wait.
func (s *Slot) answer(rec []byte) {
	s.buf = append(s.buf[:0], rec...)
	s.reply <- nil
}

// do sends one call and waits for its reply.
func (c *conn) do(ctx context.Context, r *Request) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s := slotPool.Get().(*Slot)
	s.conn = c
	if err := c.register(r.XID, s, time.Time{}); err != nil {
		slotPool.Put(s)
		return nil, err
	}
	if err := c.sendRequest(ctx, r); err != nil && c.forget(s) {
		slotPool.Put(s)
		return nil, err
	}
	var err error
	select {
	case err = <-s.reply:
	case <-ctx.Done():
		if c.forget(s) {
			slotPool.Put(s)
			return nil, ctx.Err()
		}
		err = <-s.reply // it came at the same moment
	}
	if err != nil {
		slotPool.Put(s)
		return nil, err
	}
	rec := bytes.Clone(s.buf) // the caller's own
	slotPool.Put(s)
	return rpc.ParseReply(rec)
}
