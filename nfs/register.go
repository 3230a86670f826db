package nfs

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"twofold/nfs/rpc"
)

// evictAfter is how long a connection must have been idle to make room for a new
// one: long enough that the client has its last reply.
const evictAfter = 5 * time.Second

// start begins to serve a connection, or closes it if there are too many.
func (s *Server) start(nc net.Conn) {
	c := newConn(s, nc)
	victim, refused, ok := s.register(c)
	if victim != nil {
		victim.end(reasonEvicted)
	}
	if !ok {
		c.end(refused)
		if refused != "" && refused != reasonPaused && s.noisy.allow() {
			s.log.Warn("connection refused", "client", c.client, "reason", refused)
		}
		return
	}
	s.observer.ConnOpened()
	go c.run()
}

// unregister forgets a connection that has ended.
func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	s.forgetLocked(c)
	s.mu.Unlock()
	s.observer.ConnClosed()
	s.wg.Done()
}

// register takes c in, in the place of victim if that is not nil, or says why
// not: "" while the server is being closed.
//
// One connection too many takes the place of one that is idle. For a client the
// end of an idle connection is no event: the Linux one connects again when it
// has a call, at once if the connection was older than 3 s (xprt_reconnect_delay
// and XS_TCP_INIT_REEST_TO, net/sunrpc). Such connections are also what a client
// leaves behind that crashed, or whose NAT forgot it; it could not mount again
// until they time out. With none idle the new connection is closed, and the
// client tries again after 3 s, then 6 s and so on. To leave it open unread
// would cost it 60 s for each call that it sent there, to close one with calls
// in flight would have them all sent again.
func (s *Server) register(c *conn) (victim *conn, refused string, ok bool) {
	epoch, ok := s.guard.join()
	if !ok {
		return nil, reasonPaused, false
	}
	c.epoch = epoch
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closing {
		return nil, "", false
	}
	sh := s.mu.clients[c.key]
	if sh == nil {
		sh = &share{client: c.key}
	}
	switch {
	case sh.conns >= s.limits.ConnsPerClient:
		refused = limitConnsPerClient
	case len(s.mu.conns) >= s.limits.Conns:
		refused = limitConns
	}
	if refused != "" {
		if victim = s.victimLocked(sh, refused == limitConnsPerClient); victim == nil {
			return nil, refused, false
		}
		s.forgetLocked(victim)
	}
	c.share = sh
	sh.conns++
	s.mu.clients[c.key] = sh
	s.mu.conns[c] = struct{}{}
	s.wg.Add(1)
	return victim, "", true
}

// victimLocked returns the connection that is to make room for one of sh: of
// those that have been idle for long enough one of the client that has most, and
// of these the longest idle. It is one of sh's own, or unless own is set of a
// client that has more than sh. It returns nil if there is none.
func (s *Server) victimLocked(sh *share, own bool) (victim *conn) {
	longest := time.Duration(0)
	for c := range s.mu.conns {
		if c.share != sh && (own || c.share.conns <= sh.conns) || c.isStopped() {
			continue
		}
		idle := c.idleFor()
		if idle < evictAfter || victim != nil && c.share.conns < victim.share.conns {
			continue
		}
		if victim == nil || c.share.conns > victim.share.conns || idle > longest {
			victim, longest = c, idle
		}
	}
	return victim
}

// forgetLocked takes c out, once.
func (s *Server) forgetLocked(c *conn) {
	if _, there := s.mu.conns[c]; !there {
		return
	}
	delete(s.mu.conns, c)
	if c.share.conns--; c.share.conns == 0 {
		delete(s.mu.clients, c.key)
	}
}

// clientKey returns the client to which an address belongs.
func (s *Server) clientKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if s.clientOf != nil {
		return s.clientOf(a)
	}
	return a
}

// cut ends a connection that cannot be read any further, and records why unless
// the client just went away.
func (c *conn) cut(err error) {
	s, reason := c.srv, ""
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF), isTemporary(err):
		c.abort()
		return
	case errors.Is(err, os.ErrDeadlineExceeded) && c.stalled.Load():
		reason, err = limitStallTime, errors.New("record makes no progress while others wait for room")
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason, err = limitRecordTime, errors.New("record not completed in time")
	case errors.Is(err, rpc.ErrRecordTooLong):
		reason = limitRecord
	case errors.Is(err, rpc.ErrTooManyFragments):
		reason = limitFragments
	case errors.Is(err, errNotAdmitted):
		reason = reasonNotAdmitted
	case errors.Is(err, errHeldTooLong):
		reason = reasonHeldBack
	}
	c.end(reason)
	if s.noisy.allow() {
		s.log.Warn("connection closed", "client", c.client, "err", err)
	}
}
