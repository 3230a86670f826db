package raftlog

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var errRefused = errors.New("raftlog: refused")

// transport wraps the network transport of hashicorp/raft. What it changes:
//
//   - No heartbeat fast path: it would change term and state beside raft's main
//     goroutine.
//   - No pipelining: its decoder can wedge for good when a follower refuses a
//     request while two are out, and with one batch in flight it gains nothing.
//   - An AppendEntries carries at most maxAppendBytes. raft reads req.Entries
//     after the call to learn what it sent (replication.go,
//     updateLastAppended), so that cutting the slice is sound.
//   - AppendEntries to a member that is away blocks and tries again, instead of
//     failing into raft's back-off, which grows to 10 s and outlasts the outage.
//   - InstallSnapshot is refused at both ends; a witness takes no TimeoutNow.
//   - A witness leaves elections to the data nodes for a while (see gate).
type transport struct {
	nt      *raft.NetworkTransport
	streams *streams
	timing  Timing
	log     *slog.Logger
	inbound chan raft.RPC

	// started is closed once the node is complete. Nothing passes before, and
	// what is set here and in the node before it is visible after.
	started chan struct{}

	// Set before raft starts.
	leads        func(Term) bool // this node leads that term now
	transferring func() bool     // raft waits for its replication goroutines
	caughtUp     func(peer string)
	gate         *gate // nil on a data node

	closing chan struct{}
	closed  sync.Once
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		match map[string]match // by member
		late  map[string]bool  // members to nudge when they have caught up
		away  map[string]bool  // members of which an outage was reported
	}
}

// match is what a follower is known to hold in a term.
type match struct {
	term   Term
	index  Index // its log agrees with ours up to here
	commit Index // commit index that it was told
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil) // without it raft turns pre-vote off silently
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(c *Config, l *slog.Logger) *transport {
	t := &transport{
		streams: newStreams(c.Net, c.Name, c.Timing.DialTimeout),
		timing:  c.Timing,
		log:     l,
		inbound: make(chan raft.RPC),
		started: make(chan struct{}),
		closing: make(chan struct{}),
	}
	t.mu.match = map[string]match{}
	t.mu.late = map[string]bool{}
	t.mu.away = map[string]bool{}
	t.nt = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger:  newBridge(l),
		Stream:  t.streams,
		MaxPool: 4,
		Timeout: c.Timing.RPCTimeout,
	})
	return t
}

// wait returns false if the transport was closed before it was started.
func (t *transport) wait() bool {
	select {
	case <-t.started:
		return true
	case <-t.closing:
		return false
	}
}

// start begins to hand messages to raft and to the other members.
func (t *transport) start() {
	close(t.started)
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		for {
			select {
			case rpc := <-t.nt.Consumer():
				t.receive(rpc)
			case <-t.closing:
				return
			}
		}
	}()
}

func (t *transport) receive(rpc raft.RPC) {
	switch cmd := rpc.Command.(type) {
	case *raft.InstallSnapshotRequest:
		if rpc.Reader != nil {
			io.Copy(io.Discard, rpc.Reader) // what follows on the stream must be read past
		}
		rpc.Respond(&raft.InstallSnapshotResponse{}, errRefused)
		return
	case *raft.TimeoutNowRequest:
		if t.gate != nil {
			rpc.Respond(&raft.TimeoutNowResponse{}, errRefused)
			return
		}
	case *raft.RequestPreVoteRequest:
		if t.gate != nil {
			t.gate.campaign(cmd.LastLogTerm, cmd.LastLogIndex)
		}
	}
	select {
	case t.inbound <- rpc:
	case <-t.closing:
	}
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.inbound }

// LocalAddr implements raft.Transport.
func (t *transport) LocalAddr() raft.ServerAddress { return t.nt.LocalAddr() }

// EncodePeer implements raft.Transport.
func (t *transport) EncodePeer(id raft.ServerID, a raft.ServerAddress) []byte {
	return t.nt.EncodePeer(id, a)
}

// DecodePeer implements raft.Transport.
func (t *transport) DecodePeer(b []byte) raft.ServerAddress { return t.nt.DecodePeer(b) }

// SetHeartbeatHandler does nothing: heartbeats take the way of all messages.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntriesPipeline implements raft.Transport; raft falls back to single
// calls and says nothing about it.
func (t *transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, a raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if !t.wait() {
		return errRefused
	}
	trim(req)
	for {
		err := t.nt.AppendEntries(id, a, req, resp)
		t.noteAway(string(id), err)
		if err == nil {
			t.noteMatch(string(id), req, resp)
			return nil
		}
		if isHeartbeat(req) || t.isClosing() || t.transferring() || !t.leads(Term(req.Term)) {
			return err
		}
		*resp = raft.AppendEntriesResponse{}
		select {
		case <-time.After(t.timing.RetryPause):
		case <-t.closing:
			return err
		}
	}
}

// trim cuts the request to maxAppendBytes, and leaves at least one entry.
func trim(req *raft.AppendEntriesRequest) {
	bytes := 0
	for i, e := range req.Entries {
		bytes += len(e.Data) + len(e.Extensions)
		if i > 0 && bytes > maxAppendBytes {
			req.Entries = req.Entries[:i]
			return
		}
	}
}

// isHeartbeat knows raft's heartbeats as net_transport.go does. They are not
// repeated here: raft bounds their back-off by half a heartbeat timeout.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && req.PrevLogTerm == 0 && len(req.Entries) == 0 && req.LeaderCommitIndex == 0
}

func (t *transport) noteMatch(peer string, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	if !resp.Success || resp.Term != req.Term || isHeartbeat(req) {
		return
	}
	index := req.PrevLogEntry
	if n := len(req.Entries); n > 0 {
		index = req.Entries[n-1].Index
	}
	t.mu.Lock()
	m := t.mu.match[peer]
	if m.term != Term(req.Term) {
		m = match{term: Term(req.Term)}
	}
	m.index = max(m.index, Index(index))
	m.commit = max(m.commit, min(Index(req.LeaderCommitIndex), Index(index)))
	t.mu.match[peer] = m
	late := t.mu.late[peer]
	delete(t.mu.late, peer)
	t.mu.Unlock()
	if late {
		t.caughtUp(peer)
	}
}

// needsNudge tells whether the follower is known to hold the entry at the
// commit index, and not known to know that it is committed. If it does not hold
// it yet, caughtUp is called after its next answer.
func (t *transport) needsNudge(peer string, term Term, commit Index) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.mu.match[peer]
	if m.term != term || m.index < commit {
		t.mu.late[peer] = true
		return false
	}
	return m.commit < commit
}

// noteAway reports the beginning and the end of an outage, once each.
func (t *transport) noteAway(peer string, err error) {
	t.mu.Lock()
	was := t.mu.away[peer]
	t.mu.away[peer] = err != nil
	t.mu.Unlock()
	switch {
	case t.isClosing():
	case err != nil && !was:
		t.log.Warn("member does not answer", "peer", peer, "err", err)
	case err == nil && was:
		t.log.Info("member answers again", "peer", peer)
	}
}

// nudge sends one message beside raft's own replication.
func (t *transport) nudge(peer string, req *raft.AppendEntriesRequest) {
	var resp raft.AppendEntriesResponse
	id, a := raft.ServerID(peer), raft.ServerAddress(peer)
	if err := t.nt.AppendEntries(id, a, req, &resp); err == nil {
		t.noteMatch(peer, req, &resp)
	}
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, a raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if !t.wait() {
		return errRefused
	}
	return t.nt.RequestVote(id, a, req, resp)
}

// RequestPreVote implements raft.WithPreVote. A witness that must not campaign
// yet answers itself with a refusal; a pre-vote changes nothing anywhere.
func (t *transport) RequestPreVote(id raft.ServerID, a raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if !t.wait() {
		return errRefused
	}
	if t.gate != nil && !t.gate.open() {
		*resp = raft.RequestPreVoteResponse{RPCHeader: req.RPCHeader, Term: req.Term}
		return nil
	}
	return t.nt.RequestPreVote(id, a, req, resp)
}

// InstallSnapshot implements raft.Transport: no snapshot is ever needed, as
// the log is not cut below what both data nodes hold durably.
func (t *transport) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader) error {
	return errRefused
}

// TimeoutNow implements raft.Transport.
func (t *transport) TimeoutNow(id raft.ServerID, a raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.nt.TimeoutNow(id, a, req, resp)
}

func (t *transport) isClosing() bool {
	select {
	case <-t.closing:
		return true
	default:
		return false
	}
}

// Close implements raft.WithClose. It ends every call that is under way.
func (t *transport) Close() error {
	var err error
	t.closed.Do(func() {
		close(t.closing)
		t.nt.CloseStreams()
		err = t.nt.Close() // closes the streams too
		t.wg.Wait()
	})
	return err
}
