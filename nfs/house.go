package nfs

import "time"

// callSpans is into how many ticks the calls with a handler are sorted by their
// beginning. Those of the oldest have been there for one tick at least.
const callSpans = 2

// keepHouse looks after the server once a tick, from the first listener to the
// end.
func (s *Server) keepHouse() {
	defer s.house.Done()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
			s.guard.look()
			s.now.Store(int64(time.Since(s.created)))
			s.sweep()
		}
	}
}

// sweep closes connections that are idle and tells the observer how much of the
// limits is in use.
func (s *Server) sweep() {
	s.mu.Lock()
	conns, clients := s.connsLocked(), make([]*share, 0, len(s.mu.clients))
	clientConns := 0
	for _, sh := range s.mu.clients {
		clients = append(clients, sh)
		clientConns = max(clientConns, sh.conns)
	}
	s.mu.Unlock()

	epoch, connCalls, connBytes := s.guard.epoch.Load(), 0, 0
	// Calls that begin now are sorted with those of the last tick until all
	// connections were looked at: they would count as the oldest otherwise.
	hung, oldest := s.hung(), (s.span.Load()+1)%callSpans
	defer s.span.Add(1)
	for _, c := range conns {
		calls, bytes := c.inFlight.used()
		connCalls, connBytes = max(connCalls, calls), max(connBytes, bytes)
		switch {
		case c.epoch != epoch: // it was made while the pause was being found
			c.end(reasonPaused)
		case hung && c.begun[oldest].Load() > 0:
			c.end(reasonHung)
		case c.idleFor() > s.limits.IdleTime && !c.isStopped():
			s.observer.ConnCut(limitIdleTime)
			c.stopReading()
		}
	}

	calls, bytes, clientCalls, clientBytes := s.inFlight.used(clients)
	unfinished := s.intake.room()
	for _, l := range []struct {
		name      string
		used, max int
	}{
		{limitConns, len(conns), s.limits.Conns},
		{limitConnsPerClient, clientConns, s.limits.ConnsPerClient},
		{limitCalls, calls, s.limits.Calls},
		{limitCallsPerClient, clientCalls, s.limits.CallsPerClient},
		{limitCallsPerConn, connCalls, s.limits.CallsPerConn},
		{limitBytes, bytes + unfinished, s.limits.Bytes},
		{limitBytesPerClient, clientBytes, s.limits.BytesPerClient},
		{limitBytesPerConn, connBytes, s.limits.BytesPerConn},
		{limitUnfinished, unfinished, s.limits.Unfinished},
	} {
		s.observer.LimitUsed(l.name, l.used, l.max)
	}
}

// connsLocked returns the connections there are.
func (s *Server) connsLocked() []*conn {
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	return conns
}

// closeForPause ends the connections from before a pause, with the calls that
// lie in them. Those that have a handler lose their context and get no answer:
// the client asks again, and the outcome is looked up.
func (s *Server) closeForPause(pause time.Duration) {
	s.mu.Lock()
	conns := s.connsLocked()
	s.mu.Unlock()
	epoch, closed := s.guard.epoch.Load(), 0
	for _, c := range conns {
		if c.epoch != epoch {
			c.end(reasonPaused)
			closed++
		}
	}
	s.observer.Paused(pause)
	s.log.Warn("this node stood still for too long, client connections closed with the calls in them",
		"pause", pause.Round(time.Millisecond), "limit", s.guard.max, "connections", closed)
}

// noteStep says that the wall clock alone went on.
func (s *Server) noteStep(by time.Duration) {
	s.log.Info("the wall clock was set forward, which is no pause", "by", by.Round(time.Millisecond))
}
