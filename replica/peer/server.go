package peer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"sync"
)

// Handler acts on the requests of peers. Its methods must not block; each
// calls its reply function exactly once, from any goroutine.
type Handler interface {
	// HandleForward proposes enc if this node leads term, and the call was not
	// taken too long ago, when the log had the given age. The handler owns enc. The result is sent for StatusOK only.
	HandleForward(peer string, term, age uint64, enc []byte, reply func(st Status, result []byte))
	// HandleReadIndex answers with an index to wait for.
	HandleReadIndex(peer string, term uint64, reply func(st Status, index uint64))
	// HandleSpace takes note of a peer's space and returns this node's.
	HandleSpace(peer string, theirs Space) Space
}

// Server serves the streams that peers open.
type Server struct {
	handler Handler
	log     *slog.Logger
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		ln     net.Listener
		open   map[*outbox]struct{}
		closed bool
	}
}

// NewServer returns a Server that is not serving yet.
func NewServer(h Handler, log *slog.Logger) *Server {
	s := &Server{handler: h, log: log}
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
	id := f.id
	switch f.typ {
	case frameForward, frameReadIndex:
		if len(f.body) < 8 || f.typ == frameForward && len(f.body) < forwardHead {
			return fmt.Errorf("%w: body of %d bytes", errFrame, len(f.body))
		}
	case frameSpace:
		return s.space(peer, f, o)
	default:
		return fmt.Errorf("%w: unknown type", errFrame)
	}
	term := binary.BigEndian.Uint64(f.body)
	if f.typ == frameForward {
		age := binary.BigEndian.Uint64(f.body[8:])
		s.handler.HandleForward(peer, term, age, f.body[forwardHead:], func(st Status, result []byte) {
			o.put(frameForwardReply, id, []byte{byte(st)}, result)
		})
		return nil
	}
	s.handler.HandleReadIndex(peer, term, func(st Status, index uint64) {
		var b [9]byte
		b[0] = byte(st)
		binary.BigEndian.PutUint64(b[1:], index)
		o.put(frameIndexReply, id, b[:])
	})
	return nil
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
