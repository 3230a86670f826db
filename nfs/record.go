package nfs

import (
	"errors"
	"io"
	"time"

	"twofold/nfs/rpc"
)

// errNotAdmitted ends the reading of a connection on which a client that
// Config.Admit turns down sends a record over smallRecord.
var errNotAdmitted = errors.New("nfs: large record from a client that is not admitted")

// incoming is the record that a connection is reading. It belongs to the
// reading goroutine.
type incoming struct {
	buf      *buffer // nil before there is room
	room     int     // capacity of buf that is counted
	connRoom int     // counted in the connection's budget, with one call
	timed    bool    // a read deadline is set
	deadline time.Time
	admitted bool          // Config.Admit was asked and agreed
	held     time.Duration // for how long limits kept the server from reading it
	large    unfinished    // in the server's intake, unless the record was small
}

// grow provides the memory of a record (rpc.Grow), for as much of n as there is
// room for. A record that fits in the connection's read buffer takes nothing
// before it has arrived there. A larger one is counted in the intake and grows
// in steps as it arrives.
func (c *conn) grow(b []byte, n int, more bool) ([]byte, error) {
	r := &c.rec
	if r.buf == nil {
		whole, err := c.beginRecord(n, more)
		if err != nil {
			return nil, err
		}
		if whole {
			return r.buf.b[:n], nil
		}
	}
	need := len(b) + n
	if err := c.admit(need); err != nil {
		return nil, err
	}
	if n > 0 && len(b) == r.room {
		if err := c.widen(b, need, more); err != nil {
			return nil, err
		}
	}
	c.srv.intake.touch(&r.large)
	return r.buf.b[:min(need, r.room, len(b)+progress)], nil
}

// beginRecord waits for the beginning of a record and counts it. It returns true
// if that is all of it and it has its buffer.
func (c *conn) beginRecord(n int, more bool) (whole bool, err error) {
	c.rec.admitted = false
	if more || c.br.Buffered() < n {
		c.midRecord.Store(true)
		if err := c.setRecordDeadline(time.Now().Add(c.srv.limits.RecordTime)); err != nil {
			return false, err
		}
		if _, err := c.br.Peek(min(n, readBuffer)); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return false, err
		}
	}
	if err := c.admit(n); err != nil {
		return false, err
	}
	if !more && n <= readBuffer {
		return true, c.takeSmall(n)
	}
	want := n
	if more {
		want = c.srv.limits.Record
	}
	c.turn.flush()
	waited, ok := c.inFlight.take(roomFor(want), c.stop)
	if !ok {
		return false, errStopped
	}
	c.rec.held += waited
	c.rec.connRoom = roomFor(want)
	c.srv.intake.join(&c.rec.large)
	if err := c.setRecordDeadline(c.rec.deadline.Add(waited)); err != nil {
		return false, err
	}
	return false, c.widen(nil, n, more)
}

// takeSmall counts a call of n bytes that have arrived.
func (c *conn) takeSmall(n int) error {
	room := roomFor(n)
	if !c.tryTake(room) {
		c.turn.flush() // the calls whose replies wait there hold room as well
		if err := c.takeLater(room); err != nil {
			return err
		}
	}
	c.rec.buf, c.rec.room, c.rec.connRoom = c.srv.buffers.get(n), room, room
	return nil
}

// tryTake counts a call that holds n bytes, if there is room for it.
func (c *conn) tryTake(n int) bool {
	if !c.inFlight.tryTake(n) {
		return false
	}
	if !c.srv.inFlight.tryTake(c.share, n) {
		c.inFlight.release(1, n)
		return false
	}
	return true
}

// takeLater counts a call that holds n bytes, as soon as there is room for it.
func (c *conn) takeLater(n int) error {
	waited, ok := c.inFlight.take(n, c.stop)
	if !ok {
		return errStopped
	}
	c.rec.held += waited
	if waited, ok = c.srv.inFlight.take(c.share, n, c.stop); !ok {
		c.inFlight.release(1, n)
		return errStopped
	}
	c.rec.held += waited
	return nil
}

// admit refuses records over smallRecord from whom they are not taken.
func (c *conn) admit(n int) error {
	if n <= smallRecord || c.rec.admitted || c.srv.admit == nil {
		return nil
	}
	if !c.srv.admit(c.client) {
		return errNotAdmitted
	}
	c.rec.admitted = true
	return nil
}

// widen gives a large record, of which b has arrived, the next step towards
// need. How long it waits for room is not counted against its client.
func (c *conn) widen(b []byte, need int, more bool) error {
	r := &c.rec
	next := nextStep(r.room, need)
	if more {
		// Small fragments must not mean a copy each.
		next = min(max(next, 2*r.room, smallRecord), max(need, c.srv.limits.Record))
	}
	room := roomFor(next)
	waited, ok := c.srv.intake.take(&r.large, room-r.room, c.stop)
	if !ok {
		return errStopped
	}
	old := r.buf
	r.buf, r.room = c.srv.buffers.get(next), room
	if old != nil {
		copy(r.buf.b[:len(b)], b) // both are there for as long as this takes, and one is counted
		c.srv.buffers.put(old)
	}
	if waited > 0 {
		r.held += waited
		return c.setRecordDeadline(r.deadline.Add(waited))
	}
	return nil
}

// nextStep returns how much a record of need bytes gets after room is full. The
// last step is taken early if there would be little left for another.
func nextStep(room, need int) int {
	step := max(firstStep, stepFactor*room)
	if need <= step+step/4 {
		return need
	}
	return step
}

// endRecord makes a call of the record that has arrived: it goes from the intake
// into the budget of calls.
func (c *conn) endRecord() error {
	r := &c.rec
	if r.large.joined { // set by this goroutine alone
		c.srv.intake.completed(&r.large) // after this nobody but stopReading sets a deadline
	}
	if err := c.clearDeadline(); err != nil {
		return err
	}
	if !r.large.joined {
		return nil
	}
	waited, ok := c.srv.inFlight.take(c.share, r.room, c.stop)
	if !ok {
		return errStopped
	}
	r.held += waited
	c.srv.intake.leave(&r.large)
	if over := r.connRoom - r.room; over > 0 { // it came in fragments
		c.inFlight.release(0, over)
		r.connRoom = r.room
	}
	return nil
}

// dropRecord gives back what a record holds that did not become a call.
func (c *conn) dropRecord() {
	r := &c.rec
	if r.buf != nil {
		c.srv.buffers.put(r.buf)
		r.buf = nil
		if !r.large.joined {
			c.srv.inFlight.release(c.share, 1, r.room)
		}
	}
	if r.large.joined {
		c.srv.intake.leave(&r.large)
	}
	if r.connRoom > 0 {
		c.inFlight.release(1, r.connRoom)
	}
	r.room, r.connRoom, r.held = 0, 0, 0
}

// refuseLarge answers the call that a large record of a client without admission
// begins, as Linux answers one to whom nothing is exported
// (svcauth_unix_set_client in net/sunrpc/svcauth_unix.c). A client that only
// saw its connection close would come back with the same call for ever.
func (c *conn) refuseLarge() error {
	head, err := c.br.Peek(min(c.br.Buffered(), smallRecord))
	if err != nil || c.rec.buf != nil {
		return errNotAdmitted // a later fragment: the head is gone
	}
	if err := c.takeSmall(len(head)); err != nil {
		return err
	}
	rec := c.rec.buf.b[:len(head)]
	copy(rec, head)
	t := c.newTask()
	switch err = rpc.ParseCall(rec, &t.call, &c.creds); {
	case errors.Is(err, rpc.ErrNotCall), errors.Is(err, rpc.ErrShortCall):
		c.release(t)
		return errNotAdmitted
	case err == nil:
		err = rpc.AuthBadCred
	}
	c.answerError(t, err)
	c.srv.observer.ConnCut(reasonNotAdmitted)
	if c.srv.noisy.allow() {
		c.srv.log.Warn("large record refused, connection closed", "client", c.client, "err", errNotAdmitted)
	}
	return errStopped
}

func (c *conn) clearDeadline() error {
	if !c.rec.timed {
		return nil
	}
	c.rec.timed = false
	c.midRecord.Store(false)
	return c.setDeadline(time.Time{})
}

// setRecordDeadline sets when the record has to be complete.
func (c *conn) setRecordDeadline(t time.Time) error {
	c.rec.timed, c.rec.deadline = true, t
	return c.setDeadline(t)
}

// setDeadline sets the read deadline, unless reading was stopped: stopReading
// sets one of its own after it has closed c.stop, so one of the two is seen.
func (c *conn) setDeadline(t time.Time) error {
	if err := c.nc.SetReadDeadline(t); err != nil {
		return err
	}
	if c.isStopped() {
		return errStopped
	}
	return nil
}
