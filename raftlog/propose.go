package raftlog

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Proposal is an entry on its way.
type Proposal struct {
	done  chan struct{}
	index Index
	err   error
}

// Done is closed when the outcome is known, as far as it ever will be here.
func (p *Proposal) Done() <-chan struct{} { return p.done }

// Err returns the outcome, after Done: nil if the entry was committed and is on
// its way to this node's state machine, which gets it when it is visible, ErrNotLeader, ErrTooBig or ErrClosed if
// it was not appended and never will be, and ErrUnknownOutcome otherwise.
func (p *Proposal) Err() error { return p.err }

// Index returns the entry's index, after Done and if Err is nil.
func (p *Proposal) Index() Index { return p.index }

func failed(err error) *Proposal {
	p := &Proposal{done: make(chan struct{}), err: err}
	close(p.done)
	return p
}

// Propose offers an entry. data is copied before Propose returns. It blocks
// while maxProposals are in flight. The order of proposals that are in flight
// together is not defined.
func (n *Node) Propose(data []byte) *Proposal {
	if len(data) > MaxEntryBytes {
		return failed(fmt.Errorf("%w: %d bytes, %d are possible", ErrTooBig, len(data), MaxEntryBytes))
	}
	if _, ok := n.ready(); !ok || n.transferring.Load() {
		return failed(n.notLeader())
	}
	return n.propose(encodeApp(data))
}

// propose hands a framed entry to raft. Only data nodes come here.
func (n *Node) propose(frame []byte) *Proposal {
	select {
	case n.slots <- struct{}{}:
	case <-n.ctx.Done():
		return failed(ErrClosed)
	}
	p := &Proposal{done: make(chan struct{})}
	ok := n.spawn(func() {
		f := n.raft.Apply(frame, 0)
		p.err = outcome(f.Error())
		if p.err == nil {
			p.index = Index(f.Index())
			if err, bad := f.Response().(error); bad {
				p.err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
			}
		}
		<-n.slots
		close(p.done)
	})
	if !ok {
		<-n.slots
		return failed(ErrClosed)
	}
	return p
}

// outcome tells the errors of hashicorp/raft apart by whether the entry may be
// in a log. In v1.7.3 (raft.go):
//
//   - ErrNotLeader comes from the follower's and the candidate's loop, and from
//     the leader's once it was removed, each instead of dispatchLogs: not
//     appended.
//   - ErrEnqueueTimeout comes from ApplyLog alone: not appended (no time-out is
//     used here).
//   - ErrLeadershipLost is for entries after dispatchLogs: unknown.
//   - ErrRaftShutdown comes from ApplyLog, where nothing was appended, and from
//     processLogs, where the entry is committed: unknown.
//   - An error of StoreLogs: how much reached the disk is unknown.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrNotLeader
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}
