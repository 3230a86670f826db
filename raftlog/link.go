package raftlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

var errNoLink = errors.New("raftlog: no control stream")

// link is the control stream to one other member, opened again whenever it
// breaks. Its runner is the only reader; pings are written by their callers.
type link struct {
	peer   Member
	net    Net
	timing Timing
	log    *slog.Logger
	lazy   lockedLazy                   // of entries for it
	term   func() Term                  // the own one
	heard  func(peer string, term Term) // told of the member's term

	identity string // of the member in the log
	stop     func() // ends run

	mu struct {
		sync.Mutex
		conn    net.Conn // nil while there is none
		seq     uint64
		pending map[uint64]pending // by sequence number
		last    pong
		lastAt  time.Time
		strange bool // its promises have another length, which was reported
		closed  bool
	}
}

// pending is a ping without its answer yet.
type pending struct {
	sent    time.Time
	deliver func(pong, error) // called once, must not block
}

func newLink(peer Member, c *Config, l *slog.Logger, term func() Term, heard func(string, Term)) *link {
	k := &link{peer: peer, net: c.Net, timing: c.Timing, log: l, term: term, heard: heard}
	k.mu.pending = map[uint64]pending{}
	return k
}

// ping asks the member for its state.
func (k *link) ping(deliver func(pong, error)) {
	k.send(ping{Kind: controlPing, Term: k.term()}, deliver)
}

// send sends a ping. The answer that is delivered is one to this very message:
// sequence numbers are never used twice.
func (k *link) send(p ping, deliver func(pong, error)) {
	p.Promise = k.timing.Promise
	k.mu.Lock()
	conn := k.mu.conn
	if conn == nil {
		k.mu.Unlock()
		deliver(pong{}, errNoLink)
		return
	}
	if len(k.mu.pending) >= maxPings {
		k.mu.Unlock()
		conn.Close() // hopeless; the runner opens another one
		deliver(pong{}, fmt.Errorf("raftlog: %d pings to %s are unanswered", maxPings, k.peer.Name))
		return
	}
	k.mu.seq++
	k.mu.pending[k.mu.seq] = pending{time.Now(), deliver}
	// The write is under the lock so that pings leave whole and in order. It
	// does not block: maxPings of them fit into any socket's buffer.
	_, err := conn.Write(encodePing(k.mu.seq, p))
	k.mu.Unlock()
	if err != nil {
		conn.Close() // the runner notices and fails what is pending
	}
}

// state returns the last answer, and when it came.
func (k *link) state() (pong, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.last, k.mu.lastAt
}

// expire breaks a stream whose oldest ping waits for too long.
func (k *link) expire() {
	k.mu.Lock()
	conn := k.mu.conn
	late := false
	for _, p := range k.mu.pending {
		late = late || time.Since(p.sent) > k.timing.RPCTimeout
	}
	k.mu.Unlock()
	if late && conn != nil {
		conn.Close()
	}
}

// run keeps the stream open until ctx ends.
func (k *link) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		k.mu.Lock()
		conn := k.mu.conn
		k.mu.closed = true
		k.mu.Unlock()
		if conn != nil {
			conn.Close()
		}
	})
	defer stop()
	for ctx.Err() == nil {
		conn := k.dial(ctx)
		if conn == nil {
			continue
		}
		begun := time.Now()
		err := k.read(conn)
		k.drop(conn, err)
		if time.Since(begun) < k.timing.RetryPause {
			k.pause(ctx) // the other side ends it at once, as one too many
		}
	}
}

// dial opens a stream, or pauses and returns nil.
func (k *link) dial(ctx context.Context) net.Conn {
	dctx, cancel := context.WithTimeout(ctx, k.timing.DialTimeout)
	conn, err := k.net.Dial(dctx, k.peer.Name, StreamControl)
	cancel()
	if err != nil {
		k.pause(ctx)
		return nil
	}
	k.mu.Lock()
	closed := k.mu.closed
	if !closed {
		k.mu.conn = conn
	}
	k.mu.Unlock()
	if closed {
		conn.Close()
		return nil
	}
	return conn
}

func (k *link) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(k.timing.RetryPause):
	}
}

func (k *link) read(conn net.Conn) error {
	var b [pongBytes]byte
	for {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return err
		}
		seq, p, err := decodePong(&b)
		if err != nil {
			return err
		}
		if p.Role != k.peer.Role {
			return fmt.Errorf("raftlog: member %s says it is a %s node, it is known as a %s node", k.peer.Name, p.Role, k.peer.Role)
		}
		k.heard(k.peer.Name, p.Term)
		k.mu.Lock()
		strange := p.Promise != k.timing.Promise.Truncate(time.Microsecond)
		told := k.mu.strange
		k.mu.strange = strange
		call, ok := k.mu.pending[seq]
		delete(k.mu.pending, seq)
		k.mu.last, k.mu.lastAt = p, time.Now()
		k.mu.Unlock()
		if !ok {
			return fmt.Errorf("raftlog: member %s answers a ping that was not sent", k.peer.Name)
		}
		if strange && !told {
			k.log.Error("a member's promises have another length: it neither leads nor counts. Stop all members, run the same version with the same timing on each, wait for the longer of the two, and start them again",
				"peer", k.peer.Name, "there", p.Promise, "here", k.timing.Promise)
		}
		call.deliver(p, nil)
	}
}

// drop forgets a broken stream and fails its pings.
func (k *link) drop(conn net.Conn, err error) {
	conn.Close()
	k.mu.Lock()
	k.mu.conn = nil
	calls := k.mu.pending
	k.mu.pending = map[uint64]pending{}
	closed := k.mu.closed
	k.mu.Unlock()
	if !closed {
		k.log.Debug("control stream broke", "peer", k.peer.Name, "err", err)
	}
	for _, c := range calls {
		c.deliver(pong{}, err)
	}
}
