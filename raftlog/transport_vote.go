package raftlog

import (
	"time"

	"github.com/hashicorp/raft"
)

// campaignPauses is how often in the length of a promise a candidate asks again
// whom it could not ask, or who said no: a promise may have run out meanwhile.
// raft itself would wait for an election timeout.
const campaignPauses = 32

// receiveVote keeps this node's promises (rules R1 and R2), whatever flags a
// request for its vote bears.
func (t *transport) receiveVote(rpc *raft.RPC, req *raft.RequestVoteRequest) bool {
	refusal := &raft.RequestVoteResponse{RPCHeader: t.header(false, 0), Term: uint64(t.term())}
	if _, err := t.readHeader(&req.RPCHeader); err != nil {
		rpc.Respond(refusal, err)
		return false
	}
	candidate := string(req.ID)
	t.reached(candidate, Term(req.Term))
	// raft would raise its term, and depose a leader that is well. Who may lack what it
	// acknowledged has no vote at all (Lemma 16 of docs/consistency.md).
	if t.doubtful() || t.promises.blocksVote(candidate) > 0 {
		rpc.Respond(refusal, nil)
		return false
	}
	// Lemma 1 of docs/consistency.md: what counts is the promise that stands when
	// raft answers. It may have been made since.
	answer := make(chan raft.RPCResponse, 1)
	out := rpc.RespChan
	rpc.RespChan = answer
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		select {
		case a := <-answer:
			out <- t.keep(candidate, a)
		case <-t.closing:
		}
	}()
	return true
}

// keep holds back a vote that a promise forbids to let out. raft has given it,
// and gives this term's to nobody else.
func (t *transport) keep(candidate string, a raft.RPCResponse) raft.RPCResponse {
	r, ok := a.Response.(*raft.RequestVoteResponse)
	if !ok || !r.Granted || t.promises.blocksVote(candidate) == 0 {
		return a
	}
	kept := *r
	kept.Granted = false
	return raft.RPCResponse{Response: &kept, Error: a.Error}
}

// receivePreVote refuses where a vote would be refused. A pre-vote binds nobody;
// this only keeps candidates from raising terms for nothing.
func (t *transport) receivePreVote(rpc *raft.RPC, req *raft.RequestPreVoteRequest) bool {
	refusal := &raft.RequestPreVoteResponse{RPCHeader: t.header(false, 0), Term: uint64(t.term())}
	if _, err := t.readHeader(&req.RPCHeader); err != nil {
		rpc.Respond(refusal, err)
		return false
	}
	if t.gate != nil {
		t.gate.campaign(req.LastLogTerm, req.LastLogIndex)
	}
	if t.doubtful() || t.promises.blocksVote(string(req.ID)) > 0 {
		rpc.Respond(refusal, nil)
		return false
	}
	return true
}

// receiveTimeoutNow takes the lead from the leader of the own term only, who says
// by it that this node is let off its promise (rule R6). A witness takes none.
func (t *transport) receiveTimeoutNow(rpc *raft.RPC, req *raft.TimeoutNowRequest) bool {
	s, err := t.readHeader(&req.RPCHeader)
	if err != nil || t.gate != nil || s.term != t.term() || t.promises.starting() > 0 || t.stalled() || t.doubtful() {
		rpc.Respond(&raft.TimeoutNowResponse{}, errRefused)
		return false
	}
	t.promises.drop(string(req.ID), s.term, t.name)
	if t.promises.blocksCampaign(t.name) > 0 {
		rpc.Respond(&raft.TimeoutNowResponse{}, errRefused)
		return false
	}
	return true
}

// handTo tells a member to campaign at once, and lets it off its promise (rule R6).
func (t *transport) handTo(to string, term Term) error {
	if !t.leads(term) || t.stalled() {
		return errRefused
	}
	done := make(chan error, 1)
	go func() { // ends after RPCTimeout, or when the transport is closed
		done <- t.nt.TimeoutNow(raft.ServerID(to), raft.ServerAddress(to), &raft.TimeoutNowRequest{RPCHeader: t.header(false, term)}, &raft.TimeoutNowResponse{})
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(t.timing.ElectionTimeout / 2): // nothing is proposed meanwhile
		return errNoAnswer
	}
}

// TimeoutNow implements raft.Transport. Raft's own transfer is not used.
func (t *transport) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	return errRefused
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, a raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if !t.wait() {
		return errRefused
	}
	t.promises.reached(t.name, Term(req.Term)) // raft has raised its term
	r := *req
	r.RPCHeader = t.header(false, 0)
	*resp = raft.RequestVoteResponse{RPCHeader: req.RPCHeader, Term: req.Term}
	return t.campaign(Term(req.Term), func() (bool, error) {
		*resp = raft.RequestVoteResponse{}
		err := t.nt.RequestVote(id, a, &r, resp)
		return resp.Granted || resp.Term > req.Term, err
	})
}

// RequestPreVote implements raft.WithPreVote. It waits while a witness must not
// campaign yet; a pre-vote changes nothing anywhere.
func (t *transport) RequestPreVote(id raft.ServerID, a raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if !t.wait() {
		return errRefused
	}
	r := *req
	r.RPCHeader = t.header(false, 0)
	*resp = raft.RequestPreVoteResponse{RPCHeader: req.RPCHeader, Term: req.Term}
	return t.campaign(Term(req.Term), func() (bool, error) {
		if t.gate != nil && !t.gate.open() {
			return false, nil
		}
		*resp = raft.RequestPreVoteResponse{}
		err := t.nt.RequestPreVote(id, a, &r, resp)
		return resp.Granted || resp.Term > req.Term, err
	})
}

// campaign asks for a vote until it is given, or the campaign for it is over. No
// promise of this node may hold while it asks (rules R1 and R2).
func (t *transport) campaign(term Term, ask func() (done bool, err error)) error {
	pause := max(t.timing.Promise/campaignPauses, time.Millisecond)
	deadline := time.Now().Add(t.timing.ElectionTimeout)
	for {
		// Lemma 1 of docs/consistency.md: raft has raised its term before it comes
		// here, so that what it promises from now on is to later leaders.
		if t.promises.blocksCampaign(t.name) == 0 && !t.stalled() && !t.doubtful() {
			if done, err := ask(); done || err != nil {
				return err
			}
		}
		if time.Now().After(deadline) || !t.pause(pause) || !t.campaigning(term) {
			return nil
		}
	}
}
