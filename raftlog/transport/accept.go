package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// acceptLoop runs until the listener is closed.
func (m *Mux) acceptLoop() {
	pause := time.Duration(0)
	for {
		raw, err := m.ln.Accept()
		if err == nil {
			pause = 0
			m.start(raw)
			continue
		}
		if m.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		pause = min(max(2*pause, 5*time.Millisecond), acceptPauseMax)
		m.log.write(slog.LevelError, "accept", "", "peer connections cannot be accepted", slog.Any("err", err))
		select {
		case <-time.After(pause):
		case <-m.ctx.Done():
			return
		}
	}
}

// start begins the hello of an inbound connection if there is room for it.
func (m *Mux) start(raw net.Conn) {
	from := addrOf(raw.RemoteAddr())
	if err := m.beginHello(raw, from); err != nil {
		raw.Close()
		level := slog.LevelWarn
		if errors.Is(err, ErrClosed) {
			level = slog.LevelDebug // this node stops
		}
		m.log.write(level, "hellos", "", "inbound peer connection dropped",
			slog.String("from", raw.RemoteAddr().String()), slog.Any("err", err))
		return
	}
	m.wg.Go(func() {
		defer m.endHello(from)
		if err := m.welcome(raw); err != nil {
			m.drop(raw)
			level := slog.LevelWarn
			// It changed its mind, as a probe does that has heard enough, or this
			// node stops.
			if err == io.EOF || m.ctx.Err() != nil {
				level = slog.LevelDebug
			}
			m.log.write(level, "hello "+level.String(), "", "inbound peer connection ended in its hello",
				slog.String("from", raw.RemoteAddr().String()), slog.Any("err", err))
		}
	})
}

func (m *Mux) beginHello(raw net.Conn, from netip.Addr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.mu.closed:
		return ErrClosed
	case m.mu.hellos >= MaxHellos, m.mu.helloFrom[from] >= MaxHellosPerAddr:
		return fmt.Errorf("%w: %d hellos in progress, %d of them from this address", ErrBusy, m.mu.hellos, m.mu.helloFrom[from])
	}
	m.mu.hellos++
	m.mu.helloFrom[from]++
	m.mu.conns[raw] = struct{}{}
	return nil
}

func (m *Mux) endHello(from netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.hellos--
	if m.mu.helloFrom[from]--; m.mu.helloFrom[from] == 0 {
		delete(m.mu.helloFrom, from)
	}
}

// welcome conducts the acceptor's side of a hello. An error means that the
// connection is to be dropped and that nothing was logged yet.
func (m *Mux) welcome(raw net.Conn) error {
	if err := m.prepare(raw); err != nil {
		return err
	}
	conn, cert, err := m.secure(m.ctx, raw, "")
	if err != nil {
		return err
	}
	h, refused, err := readHello(conn)
	if err != nil {
		return err
	}
	if h == nil {
		// Whom the answer goes to is not known; the refusal is what counts.
		answer := m.ownHello(raw, streamMeet, m.cfg.Self.Name)
		return m.turnAway(raw, conn, answer, refused, "")
	}
	answer := m.ownHello(raw, h.Kind, h.Node)
	refused = m.checker().check(h, "", cert)
	if refused == nil && h.Kind != streamMeet {
		refused = m.checkRoom(h)
	}
	if refused != nil {
		return m.turnAway(raw, conn, answer, refused, h.Node)
	}
	if !h.Probe {
		m.heardOf(h)
	}
	if h.Kind == streamMeet && m.Binding() != nil {
		roster := m.Roster() // whoever is unbound needs the addresses
		answer.Roster = &roster
	}
	if err := writeFrame(conn, answer); err != nil {
		return err
	}
	if h.Kind == streamMeet {
		m.drop(raw)
		if !h.Probe {
			m.kickMeet(h.Node)
		}
		return nil
	}
	return m.handOver(raw, conn, h)
}

// checkRoom refuses what would be dropped after the hello.
func (m *Mux) checkRoom(h *hello) *Refusal {
	l := m.consumer(h.Kind)
	switch {
	case l == nil:
		return refusal(CodeNoConsumer, "node %s takes no streams of kind %d at present", m.cfg.Self.Name, h.Kind)
	case l.full():
		return refusal(CodeBusy, "%d streams of kind %d wait to be taken by node %s", AcceptQueue, h.Kind, m.cfg.Self.Name)
	case m.crowded(h.Node, h.Kind, true):
		return refusal(CodeBusy, "node %s has %d streams of kind %d open to node %s, or the two have %d altogether",
			h.Node, MaxInboundPerKind, h.Kind, m.cfg.Self.Name, MaxStreamsPerPeer)
	}
	return nil
}

// turnAway answers with a refusal, logs it and drops the connection.
func (m *Mux) turnAway(raw, conn net.Conn, answer *hello, refused *Refusal, peer string) error {
	refused.By = m.cfg.Self.Name
	answer.Refused = refused
	answer.Addrs = nil // room for the text
	// The answer is a courtesy: the log line below is written anyway.
	_ = writeFrame(conn, answer)
	m.drop(raw)
	m.logInbound(raw, refused, peer)
	return nil
}

// logInbound logs a refusal of an inbound connection. The name in the hello is
// a log key only if it is a member's.
func (m *Mux) logInbound(raw net.Conn, refused *Refusal, peer string) {
	if _, ok := m.known(peer); !ok {
		peer = ""
	}
	if !refused.Transient() {
		m.setProblem(peer, refused.Error())
	}
	m.log.refused(refused, peer, "stream from peer refused",
		slog.String("from", raw.RemoteAddr().String()), slog.String("by", refused.By))
}

// handOver waits for the dialler's verdict and queues the stream.
func (m *Mux) handOver(raw, conn net.Conn, h *hello) error {
	refused, err := readVerdict(conn, h.Node)
	if err != nil {
		return err
	}
	if refused != nil {
		m.drop(raw)
		m.logInbound(raw, refused, h.Node)
		return nil
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s, err := m.admit(conn, raw, h, true)
	if err != nil {
		return err
	}
	if l := m.consumer(h.Kind); l == nil || !l.push(s) {
		s.Close()
		level := slog.LevelWarn
		if l == nil || m.consumer(h.Kind) != l {
			level = slog.LevelDebug // the consumer has just gone, as in a planned stop
		}
		m.log.write(level, "queue", h.Node, "inbound stream dropped: nobody takes it",
			slog.Int("kind", int(h.Kind)))
	}
	return nil
}
