package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

// redialPause is the least time between two dials of one peer, so that a dead
// peer costs its callers little.
const redialPause = 20 * time.Millisecond

// dialLimit bounds one attempt to open a stream, for which its callers wait.
const dialLimit = time.Second

// Dialer opens a stream to a peer.
type Dialer func(ctx context.Context, peer string) (net.Conn, error)

// Client sends requests to peers by name.
type Client struct {
	dial Dialer
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		links  map[string]*link
		closed bool
	}
}

// NewClient returns a Client that opens streams with dial.
func NewClient(dial Dialer) *Client {
	c := &Client{dial: dial}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.mu.links = make(map[string]*link)
	return c
}

// Close ends all streams and waits for their goroutines.
func (c *Client) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.stop()
	for _, l := range c.mu.links {
		l.drop(nil)
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// Forward sends a command to the leader of term and returns its reply. The
// result is set for StatusOK only. age is that of the log when the call was taken.
func (c *Client) Forward(ctx context.Context, to string, term, age uint64, enc []byte) (Status, []byte, error) {
	var t [forwardHead]byte
	binary.BigEndian.PutUint64(t[:], term)
	binary.BigEndian.PutUint64(t[8:], age)
	body, err := c.call(ctx, to, frameForward, t[:], enc)
	if err != nil {
		return 0, nil, err
	}
	if len(body) < 1 {
		return 0, nil, ErrBroken
	}
	return Status(body[0]), body[1:], nil
}

// Read sends a read and returns its answer, which is set for StatusOK only.
func (c *Client) Read(ctx context.Context, to string, req []byte) (Status, []byte, error) {
	body, err := c.call(ctx, to, frameRead, req)
	if err != nil {
		return 0, nil, err
	}
	if len(body) < 1 {
		return 0, nil, ErrBroken
	}
	return Status(body[0]), body[1:], nil
}

// Space tells a peer this node's space and returns the peer's. The peer answers at
// once if it can: if it has not when ctx ends, the connection is given up, and the
// requests on it are broken. It may be one that a cut has left in the kernel's hands,
// which come back to it late.
func (c *Client) Space(ctx context.Context, to string, own Space) (Space, error) {
	s, err := c.session(ctx, to)
	if err != nil {
		return Space{}, err
	}
	body, err := s.call(ctx, frameSpace, [][]byte{own.append(nil)})
	if err != nil {
		if ctx.Err() != nil {
			s.link.drop(s)
		}
		return Space{}, err
	}
	theirs, ok, err := decodeSpace(body)
	if err != nil || !ok {
		return Space{}, fmt.Errorf("%w: an answer of another version", ErrBroken)
	}
	return theirs, nil
}

func (c *Client) call(ctx context.Context, to string, typ uint8, parts ...[]byte) ([]byte, error) {
	s, err := c.session(ctx, to)
	if err != nil {
		return nil, err
	}
	return s.call(ctx, typ, parts)
}

func (c *Client) session(ctx context.Context, to string) (*session, error) {
	l, err := c.link(to)
	if err != nil {
		return nil, err
	}
	s, err := l.session(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNotSent, err)
	}
	return s, nil
}

func (c *Client) link(to string) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, ErrNotSent
	}
	l := c.mu.links[to]
	if l == nil {
		l = &link{client: c, peer: to, dialing: make(chan struct{}, 1)}
		c.mu.links[to] = l
	}
	return l, nil
}

// link is the way to one peer: at most one session at a time.
type link struct {
	client  *Client
	peer    string
	dialing chan struct{} // capacity 1: held by who dials

	mu       sync.Mutex
	current  *session  // nil while there is none; guarded by mu
	lastDial time.Time // guarded by dialing
}

func (l *link) live() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// drop forgets s, or with nil the current session, and closes it.
func (l *link) drop(s *session) {
	l.mu.Lock()
	if s == nil {
		s = l.current
	}
	if l.current == s {
		l.current = nil
	}
	l.mu.Unlock()
	if s != nil {
		s.fail()
	}
}

// session returns the live session or dials one.
func (l *link) session(ctx context.Context) (*session, error) {
	if s := l.live(); s != nil {
		return s, nil
	}
	select {
	case l.dialing <- struct{}{}:
		defer func() { <-l.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.client.ctx.Done():
		return nil, net.ErrClosed
	}
	if s := l.live(); s != nil {
		return s, nil
	}
	if wait := redialPause - time.Since(l.lastDial); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l.lastDial = time.Now()
	dialCtx, cancel := context.WithTimeout(ctx, dialLimit)
	defer context.AfterFunc(l.client.ctx, cancel)()
	defer cancel()
	conn, err := l.client.dial(dialCtx, l.peer)
	if err != nil {
		return nil, err
	}
	return l.start(conn)
}

// start makes conn the link's session and starts its two goroutines.
func (l *link) start(conn net.Conn) (*session, error) {
	s := &session{link: l, out: newOutbox(conn), waiting: make(map[uint64]chan []byte)}
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if l.client.mu.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.client.wg.Go(s.out.run)
	l.client.wg.Go(func() { s.read(conn) })
	l.mu.Lock()
	l.current = s
	l.mu.Unlock()
	return s, nil
}

// session is one connection and the requests that are out on it.
type session struct {
	link *link
	out  *outbox

	mu      sync.Mutex
	nextID  uint64                 // guarded by mu
	waiting map[uint64]chan []byte // nil once failed; guarded by mu
}

func (s *session) call(ctx context.Context, typ uint8, parts [][]byte) ([]byte, error) {
	reply := make(chan []byte, 1)
	s.mu.Lock()
	if s.waiting == nil {
		s.mu.Unlock()
		return nil, ErrNotSent
	}
	s.nextID++
	id := s.nextID
	s.waiting[id] = reply
	s.mu.Unlock()

	if !s.out.putWait(ctx, MaxBuffered, typ, id, parts...) {
		s.forget(id)
		return nil, ErrNotSent
	}
	select {
	case body, ok := <-reply:
		if !ok {
			return nil, ErrBroken
		}
		return body, nil
	case <-ctx.Done():
		s.forget(id)
		return nil, fmt.Errorf("%w: %w", ErrBroken, ctx.Err())
	}
}

func (s *session) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// read hands replies to their callers until the connection ends.
func (s *session) read(conn net.Conn) {
	defer s.link.drop(s)
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		reply := s.waiting[f.id]
		delete(s.waiting, f.id)
		s.mu.Unlock()
		if reply != nil {
			reply <- f.body
		}
	}
}

// fail closes the connection and tells every caller that it broke.
func (s *session) fail() {
	s.out.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reply := range s.waiting {
		close(reply)
	}
	s.waiting = nil
}
