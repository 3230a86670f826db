package raftlog

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var (
	errRefused  = errors.New("raftlog: refused")
	errNoAnswer = errors.New("raftlog: no answer")
)

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
//   - InstallSnapshot never carries a state: see sendState.
//   - A node whose disk hangs is silent: it sends nothing as a leader, and does
//     not campaign (see stalls).
//   - Promises are made and kept here: see transport_append.go and
//     transport_vote.go.
//   - A message in another name than that of the member at the other end of its
//     stream ends the stream (see inbound.go).
//   - A witness leaves elections to the data nodes for a while (see gate).
type transport struct {
	nt      *raft.NetworkTransport
	name    string
	streams *streams
	timing  Timing
	log     *slog.Logger

	promises *promises
	leases   *leases
	metrics  Metrics
	arrived  chan raft.RPC // from the streams, each from whom it says
	inbound  chan raft.RPC // to raft

	// started is closed once the node is complete. Nothing passes before, and
	// what is set here and in the node before it is visible after.
	started chan struct{}

	// Set before raft starts.
	term        func() Term               // the current one
	leads       func(Term) bool           // this node leads that term now
	campaigning func(Term) bool           // it is a candidate, and not beyond that term
	reached     func(peer string, t Term) // told of another member's current term
	stalled     func() bool               // rule R13: this node is silent
	doubtful    func() bool               // rule M3: this node has no vote now
	caughtUp    func(peer string)
	lazily      func(peer string, req *raft.AppendEntriesRequest) // waits while entries are not urgent
	listed      func(peer string) bool                            // it is a member
	role        func(peer string) Role
	written     func(uint64) uint64 // caps an index at what of the own log is on the disk
	sendState   func(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse) error
	gate        *gate // nil on a data node

	closing chan struct{}
	closed  sync.Once     // of closing
	mute    chan struct{} // closed when Close has closed every stream
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		late    map[string]bool // members to nudge when they have caught up
		away    map[string]bool // members of which an outage was reported
		beats   map[string]bool // members to which a heartbeat of the pacer is out
		strange map[string]bool // members with another promise, reported
		lied    time.Time       // when a message in another's name was reported last
	}
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil) // without it raft turns pre-vote off silently
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(c *Config, l *slog.Logger, p *promises, ls *leases) *transport {
	t := &transport{
		name:     c.Name,
		promises: p,
		leases:   ls,
		streams:  newStreams(c.Net, c.Name, c.Timing.DialTimeout),
		timing:   c.Timing,
		log:      l,
		metrics:  c.Metrics,
		arrived:  make(chan raft.RPC),
		inbound:  make(chan raft.RPC),
		doubtful: func() bool { return false },
		started:  make(chan struct{}),
		closing:  make(chan struct{}),
		mute:     make(chan struct{}),
	}
	t.mu.late = map[string]bool{}
	t.mu.away = map[string]bool{}
	t.mu.beats = map[string]bool{}
	t.mu.strange = map[string]bool{}
	t.nt = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger: newBridge(l),
		Stream: t.streams,
		// Its address in the configuration is a member's record.
		ServerAddressProvider: byName{},
		MaxPool:               4,
		Timeout:               c.Timing.RPCTimeout,
	})
	t.wg.Add(1)
	go t.accept()
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

// isStarted tells whether the node is complete.
func (t *transport) isStarted() bool {
	select {
	case <-t.started:
		return true
	default:
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
			case rpc := <-t.arrived:
				t.receive(rpc)
			case <-t.closing:
				return
			}
		}
	}()
}

// receive hands a message to raft, or answers it. hashicorp/raft takes messages
// one after the other on its main goroutine.
func (t *transport) receive(rpc raft.RPC) {
	ok := true
	switch cmd := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		ok = t.receiveAppend(&rpc, cmd)
	case *raft.RequestVoteRequest:
		ok = t.receiveVote(&rpc, cmd)
	case *raft.RequestPreVoteRequest:
		ok = t.receivePreVote(&rpc, cmd)
	case *raft.TimeoutNowRequest:
		ok = t.receiveTimeoutNow(&rpc, cmd)
	case *raft.InstallSnapshotRequest:
		ok = t.receiveInstall(rpc, cmd)
	}
	if !ok {
		return
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
		close(t.mute)
	})
	return err
}
