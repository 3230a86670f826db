package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"twofold/raftlog"
	"twofold/replica/catchup"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

const (
	// maxCatchUps bounds the connections of transfers to this node. A new one ends
	// the one before, which may take a moment to notice.
	maxCatchUps = 4
	// catchUpTick is between two looks at the transfers, and catchUpSay between two
	// messages about one.
	catchUpTick = time.Second
	catchUpSay  = 10 * time.Second
)

// catchUp is a Store's part in bringing states from node to node.
type catchUp struct {
	net    raftlog.Net // set by Start
	sink   catchup.Sink
	given  *catchup.Progress // as the source
	giving atomic.Bool       // to a node that asked for it
	ctx    context.Context   // ends with Stop
	stop   context.CancelFunc

	mu struct {
		sync.Mutex
		index, term uint64 // of the state that is ready; zero for none
		staging     bool   // there may be something beside the state
		applied     uint64 // when the last transfer ended
	}
}

var _ raftlog.CatchUp = (*Store)(nil)

// openCatchUp finds what an earlier process has staged.
func (s *Store) openCatchUp() error {
	c := &s.catchUp
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.given = catchup.NewProgress()
	c.sink = catchup.Sink{
		State:     func() *state.State { return s.state },
		Damaged:   s.quarantined,
		Staged:    c.setStaged,
		Ready:     c.staged,
		Progress:  catchup.NewProgress(),
		Failpoint: s.cfg.Failpoint,
	}
	index, term, err := state.Staged(s.cfg.Dir, s.cfg.State)
	applied, _ := s.state.Applied()
	// Beside a damaged state it may have been made after that one's own word.
	if err == nil && index > applied && !s.quarantined() {
		c.setStaged(index, term)
	}
	c.mu.staging, c.mu.applied = true, applied
	if err != nil {
		s.logger.Warn("what was staged cannot be read and is dropped", "err", err)
		return state.DiscardStage(s.cfg.Dir, s.cfg.State)
	}
	return nil
}

func (c *catchUp) setStaged(index, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.index, c.mu.term, c.mu.staging = index, term, true
}

func (c *catchUp) staged() (index, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.index, c.mu.term
}

// startCatchUp begins to take transfers.
func (s *Store) startCatchUp(net raftlog.Net) {
	s.catchUp.net = net
	l := net.Listener(raftlog.StreamCatchUp)
	context.AfterFunc(s.catchUp.ctx, func() { l.Close() })
	s.running.Go(func() { s.takeTransfers(l) })
	s.running.Go(s.runCatchUp)
}

func (s *Store) takeTransfers(l net.Listener) {
	slots := make(chan struct{}, maxCatchUps)
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		s.running.Go(func() {
			defer func() { <-slots }()
			err := s.catchUp.sink.Serve(s.catchUp.ctx, conn)
			applied, _ := s.state.Applied()
			s.catchUp.mu.Lock()
			s.catchUp.mu.applied = applied
			s.catchUp.mu.Unlock()
			s.logger.Info("a transfer of state to this node ended", "peer", conn.RemoteAddr().String(),
				"bytes", s.catchUp.sink.Progress.Status().Bytes, "err", err)
		})
	}
}

// Bring implements raftlog.CatchUp: it has a data node that the log cannot bring
// further stage a copy of this node's state.
func (s *Store) Bring(ctx context.Context, peer string, at raftlog.Index) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.catchUp.ctx, cancel)()
	if !s.started.Load() {
		return fmt.Errorf("replica: not started: %w", vfs.ErrShutdown)
	}
	for {
		err := s.bring(ctx, peer, at)
		if !errors.Is(err, catchup.ErrViewAge) || ctx.Err() != nil {
			return err
		}
		s.logger.Info("the transfer goes on with a newer view", "peer", peer)
	}
}

func (s *Store) bring(ctx context.Context, peer string, at raftlog.Index) error {
	if s.quarantined() {
		return errors.New("replica: this node's copy is out of use and is given to nobody")
	}
	if s.disk.room(time.Now()) == 0 {
		return errors.New("replica: a data node has no space left for what a transfer needs: make room")
	}
	dial, cancel := context.WithTimeout(ctx, time.Second)
	conn, err := s.catchUp.net.Dial(dial, peer, raftlog.StreamCatchUp)
	cancel()
	if err != nil {
		return err
	}
	v, err := s.state.Pin()
	if err != nil {
		conn.Close()
		return err
	}
	if v.Index < uint64(at) {
		conn.Close()
		return errors.Join(fmt.Errorf("replica: this node is at %d, a state of %d is wanted", v.Index, at), v.Close())
	}
	src := catchup.Source{View: v, Rate: s.cfg.CatchUpRate, Progress: s.catchUp.given}
	s.logger.Info("another node is given what its state lacks", "peer", peer, "index", v.Index)
	err = errors.Join(src.Run(ctx, conn, uint64(at)), v.Close())
	s.damaged(err)
	p := s.catchUp.given.Status()
	s.logger.Info("the transfer ended", "peer", peer, "bytes", p.Bytes, "took", p.Ended.Sub(p.Begun), "err", err)
	return err
}

// Staged implements raftlog.CatchUp.
func (s *Store) Staged() (raftlog.Index, raftlog.Term) {
	index, term := s.catchUp.staged()
	return raftlog.Index(index), raftlog.Term(term)
}

// Install implements raftlog.CatchUp: the staged state takes the old one's place,
// after everything that was delivered is applied.
func (s *Store) Install(index raftlog.Index) error {
	if !s.awaitDelivered() {
		return vfs.ErrShutdown
	}
	if at, _ := s.catchUp.staged(); at != uint64(index) {
		return fmt.Errorf("replica: a state of %d is staged, not of %d", at, index)
	}
	if s.quarantined() {
		if err := s.dropCheckpoints(); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	select {
	case s.installs <- func() { done <- s.install() }:
	case <-s.broken:
		return vfs.ErrShutdown
	case <-s.closed:
		return vfs.ErrShutdown
	}
	return <-done
}

// install runs on the apply goroutine.
func (s *Store) install() error {
	s.catchUp.setStaged(0, 0)
	replace := s.state.Install
	if s.quarantined() {
		replace = s.state.Replace
	}
	if err := replace(); err != nil {
		if !errors.Is(err, state.ErrNotStaged) {
			s.breakDown(fmt.Errorf("replica: %w", err))
		}
		return err
	}
	index, _ := s.state.Applied()
	s.delivered.Store(index)
	s.seen = max(s.seen, index)
	s.adopted()
	return s.endReplay(true)
}

// runCatchUp reports the transfers, and drops what is staged once the log has
// brought this node further.
func (s *Store) runCatchUp() {
	tick := time.NewTicker(catchUpTick)
	defer tick.Stop()
	var said time.Time
	for {
		select {
		case <-tick.C:
		case <-s.stopped:
			return
		}
		now := time.Now()
		given, taken := s.Transfers()
		s.reportTransfer("given", given, now)
		s.reportTransfer("taken", taken, now)
		if (given.Active || taken.Active) && now.Sub(said) >= catchUpSay {
			said = now
			for _, t := range []catchup.Status{given, taken} {
				s.sayTransfer(t, now)
			}
		}
		s.dropStage()
	}
}

func (s *Store) reportTransfer(direction string, t catchup.Status, now time.Time) {
	left, known := t.Left(now)
	if !known {
		left = -time.Second
	}
	s.metrics.SetCatchUp(direction, t.Active, t.Total, left.Seconds())
}

func (s *Store) sayTransfer(t catchup.Status, now time.Time) {
	if !t.Active {
		return
	}
	left, _ := t.Left(now)
	s.logger.Info("a state is being brought", "taking", t.Taking, "index", t.Index, "bytes", t.Bytes,
		"rate", int64(t.Rate(now)), "done", t.Done, "of", t.Differ, "left", left.Round(time.Second))
}

// dropStage removes what is staged when entries were applied since the last
// transfer: the log leads on, so that no state is needed.
func (s *Store) dropStage() {
	c := &s.catchUp
	applied, _ := s.state.Applied()
	c.mu.Lock()
	due := c.mu.staging && applied > c.mu.applied
	c.mu.Unlock()
	if !due || c.sink.Active() {
		return
	}
	if err := c.sink.Discard(s.cfg.Dir, s.cfg.State); err != nil {
		s.logger.Warn("what was staged cannot be removed", "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.staging = false
}

// Transfers returns how far the transfers are in which this node gives its state
// and takes another one's, or how they ended.
func (s *Store) Transfers() (given, taken catchup.Status) {
	return s.catchUp.given.Status(), s.catchUp.sink.Progress.Status()
}
