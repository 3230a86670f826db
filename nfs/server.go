package nfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("nfs: server closed")

// closeWait bounds how long Close waits for handlers whose context has ended. A
// handler that does not heed its context is left behind.
const closeWait = 5 * time.Second

// Server serves RPC programs on any number of listeners.
type Server struct {
	table    table
	limits   Limits
	observer Observer
	log      *slog.Logger
	noisy    logLimit                  // for events that a client can cause at will
	admit    func(netip.AddrPort) bool // nil: everybody
	clientOf func(netip.Addr) netip.Addr
	hung     func() bool
	span     atomic.Uint32 // counts the ticks, for conn.begun
	inFlight shares
	intake   *intake
	guard    pauseGuard
	created  time.Time
	now      atomic.Int64 // time since created, as of the last tick
	buffers  pool
	tasks    sync.Pool
	workers  workers

	ctx    context.Context // parent of every handler's context
	cancel context.CancelFunc
	wg     sync.WaitGroup // accept loops and connections
	house  sync.WaitGroup // keepHouse, which ends with ctx

	mu struct {
		sync.Mutex
		closing   bool // no new listeners and connections
		keeping   bool // keepHouse was started
		listeners map[net.Listener]struct{}
		conns     map[*conn]struct{}
		clients   map[netip.Addr]*share // that have connections
	}
}

// NewServer returns a server that does nothing yet.
func NewServer(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t, err := newTable(cfg.Programs)
	if err != nil {
		return nil, err
	}
	s := &Server{
		table:    t,
		limits:   cfg.Limits.withDefaults(),
		observer: cfg.Observer,
		log:      cfg.Logger,
		admit:    cfg.Admit,
		clientOf: cfg.ClientOf,
		hung:     cfg.Hung,
		created:  time.Now(),
	}
	if s.hung == nil {
		s.hung = func() bool { return false }
	}
	if s.observer == nil {
		s.observer = nobody{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.inFlight.maxCalls, s.inFlight.maxBytes = s.limits.Calls, s.limits.Bytes-s.limits.Unfinished
	s.inFlight.maxClientCalls, s.inFlight.maxClientBytes = s.limits.CallsPerClient, s.limits.BytesPerClient
	s.inFlight.observer = s.observer
	s.intake = newIntake(s.limits.Unfinished, s.limits.StallTime, s.observer)
	s.guard.clock, s.guard.max = cfg.Clock, cfg.MaxPause
	s.guard.onPause, s.guard.onStep = s.closeForPause, s.noteStep
	if s.guard.clock == nil {
		s.guard.clock = systemClock{start: s.created}
	}
	if s.guard.max == 0 {
		s.guard.max = defaultMaxPause
	}
	s.tasks.New = func() any { return new(task) }
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.listeners = make(map[net.Listener]struct{})
	s.mu.conns = make(map[*conn]struct{})
	s.mu.clients = make(map[netip.Addr]*share)
	return s, nil
}

// Serve takes connections from l until the server is shut down, and then
// returns ErrServerClosed; any other error is the listener's. It closes l in
// any case. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }()
	if !s.addListener(l) {
		return ErrServerClosed
	}
	defer s.removeListener(l)
	var backoff acceptBackoff
	for {
		nc, err := l.Accept()
		if err == nil {
			backoff.reset()
			s.start(nc)
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if !isTemporary(err) {
			return fmt.Errorf("nfs: accept on %s: %w", l.Addr(), err)
		}
		s.log.Warn("connection not accepted", "err", err)
		backoff.wait(s.ctx)
	}
}

// Shutdown stops accepting connections and reading calls, waits until the calls
// in flight are answered, and closes the connections with FIN. If ctx ends
// first it closes everything at once and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.stopAccepting() {
		c.stopReading()
	}
	ended := s.ended()
	select {
	case <-ended:
		s.cancel()
		s.house.Wait()
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Close())
	}
}

// Close closes every connection at once and ends the context of every handler.
// Calls in flight are not answered. It returns an error if handlers do not end.
func (s *Server) Close() error {
	s.cancel()
	for _, c := range s.stopAccepting() {
		c.abort()
	}
	s.house.Wait()
	select {
	case <-s.ended():
		return nil
	case <-time.After(closeWait):
		return fmt.Errorf("nfs: calls still running %s after close", closeWait)
	}
}

// stopAccepting closes the listeners and returns the connections there are.
func (s *Server) stopAccepting() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closing = true
	for l := range s.mu.listeners {
		_ = l.Close() // Serve sees it and reports nothing
	}
	return s.connsLocked()
}

// ended returns a channel that is closed once no goroutine is left.
func (s *Server) ended() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		s.workers.close()
		close(done)
	}()
	return done
}

// Conns returns how many connections are open.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.conns)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.closing
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closing {
		return false
	}
	if !s.mu.keeping {
		s.mu.keeping = true
		s.guard.start()
		s.house.Add(1)
		go s.keepHouse()
	}
	s.mu.listeners[l] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	delete(s.mu.listeners, l)
	s.mu.Unlock()
	s.wg.Done()
}
