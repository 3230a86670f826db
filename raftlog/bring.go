package raftlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxFill bounds the entries that a leader writes in order to get a marker
	// that is ahead of a follower's log. What such a log is ahead by is what a
	// leader that lost its quorum had in flight.
	maxFill = 4 * maxProposals
	// bringPauseMax bounds the pause between attempts.
	bringPauseMax = time.Second
)

// errNewMarker ends an attempt because raft has to choose a newer marker.
var errNewMarker = errors.New("raftlog: a newer marker is needed")

// sendState does what raft takes for the sending of a snapshot. It is called on
// the goroutine that replicates to this one follower, whose log cannot be
// continued from here any more, and blocks until that has another state, for
// hours if need be: what it returned as an error would make raft wait for longer
// each time. Heartbeats go on meanwhile. A witness is given the marker alone.
func (n *Node) sendState(id raft.ServerID, a raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse) error {
	peer, term := string(id), Term(req.Term)
	if n.cfg.Role != RoleData {
		return fmt.Errorf("%w: a witness has no state to send", errRefused)
	}
	ctx, cancel := n.whileLeading(term, peer)
	defer cancel()
	n.pins.set(peer, term, Index(req.LastLogIndex))
	b := bring{n: n, id: id, addr: a, req: req, resp: resp}
	pause := n.cfg.Timing.RetryPause
	for {
		done, err := b.attempt(ctx)
		if done || errors.Is(err, errNewMarker) {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(errRefused, err)
		}
		if errors.Is(err, errTaken) {
			continue
		}
		n.log.Info("the follower's state is not there yet", "peer", peer, "index", req.LastLogIndex, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, bringPauseMax)
	}
}

// bring is one follower's way to the marker in req.
type bring struct {
	n    *Node
	id   raft.ServerID
	addr raft.ServerAddress
	req  *raft.InstallSnapshotRequest
	resp *raft.InstallSnapshotResponse
}

// attempt is done when resp is an answer that raft can use.
func (b *bring) attempt(ctx context.Context) (done bool, err error) {
	n, marker := b.n, Index(b.req.LastLogIndex)
	// The entry itself is looked up when the next one is sent.
	if _, ok := n.store.Term(uint64(marker)); !ok || !n.pins.has(string(b.id)) {
		return false, n.advanceMarker(ctx, marker)
	}
	have, covered, err := b.probe(ctx)
	switch {
	case err != nil:
		return false, err
	case covered || b.resp.Term > b.req.Term:
		return true, nil
	case have >= marker:
		return false, n.advanceMarker(ctx, have)
	}
	if n.role(string(b.id)) != RoleWitness {
		c, ok := n.sm.(CatchUp)
		if !ok {
			return true, fmt.Errorf("%w: this node's state machine cannot bring another one's", errRefused)
		}
		if err := c.Bring(ctx, string(b.id), marker); err != nil {
			return false, err
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	b.req.Size = 0
	return false, b.send()
}

// send has the follower take the marker. Whether it did is what the next probe
// tells: the answer may be lost, and an old one must not count.
func (b *bring) send() error {
	var resp raft.InstallSnapshotResponse
	b.req.RPCHeader = b.n.trans.header(false, 0)
	if err := b.n.trans.nt.InstallSnapshot(b.id, b.addr, b.req, &resp, strings.NewReader("")); err != nil {
		return err
	}
	if !resp.Success && resp.Term <= b.req.Term {
		return errors.New("raftlog: the marker was not taken")
	}
	return errTaken
}

// errTaken asks for another attempt, which will find the follower at the marker.
var errTaken = errors.New("raftlog: taken")

// probe is Raft's own consistency check: an AppendEntries without entries whose
// previous entry is the marker's. A follower that accepts it holds, by the log
// matching property, what the leader has up to there. Otherwise probe returns how
// far the follower's log or its state goes, the farther one.
func (b *bring) probe(ctx context.Context) (have Index, covered bool, err error) {
	n := b.n
	req := n.trans.request(Term(b.req.Term), b.req.LastLogIndex, b.req.LastLogTerm, b.req.LastLogIndex) // it is committed
	var resp raft.AppendEntriesResponse
	if err := n.trans.append(string(b.id), req, &resp); err != nil {
		return 0, false, err
	}
	b.resp.Term = resp.Term
	if resp.Term > req.Term {
		return 0, false, nil
	}
	if resp.Success {
		b.resp.Success = true
		return Index(req.PrevLogEntry), true, nil
	}
	applied, err := n.appliedAt(ctx, string(b.id))
	return max(Index(resp.LastLog), applied), false, err
}

// appliedAt asks a member how far its state is.
func (n *Node) appliedAt(ctx context.Context, peer string) (Index, error) {
	k := n.link(peer)
	if k == nil {
		return 0, fmt.Errorf("raftlog: %q is no member", peer)
	}
	type answer struct {
		p   pong
		err error
	}
	got := make(chan answer, 1)
	k.ping(func(p pong, err error) { got <- answer{p, err} })
	select {
	case a := <-got:
		return a.p.Applied, a.err
	case <-time.After(n.cfg.Timing.RPCTimeout):
		return 0, fmt.Errorf("raftlog: %s does not answer", peer)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// advanceMarker makes a marker above an index, with entries of its own if the log
// does not go as far, and returns errNewMarker: raft begins again with it.
func (n *Node) advanceMarker(ctx context.Context, above Index) error {
	for range maxFill {
		if _, ok := n.ready(); !ok || ctx.Err() != nil {
			return ErrNotLeader
		}
		if Index(n.fsm.delivered.Load()) > above {
			break
		}
		p := n.propose(encodeWatermark(n.marks()))
		select {
		case <-p.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := n.WriteMarker(); err != nil {
		return err
	}
	if n.markers.limit() <= above {
		return fmt.Errorf("raftlog: the newest marker is at %d, one above %d is needed", n.markers.limit(), above)
	}
	return errNewMarker
}

// whileLeading returns a context that ends when the lead of a term does, when a
// transfer of it begins, or when the follower's pin is given up.
func (n *Node) whileLeading(t Term, peer string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(n.ctx)
	ok := n.spawn(func() {
		tick := time.NewTicker(n.cfg.Timing.RetryPause)
		defer tick.Stop()
		defer cancel()
		for n.leads(t) && !n.transferring.Load() && !n.trans.isClosing() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if !n.pins.has(peer) {
				return
			}
		}
	})
	if !ok {
		cancel()
	}
	return ctx, cancel
}
