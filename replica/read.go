package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"twofold/raftlog"
	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// attemptLimit bounds one attempt to get a read index, so that a leader that
// hangs does not hold reads longer than its leadership lasts.
const attemptLimit = time.Second

// rounds shares read barriers: all reads that arrive while one is under way
// wait for the next, which begins after the last of them.
type rounds struct {
	run func() error

	mu      sync.Mutex
	next    *round // gathers readers; guarded by mu
	running bool   // a goroutine runs rounds; guarded by mu
}

type round struct {
	done    chan struct{}
	err     error // valid once done is closed
	waiters int   // guarded by rounds.mu
}

// wait returns when a round that began after the call has ended.
func (r *rounds) wait(ctx context.Context) error {
	r.mu.Lock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	mine := r.next
	mine.waiters++
	if !r.running {
		r.running = true
		go r.loop()
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *rounds) loop() {
	for {
		r.mu.Lock()
		now := r.next
		r.next = nil
		if now == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		now.err = r.run()
		close(now.done)
	}
}

// barrier is one round: when it returns nil, this node has applied every
// change that was acknowledged anywhere before the round began.
func (s *Store) barrier() error {
	limit := time.NewTimer(s.cfg.WaitLimit)
	defer limit.Stop()
	for {
		st, changed := s.log.Watch()
		index, err := s.readIndex(st, changed)
		if err == nil {
			return s.awaitApplied(index, limit.C)
		}
		if !errors.Is(err, raftlog.ErrNotLeader) {
			return err
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-limit.C:
			return vfs.ErrNoQuorum
		case <-s.stopped:
			return vfs.ErrShutdown
		}
	}
}

func (s *Store) awaitApplied(index raftlog.Index, limit <-chan time.Time) error {
	if s.applied.load() >= index {
		return nil
	}
	stop := make(chan struct{})
	reached := make(chan bool, 1)
	go func() { reached <- s.applied.wait(index, stop) }()
	defer close(stop)
	select {
	case <-reached:
		return nil
	case <-limit:
		return vfs.ErrNoQuorum
	case <-s.broken:
		return vfs.ErrShutdown // nothing is applied any more
	case <-s.stopped:
		return vfs.ErrShutdown
	}
}

// readIndex makes one attempt. raftlog.ErrNotLeader allows another one.
func (s *Store) readIndex(st raftlog.State, changed <-chan struct{}) (raftlog.Index, error) {
	if st.Leader == "" {
		return 0, raftlog.ErrNotLeader
	}
	ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
	defer cancel()
	if st.IsLeader {
		index, err := s.log.ReadIndex(ctx)
		switch {
		case errors.Is(err, raftlog.ErrClosed):
			return 0, vfs.ErrShutdown
		case err != nil:
			return 0, raftlog.ErrNotLeader
		}
		return index, nil
	}
	// A leader that hangs keeps its connections: give up as soon as this node
	// hears of another one.
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	status, index, err := s.peers.ReadIndex(ctx, st.Leader, uint64(s.log.Term()))
	if err != nil || status != peer.StatusOK {
		return 0, raftlog.ErrNotLeader
	}
	return raftlog.Index(index), nil
}

// HandleReadIndex answers the other data node (peer.Handler).
func (s *Store) HandleReadIndex(from string, term uint64, reply func(peer.Status, uint64)) {
	index, err := s.log.ReadIndexFor(context.Background(), from, raftlog.Term(term))
	if err != nil {
		reply(peer.StatusRefused, 0)
		return
	}
	// The follower will wait until it has applied index. It learns that the
	// entries are committed with the next AppendEntries; do not let it wait.
	if old := s.nudged.Load(); uint64(index) > old && s.nudged.CompareAndSwap(old, uint64(index)) {
		s.log.Nudge(from)
	}
	reply(peer.StatusOK, uint64(index))
}

func (s *Store) readable(ctx context.Context) error {
	if _, err := s.Volume(); err != nil {
		return err
	}
	return s.reads.wait(ctx)
}

// GetAttr implements vfs.FS.
func (s *Store) GetAttr(ctx context.Context, ref vfs.Ref) (vfs.AttrResult, error) {
	if err := s.readable(ctx); err != nil {
		return vfs.AttrResult{}, err
	}
	return s.state.GetAttr(ref)
}

// Lookup implements vfs.FS.
func (s *Store) Lookup(ctx context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	if err := s.readable(ctx); err != nil {
		return vfs.LookupResult{}, err
	}
	return s.state.Lookup(cred, dir, name)
}

// Readlink implements vfs.FS.
func (s *Store) Readlink(ctx context.Context, cred vfs.Cred, ref vfs.Ref) (vfs.ReadlinkResult, error) {
	if err := s.readable(ctx); err != nil {
		return vfs.ReadlinkResult{}, err
	}
	return s.state.Readlink(cred, ref)
}

// Read implements vfs.FS.
func (s *Store) Read(ctx context.Context, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	if err := s.readable(ctx); err != nil {
		return vfs.ReadResult{}, err
	}
	return s.state.Read(cred, ref, off, buf)
}

// ReadDir implements vfs.FS.
func (s *Store) ReadDir(ctx context.Context, cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, max int) (vfs.ReadDirResult, error) {
	if err := s.readable(ctx); err != nil {
		return vfs.ReadDirResult{}, err
	}
	return s.state.ReadDir(cred, dir, after, plus, max)
}

// StatFS implements vfs.FS.
func (s *Store) StatFS(ctx context.Context, ref vfs.Ref) (vfs.StatFSResult, error) {
	if err := s.readable(ctx); err != nil {
		return vfs.StatFSResult{}, err
	}
	r, err := s.state.StatFS(ref)
	if err != nil || r.Kind != vfs.OK {
		return r, err
	}
	if room := s.disk.room(time.Now()); room != unknownSpace {
		stored := r.TotalBytes - r.FreeBytes
		r.FreeBytes, r.TotalBytes = room, stored+room
	}
	return r, nil
}
