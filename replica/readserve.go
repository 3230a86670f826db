package replica

import (
	"context"
	"errors"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// maxServedBytes bounds what the answers to the other nodes' reads may hold at once.
const maxServedBytes = 32 << 20

// HandleRead answers a read of the other data node (peer.Handler), if this node
// leads or has a lease. It never asks a third: one hop only.
func (s *Store) HandleRead(ctx context.Context, from string, req []byte, reply func(peer.Status, []byte)) {
	op, err := command.DecodeRead(req)
	if err != nil {
		s.logger.Error("a read of the other node does not decode", "peer", from, "err", err)
		reply(peer.StatusRefused, nil)
		return
	}
	size := answerSize(&op)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WaitLimit) // who asks waits no longer
	defer cancel()
	if err := s.serving.Acquire(ctx, size); err != nil {
		reply(peer.StatusBusy, nil)
		return
	}
	defer s.serving.Release(size)
	body, err := s.serveRead(ctx, from, &op)
	switch {
	case err == nil:
		reply(peer.StatusOK, body)
	case errors.Is(err, vfs.ErrCorrupt):
		s.logger.Error("a read of the other node meets damage", "peer", from, "err", err)
		reply(peer.StatusDamaged, nil)
	default:
		reply(peer.StatusRefused, nil)
	}
}

// answerSize is what the answer to op may take.
func answerSize(op *command.Read) int64 {
	switch op.Kind {
	case command.ReadRead:
		return int64(op.Count) + 256
	case command.ReadReadDir:
		return command.MaxReadAnswer
	case command.ReadFace:
		return state.MaxFace
	default:
		return 8 << 10
	}
}

func (s *Store) serveRead(ctx context.Context, from string, op *command.Read) ([]byte, error) {
	switch op.Kind {
	case command.ReadGetAttr:
		res, err := s.getAttr(ctx, false, op.Ref)
		return command.AppendGetAttr(nil, &res), err
	case command.ReadLookup:
		res, err := s.lookup(ctx, false, op.Cred, op.Ref, op.Name)
		return command.AppendLookup(nil, &res), err
	case command.ReadReadlink:
		res, err := s.readlink(ctx, false, op.Cred, op.Ref)
		return command.AppendReadlink(nil, &res), err
	case command.ReadRead:
		buf := make([]byte, op.Count)
		res, err := s.read(ctx, false, op.Cred, op.Ref, op.Offset, buf)
		return command.AppendData(nil, &res, buf), err
	case command.ReadReadDir:
		limit := int(min(op.Count, state.MaxDirents))
		res, err := s.readDir(ctx, false, op.Cred, op.Ref, vfs.Cookie(op.Offset), op.Plus, limit)
		return command.AppendReadDir(nil, &res), err
	case command.ReadStatFS:
		res, err := s.statFS(ctx, false, op.Ref)
		return command.AppendStatFS(nil, &res), err
	case command.ReadIndex:
		index, err := s.serveIndex(ctx)
		return command.AppendIndex(nil, uint64(index)), err
	case command.ReadFace:
		return s.serveFace(ctx)
	case command.ReadFetch:
		return command.AppendFetch(nil, s.serveFetch(from, op.Offset)), nil
	default:
		return nil, s.serveHurry(ctx, from, raftlog.Index(op.Offset))
	}
}

// serveIndex returns an entry that shows, once it is applied, all that was answered
// anywhere before the call.
func (s *Store) serveIndex(ctx context.Context) (raftlog.Index, error) {
	r := s.begin(ctx, false)
	defer r.end()
	for !r.permit() {
		if r.err != nil {
			return 0, r.err
		}
	}
	return r.limit, nil
}

// serveHurry has raft say to a follower that index is committed, as soon as it is.
func (s *Store) serveHurry(ctx context.Context, from string, index raftlog.Index) error {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	done := s.applied.notify(index)
	defer s.applied.forget(done)
	select {
	case <-done:
		s.log.Nudge(from)
		return nil
	case <-s.stopped:
		return vfs.ErrShutdown
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hurry has the leader say at once when an entry for which a read waits is committed:
// raft would say so with its next entries, or with its next heartbeat.
func (s *Store) hurry(index raftlog.Index) {
	for old := s.hurried.Load(); uint64(index) > old; old = s.hurried.Load() {
		if s.hurried.CompareAndSwap(old, uint64(index)) {
			select {
			case s.hurrying <- struct{}{}:
			default:
			}
			return
		}
	}
}

// runHurry sends what hurry wants to the leader.
func (s *Store) runHurry() {
	for {
		select {
		case <-s.hurrying:
		case <-s.stopped:
			return
		}
		st, _ := s.log.Watch()
		if st.Leader == "" || st.IsLeader {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
		op := command.Read{Kind: command.ReadHurry, Offset: s.hurried.Load()}
		_, _, err := s.peers.Read(ctx, st.Leader, command.AppendRead(nil, &op))
		cancel()
		if err != nil {
			select { // the way to the leader is not there
			case <-time.After(retryPause):
			case <-s.stopped:
				return
			}
		}
	}
}
