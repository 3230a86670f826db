package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// retryPause is how long a call waits that was not taken, if nothing changes.
const retryPause = 5 * time.Millisecond

// maxForwardAge is how much older the log may be when a forwarded call comes in
// than when it was taken. The other half of duplicate.Life is for the time that
// the call lay at the other node before: nfs closes its connection after that.
const maxForwardAge = uint64(duplicate.Life / 2)

// errNotTaken says that a change was certainly not handed to the log by this
// attempt, and may be handed over again.
var errNotTaken = errors.New("replica: not taken")

// errDropped is the errNotTaken of a change that had been handed over: the
// proposer, or the way to an old leader, may still hold its bytes.
var errDropped = fmt.Errorf("%w: dropped", errNotTaken)

// Mutate implements vfs.FS.
func (s *Store) Mutate(ctx context.Context, call *vfs.Call, op vfs.Op) (vfs.Result, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WaitLimit)
	defer cancel()
	return s.mutate(ctx, call, op)
}

// mutate encodes op and hands it over until its fate is known or ctx ends.
func (s *Store) mutate(ctx context.Context, call *vfs.Call, op any) (vfs.Result, error) {
	origin := command.Origin{Instance: s.instance, Seq: s.seq.Add(1)}
	encode := func() ([]byte, error) {
		return command.Append(make([]byte, 0, sizeHint(op)), &command.Command{
			Header: command.Header{Volume: volumeID, Origin: origin, ID: call.ID, Cred: call.Cred},
			Op:     op,
		})
	}
	age, touches := s.age(), touchOf(op)
	enc, err := encode()
	if err != nil {
		return vfs.Result{}, err
	}
	if err := s.inFlight.Acquire(ctx, int64(len(enc))); err != nil {
		return vfs.Result{}, vfs.ErrBusy
	}
	defer s.inFlight.Release(int64(len(enc)))
	for {
		st, changed := s.log.Watch()
		res, err := s.handOver(ctx, st, age, pending{origin: origin, term: uint64(st.Term), touch: touches, enc: enc})
		if !errors.Is(err, errNotTaken) {
			return res, err
		}
		if errors.Is(err, errDropped) {
			// Fresh bytes: the old ones may be in use, and they bear the old
			// leader's verdict on space.
			if enc, err = encode(); err != nil {
				return vfs.Result{}, err
			}
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return vfs.Result{}, vfs.ErrNoQuorum
		case <-s.stopped:
			return vfs.Result{}, vfs.ErrShutdown
		}
	}
}

// sizeHint is about what op takes when it is encoded.
func sizeHint(op any) int {
	if w, ok := op.(*vfs.OpWrite); ok {
		return 256 + len(w.Data)
	}
	return 256
}

// handOver makes one attempt, with this node as the leader or through the
// leader that it knows. errNotTaken allows another attempt.
func (s *Store) handOver(ctx context.Context, st raftlog.State, age vfs.Time, p pending) (vfs.Result, error) {
	if st.Leader == "" || st.IsLeader && (!st.Ready || s.quarantined()) {
		return vfs.Result{}, errNotTaken
	}
	done := make(chan outcome, 1)
	if !s.waiters.add(p.origin, p.term, func(o outcome) { done <- o }) {
		return vfs.Result{}, errNotTaken
	}
	defer s.waiters.remove(p.origin)
	if !st.IsLeader {
		return s.forward(ctx, st.Leader, p.term, age, p.enc, done)
	}
	if !s.reserve(p.enc) {
		return vfs.Result{}, vfs.ErrBusy
	}
	select {
	case s.queue <- p:
		s.lingering.queued()
	case <-ctx.Done():
		s.unreserve(p.enc)
		return vfs.Result{}, vfs.ErrBusy
	case <-s.stopped:
		s.unreserve(p.enc)
		return vfs.Result{}, vfs.ErrShutdown
	}
	return s.await(ctx, done)
}

// reserve makes room for enc in the queue, or reports that there is none.
func (s *Store) reserve(enc []byte) bool {
	if s.queued.Add(int64(len(enc))) > maxQueuedBytes {
		s.unreserve(enc)
		return false
	}
	return true
}

func (s *Store) unreserve(enc []byte) { s.queued.Add(-int64(len(enc))) }

// await waits for the fate of a change that is in the leader's hands.
func (s *Store) await(ctx context.Context, done <-chan outcome) (vfs.Result, error) {
	select {
	case o := <-done:
		return o.answer()
	case <-ctx.Done():
		return vfs.Result{}, vfs.ErrUnknownOutcome
	case <-s.stopped:
		return vfs.Result{}, vfs.ErrShutdown
	}
}

func (o outcome) answer() (vfs.Result, error) {
	switch o.fate {
	case fateApplied:
		return o.res, nil
	case fateDropped:
		return vfs.Result{}, errDropped
	default:
		return vfs.Result{}, vfs.ErrUnknownOutcome
	}
}

// forward sends the change to the leader. Its reply and this node's own apply
// race: whichever tells the fate first is right, and the second is all that is
// left when the leader dies.
func (s *Store) forward(ctx context.Context, leader string, term uint64, age vfs.Time, enc []byte, done <-chan outcome) (vfs.Result, error) {
	s.metrics.Forwarded()
	type reply struct {
		st   peer.Status
		body []byte
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replies := make(chan reply, 1)
	go func() {
		st, body, err := s.peers.Forward(ctx, leader, term, uint64(age), enc)
		replies <- reply{st, body, err}
	}()
	select {
	case o := <-done:
		return o.answer()
	case r := <-replies:
		switch {
		case errors.Is(r.err, peer.ErrNotSent):
			return vfs.Result{}, errNotTaken
		case r.err != nil || r.st == peer.StatusUnknown:
			return s.await(ctx, done)
		case r.st == peer.StatusOK:
			res, err := command.DecodeResult(r.body)
			if err != nil {
				return vfs.Result{}, fmt.Errorf("%w: reply of %s: %v", vfs.ErrUnknownOutcome, leader, err)
			}
			return res, nil
		default:
			return vfs.Result{}, errNotTaken
		}
	case <-s.stopped:
		return vfs.Result{}, vfs.ErrShutdown
	}
}

// HandleForward takes a change from the other data node (peer.Handler).
//
// It refuses one that the other node took too long ago (rule R11): that node may
// have stood still with the call in its hands, while the client had it answered
// here, and that answer may be forgotten. The clock for it is the one by which
// answers are forgotten, read by each node from the state that it has applied, so
// that no clocks are compared. A node that is far behind with its log is refused
// until it has caught up.
func (s *Store) HandleForward(from string, term, age uint64, enc []byte, reply func(peer.Status, []byte)) {
	st, _ := s.log.Watch()
	if !st.IsLeader || !st.Ready || uint64(st.Term) != term || s.quarantined() {
		reply(peer.StatusRefused, nil)
		return
	}
	if now := uint64(s.state.Age()); now > age && now-age > maxForwardAge {
		s.logger.Debug("a forwarded call is refused: it was taken too long ago", "peer", from, "age", time.Duration(now-age))
		reply(peer.StatusRefused, nil)
		return
	}
	cmd, err := command.DecodeUnsealed(enc)
	if err != nil {
		s.logger.Error("forwarded command does not decode", "peer", from, "err", err)
		reply(peer.StatusUnknown, nil)
		return
	}
	origin := cmd.Origin
	taken := s.waiters.add(origin, term, func(o outcome) {
		switch o.fate {
		case fateApplied:
			reply(peer.StatusOK, command.AppendResult(nil, &o.res))
		case fateDropped:
			reply(peer.StatusRefused, nil)
		default:
			reply(peer.StatusUnknown, nil)
		}
	})
	if !taken {
		reply(peer.StatusRefused, nil)
		return
	}
	if s.reserve(enc) {
		select {
		case s.queue <- pending{origin: origin, term: term, touch: touchOf(cmd.Op), enc: enc}:
			s.lingering.queued()
			return
		default:
			s.unreserve(enc)
		}
	}
	s.waiters.remove(origin)
	reply(peer.StatusBusy, nil)
}
