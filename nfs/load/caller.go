package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/xdr"
)

// How long a caller waits before it repeats a call that was answered JUKEBOX, and after an operation that failed.
const (
	jukeboxFirst = time.Millisecond
	jukeboxMost  = 100 * time.Millisecond
	failurePause = time.Millisecond
)

// span is the time within which what ends is counted.
type span struct{ begin, end time.Time }

func (s span) holds(t time.Time) bool { return !t.Before(s.begin) && t.Before(s.end) }

// farAway ends a span that something else ends.
func farAway(from time.Time) time.Time { return from.Add(1000 * time.Hour) }

// caller makes operations one after the other.
type caller struct {
	run     *run
	id      int
	sh      *shared // of its server
	link    *link
	cl      *client.Client // the link's, until it fails
	slot    atomic.Pointer[client.Slot]
	rng     *rand.Rand
	t       *tally
	span    span
	perCall bool          // each call is an operation
	want    client.Status // the status that the next reply should have

	heads [len(procNames)][]byte // a call's message up to its arguments
	w     xdr.Writer
	r     xdr.Reader
	text  []byte // a name
	buf   []byte // what is to be written

	own     client.FH // the directory that only this caller changes
	dir     client.FH // a directory in own that is not full yet
	dirs    int       // made so far
	entries int       // made in dir
	made    int       // names made so far
	fh      client.FH // of the operation at hand
	files   []file    // that this caller may remove or rename
	page    page      // how far a listing is
	script  int       // how far the git commands are
	logged  int       // lines in its git log
	unpack  unpack    // how far its tree is
}

func newCaller(r *run, id int, sh *shared, l *link) *caller {
	cl := l.client()
	c := &caller{run: r, id: id, sh: sh, link: l, cl: cl, t: newTally()}
	c.slot.Store(cl.NewSlot())
	c.rng = rand.New(rand.NewPCG(r.cfg.Seed, uint64(id)+1))
	for proc := range c.heads {
		var w xdr.Writer
		cl.EncodeCall(&w, progNFS, nfsVersion, uint32(proc))
		c.heads[proc] = w.B
	}
	c.span = span{begin: farAway(time.Now()), end: farAway(time.Now())} // nothing is counted yet
	return c
}

// begin starts the message of a call. What it returns takes the arguments.
func (c *caller) begin(proc uint32) *xdr.Writer {
	c.w.B = append(c.w.B[:0], c.heads[proc]...)
	return &c.w
}

// send makes the call that begin started.
func (c *caller) send(proc uint32, data []byte) (*xdr.Reader, error) {
	return c.exchange(proc, c.w.B, data)
}

// exchange makes a call whose message is encoded and returns its results, behind the status, which is the one that is wanted.
func (c *caller) exchange(proc uint32, head, data []byte) (*xdr.Reader, error) {
	if c.perCall && !c.run.takeOp() {
		return nil, errStopped
	}
	start := time.Now()
	now := start
	for pause := jukeboxFirst; ; pause = min(2*pause, jukeboxMost) {
		if !now.Before(c.span.end) || c.run.halt.Load() {
			return nil, errStopped
		}
		res, err := c.slot.Load().Call(now, head, data)
		for err != nil && c.failed() {
			xid := c.slot.Load().LastXID() // the server may know it: NFS clients keep it, too
			if err := c.reconnect(); err != nil {
				return nil, err
			}
			res, err = c.slot.Load().CallAs(xid, now, head, data)
		}
		now = time.Now()
		if err != nil {
			return nil, c.unanswered(proc, err)
		}
		c.r = *xdr.NewReader(res)
		status := client.OK
		if proc != client.ProcNull {
			status = client.Status(c.r.Uint32())
		}
		if status == client.ErrJukebox && now.Sub(start) < c.run.cfg.Timeout {
			c.t.jukebox++
			time.Sleep(pause)
			now = time.Now()
			continue
		}
		if status != c.want {
			return nil, &callError{proc: proc, what: status.String()}
		}
		c.count(proc, now, now.Sub(start))
		return &c.r, nil
	}
}

// count counts a call that was answered as it should be.
func (c *caller) count(proc uint32, now time.Time, d time.Duration) {
	if !c.span.holds(now) {
		return
	}
	c.t.call(proc, d)
	if c.perCall {
		c.t.operation(d, 0)
	}
}

// failed reports whether the connection has failed.
func (c *caller) failed() bool {
	select {
	case <-c.cl.Done():
		return true
	default:
		return false
	}
}

// reconnect takes another connection. The call that is outstanding is to be repeated over it.
func (c *caller) reconnect() error {
	cl, err := c.link.renew(c.cl, &c.run.halt)
	if err != nil {
		return err
	}
	c.cl = cl
	c.slot.Store(cl.NewSlot())
	c.t.repeated++
	return nil
}

// unanswered sorts the ways in which a call has no result.
func (c *caller) unanswered(proc uint32, err error) error {
	switch {
	case errors.Is(err, errStopped):
		return errStopped
	case errors.Is(err, errLost):
		c.t.lost++
		return errLost
	}
	return &callError{proc: proc, what: err.Error()} // the RPC layer refused it
}

// bad is the error of a reply that says something wrong.
func bad(proc uint32, format string, args ...any) error {
	return &callError{proc: proc, what: fmt.Sprintf(format, args...)}
}

// loop makes operations until there are enough. It returns only what ends the run.
func (c *caller) loop(wl *Workload) error {
	for wl.perCall || c.run.takeOp() {
		if wl.fills {
			if err := c.settle(c.roll()); err != nil {
				return stopped(err)
			}
		}
		start := time.Now()
		units, err := wl.op(c)
		end := time.Now()
		if err == nil {
			if !wl.perCall && c.span.holds(end) {
				c.t.operation(end.Sub(start), units)
			}
			continue
		}
		if err = c.settle(err); err != nil {
			return stopped(err)
		}
	}
	return nil
}

// settle counts an error after which the caller goes on, and returns any other.
func (c *caller) settle(err error) error {
	var wrong *callError
	switch {
	case err == nil || errors.Is(err, errLost):
		return nil
	case errors.As(err, &wrong):
		c.t.errors[wrong.Error()]++
		time.Sleep(failurePause)
		return nil
	}
	return err
}

// stopped makes an end that was asked for no error.
func stopped(err error) error {
	if errors.Is(err, errStopped) || errors.Is(err, errUsedUp) {
		return nil
	}
	return err
}
