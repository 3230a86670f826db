package caller

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"twofold/nfs/client"
)

// Habit is what a client does when a call is not answered.
type Habit int

// The habits.
const (
	Waits  Habit = iota // repeats the call at the same node until that answers
	Moves               // repeats it at either node in turn, also when the node is silent
	Leaves              // like Moves, but never learns what became of a call that was lost once
)

// Bounds of one attempt.
const (
	dialLimit    = time.Second
	retryPause   = 20 * time.Millisecond
	jukeboxPause = 50 * time.Millisecond // the kernel waits 5 s: a test need not
	silenceLimit = 700 * time.Millisecond
)

// ErrLeft says that the call was given up: its outcome is unknown.
var ErrLeft = errors.New("given up, outcome unknown")

// Caller makes calls.
type Caller struct {
	addrs [2]string
	node  int
	habit Habit
	xid   uint32
	conn  *client.Client // nil while there is none

	// Repeats and Jukeboxes count what happened on the way to the answers.
	Repeats   int
	Jukeboxes int
}

// New returns a caller that begins at one of the nodes.
func New(addrs [2]string, node int, h Habit) *Caller {
	return &Caller{addrs: addrs, node: node, habit: h, xid: rand.Uint32()}
}

// Close ends the connection.
func (c *Caller) Close() {
	if c.conn != nil {
		_ = c.conn.Close() // the connection is done with
		c.conn = nil
	}
}

// Call is one NFS call by a typed method of the client, which takes one XID.
type Call func(ctx context.Context, c *client.Client) (client.Status, error)

// Do makes a call until it is answered.
func (c *Caller) Do(ctx context.Context, f Call) (client.Status, error) {
	for {
		if err := ctx.Err(); err != nil {
			c.leave()
			return 0, err
		}
		if !c.connect(ctx) {
			c.next()
			continue
		}
		st, err := c.attempt(ctx, f)
		switch {
		case err == nil && st == client.ErrJukebox:
			c.xid++
			c.Jukeboxes++
			time.Sleep(jukeboxPause)
			continue
		case err == nil:
			c.xid++
			return st, nil
		case !c.lost() && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return st, err // the reply makes no sense
		}
		if ctx.Err() == nil && c.habit == Leaves {
			c.leave()
			return 0, ErrLeft
		}
		c.Close()
		c.Repeats++
		c.next()
	}
}

// attempt sends the call once.
func (c *Caller) attempt(ctx context.Context, f Call) (client.Status, error) {
	if c.habit != Waits {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, silenceLimit)
		defer cancel()
	}
	return f(ctx, c.conn)
}

// connect makes one attempt and reports whether there is a connection now. Its first call will have the XID of the one that is due.
func (c *Caller) connect(ctx context.Context) bool {
	if c.conn != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn, err := client.Dial(ctx, c.addrs[c.node], client.WithFirstXID(c.xid))
	if err != nil {
		return false
	}
	c.conn = conn
	return true
}

func (c *Caller) lost() bool {
	select {
	case <-c.conn.Done():
		return true
	default:
		return false
	}
}

// leave gives the call up: its XID is not used again.
func (c *Caller) leave() {
	c.Close()
	c.xid++
}

// next waits a moment and chooses the node to try.
func (c *Caller) next() {
	time.Sleep(retryPause)
	if c.habit != Waits {
		c.node = 1 - c.node
	}
}
