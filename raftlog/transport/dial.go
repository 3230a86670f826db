package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"twofold/raftlog"
)

// Dial opens a stream of a kind to another member. Its error is a *Refusal if
// one of the two nodes does not want the other.
func (m *Mux) Dial(ctx context.Context, member string, kind raftlog.StreamKind) (net.Conn, error) {
	if !knownKind(kind) {
		return nil, fmt.Errorf("dial member %q: unknown kind of stream %d", member, kind)
	}
	if m.Binding() == nil {
		return nil, ErrNotMet
	}
	if m.crowded(member, kind, false) {
		return nil, fmt.Errorf("dial member %q: %w", member, ErrBusy)
	}
	s, err := m.dialStream(ctx, member, kind)
	if err != nil {
		if m.ctx.Err() != nil {
			return nil, ErrClosed
		}
		m.noteDialError(member, err)
		return nil, fmt.Errorf("dial member %q: %w", member, err)
	}
	return s, nil
}

// noteDialError keeps the reason for status and logs a refusal, whichever of
// the two nodes made it. Other errors are the caller's to log.
func (m *Mux) noteDialError(member string, err error) {
	m.setProblem(member, err.Error())
	var r *Refusal
	if !errors.As(err, &r) {
		m.noteForeign(member, nil) // what it was may have ended with it
		return
	}
	m.log.refused(r, member, "stream to peer refused", slog.String("by", r.By))
}

func (m *Mux) dialStream(ctx context.Context, member string, kind raftlog.StreamKind) (*stream, error) {
	var s *stream
	err := m.converse(ctx, member, kind, func(conn, raw net.Conn, h *hello, refused *Refusal) error {
		if refused != nil {
			return refused
		}
		if err := writeFrame(conn, verdict{}); err != nil {
			return err
		}
		var err error
		s, err = m.admit(conn, raw, h, false)
		return err
	})
	if err != nil {
		if s != nil {
			s.Close()
		}
		return nil, err
	}
	return s, nil
}

// converse connects to a member, exchanges hellos and hands the outcome to then:
// the member's hello, and the refusal if either node refuses. If then returns an
// error, or did not make a stream, the connection ends with converse.
func (m *Mux) converse(ctx context.Context, member string, kind raftlog.StreamKind, then func(conn, raw net.Conn, h *hello, refused *Refusal) error) error {
	to, ok := m.known(member)
	if !ok || member == m.cfg.Self.Name {
		return fmt.Errorf("%q is not another member", member)
	}
	return m.converseWith(ctx, to, kind, then)
}

// converseWith is converse with a node that need not be a member yet.
func (m *Mux) converseWith(ctx context.Context, to Known, kind raftlog.StreamKind, then func(conn, raw net.Conn, h *hello, refused *Refusal) error) error {
	raw, err := m.connect(ctx, to.Member)
	if err != nil {
		return err
	}
	if err := m.track(raw); err != nil {
		raw.Close()
		return err
	}
	if err := m.prepare(raw); err != nil {
		m.drop(raw)
		return err
	}
	// A cancelled context ends whatever read or write is going on. The deadline
	// of the hello is set before, so that it does not undo this one.
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	err = m.exchange(ctx, raw, to, kind, then)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && kind != streamMeet {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil || kind == streamMeet {
		m.drop(raw)
	}
	return err
}

func (m *Mux) exchange(ctx context.Context, raw net.Conn, to Known, kind raftlog.StreamKind, then func(conn, raw net.Conn, h *hello, refused *Refusal) error) error {
	member := to.Name
	conn, cert, err := m.secure(ctx, raw, member)
	if err != nil {
		return err
	}
	if err := writeFrame(conn, m.ownHello(raw, kind, member)); err != nil {
		return explainTLS(err, false)
	}
	h, malformed, err := readHello(conn)
	if err != nil {
		return err
	}
	if malformed != nil {
		m.noteForeign(member, nil)
		malformed.By = m.cfg.Self.Name
		return malformed
	}
	m.noteOutcast(h, member)
	refused := m.judgeAnswer(h, to, kind, cert)
	m.noteForeign(member, m.foreignness(h, member, refused))
	if refused == nil {
		m.heardOf(h)
	} else if h.Refused == nil && kind != streamMeet {
		// The acceptor logs it; if it is gone, nothing is lost.
		_ = writeFrame(conn, verdict{Refused: refused})
	}
	return then(conn, raw, h, refused)
}

// judgeAnswer returns the refusal of either node, or nil. The other's comes
// first, because it says more than that the two do not fit; but what a Meet
// draws conclusions from is judged here in any case.
func (m *Mux) judgeAnswer(h *hello, to Known, kind raftlog.StreamKind, cert certificate) *Refusal {
	if h.Refused != nil && (kind != streamMeet || h.Refused.Code != CodeNodeID) {
		return h.Refused
	}
	own := m.judge(to, h).check(h, to.Name, cert)
	if own == nil && h.Kind != kind {
		own = refusal(CodeMalformed, "node %s answers for kind %d when asked for %d", h.Node, h.Kind, kind)
	}
	if own == nil {
		return h.Refused
	}
	own.By = m.cfg.Self.Name
	return own
}

// connect opens the TCP connection to a member, resolving its address anew.
func (m *Mux) connect(ctx context.Context, to Member) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	stop := context.AfterFunc(m.ctx, cancel)
	defer stop()
	raw, err := dialTCP(ctx, to.Addr)
	if err != nil {
		if m.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return nil, err
	}
	if m.loopbackOnly() && !addrOf(raw.RemoteAddr()).IsLoopback() {
		raw.Close()
		return nil, fmt.Errorf("address %s leads to %s, which is not loopback: configure tls or set insecure_peers: true", to.Addr, raw.RemoteAddr())
	}
	return raw, nil
}

// dialTCP connects, and starts anew when nothing has answered for a while. The
// kernel sends a lost SYN again only after a second (RFC 6298 section 2), which
// is long for those who wait for a link that was cut and is whole again.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive()}
	for patience := firstPatience; ; patience *= 2 {
		try, cancel := context.WithTimeout(ctx, patience)
		conn, err := d.DialContext(try, "tcp", addr)
		cancel()
		if slow, ok := errors.AsType[net.Error](err); !ok || !slow.Timeout() || ctx.Err() != nil {
			return conn, err
		}
	}
}
