package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"sync"
)

// Handler acts on the requests of peers. Its methods must not block, but for
// HandleRead; each calls its reply function exactly once, from any goroutine.
type Handler interface {
	// HandleForward proposes enc if this node leads term, and the call was not
	// taken too long ago, when the log had the given age. The handler owns enc. The result is sent for StatusOK only.
	HandleForward(peer string, term, age uint64, enc []byte, reply func(st Status, result []byte))
	// HandleRead answers a read. It is called on a goroutine of its own and may
	// block until ctx ends, and reply blocks while there is no room for the answer.
	// The answer is sent for StatusOK only; one of MaxBody bytes or more is not.
	HandleRead(ctx context.Context, peer string, req []byte, reply func(st Status, answer []byte))
	// HandleSpace takes note of a peer's space and returns this node's.
	HandleSpace(peer string, theirs Space) Space
}

// Server serves the streams that peers open.
type Server struct {
	handler Handler
	log     *slog.Logger
	wg      sync.WaitGroup
	reads   chan struct{}   // capacity maxReads: held by each read
	ctx     context.Context // ends with Close
	stop    context.CancelFunc

	mu struct {
		sync.Mutex
		ln     net.Listener
		open   map[*outbox]struct{}
		closed bool
	}
}

// NewServer returns a Server that is not serving yet.
func NewServer(h Handler, log *slog.Logger) *Server {
	s := &Server{handler: h, log: log, reads: make(chan struct{}, maxReads)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.mu.open = make(map[*outbox]struct{})
	return s
}

// Serve accepts streams in a goroutine of its own until Close.
func (s *Server) Serve(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.mu.ln = ln
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.accept(conn)
		}
	})
}

// Close ends all streams and waits for their goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	s.mu.closed = true
	s.stop()
	if s.mu.ln != nil {
		s.mu.ln.Close()
	}
	for o := range s.mu.open {
		o.close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) accept(conn net.Conn) {
	o := newOutbox(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		conn.Close()
		return
	}
	s.mu.open[o] = struct{}{}
	s.wg.Go(o.run)
	s.wg.Go(func() {
		s.read(conn, o)
		o.close()
		s.mu.Lock()
		delete(s.mu.open, o)
		s.mu.Unlock()
	})
}

func (s *Server) read(conn net.Conn, o *outbox) {
	peer := conn.RemoteAddr().String()
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			return
		}
		if err := s.handle(peer, f, o); err != nil {
			s.log.Warn("bad frame from peer, connection closed", "peer", peer, "type", f.typ, "err", err)
			return
		}
	}
}

// handle acts on one frame. An error ends the connection.
func (s *Server) handle(peer string, f frame, o *outbox) error {
	switch f.typ {
	case frameForward:
		return s.forward(peer, f, o)
	case frameSpace:
		return s.space(peer, f, o)
	case frameRead:
		s.answerRead(peer, f, o)
		return nil
	default:
		return fmt.Errorf("%w: unknown type", errFrame)
	}
}

func (s *Server) forward(peer string, f frame, o *outbox) error {
	if len(f.body) < forwardHead {
		return fmt.Errorf("%w: body of %d bytes", errFrame, len(f.body))
	}
	term, age := binary.BigEndian.Uint64(f.body), binary.BigEndian.Uint64(f.body[8:])
	s.handler.HandleForward(peer, term, age, f.body[forwardHead:], func(st Status, result []byte) {
		o.put(frameForwardReply, f.id, []byte{byte(st)}, result)
	})
	return nil
}

// answerRead has a read answered on a goroutine of its own. Too many at once are told to
// come again.
func (s *Server) answerRead(peer string, f frame, o *outbox) {
	select {
	case s.reads <- struct{}{}:
	default:
		o.put(frameReadReply, f.id, []byte{byte(StatusBusy)})
		return
	}
	s.wg.Go(func() {
		defer func() { <-s.reads }()
		s.handler.HandleRead(s.ctx, peer, f.body, func(st Status, answer []byte) {
			if len(answer) >= MaxBody {
				s.log.Error("an answer is too large", "peer", peer, "bytes", len(answer))
				st, answer = StatusUnknown, nil
			}
			o.putWait(s.ctx, maxBufferedReads, frameReadReply, f.id, []byte{byte(st)}, answer)
		})
	})
}

// space answers a frame about space. One of another version is answered with
// nothing that its sender could take for a figure.
func (s *Server) space(peer string, f frame, o *outbox) error {
	theirs, ok, err := decodeSpace(f.body)
	if err != nil {
		return err
	}
	if !ok {
		o.put(frameSpaceReply, f.id, []byte{spaceVersion})
		return nil
	}
	o.put(frameSpaceReply, f.id, s.handler.HandleSpace(peer, theirs).append(nil))
	return nil
}
