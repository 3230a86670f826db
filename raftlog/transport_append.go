package raftlog

import (
	"time"

	"github.com/hashicorp/raft"
)

// receiveAppend notes what this node promises by a message of a leader, before
// raft answers it (rule R1).
func (t *transport) receiveAppend(rpc *raft.RPC, req *raft.AppendEntriesRequest) bool {
	s, err := t.readHeader(&req.RPCHeader)
	if err != nil {
		rpc.Respond(&raft.AppendEntriesResponse{}, err)
		return false
	}
	leader, term := string(req.ID), Term(req.Term)
	t.reached(leader, term)
	// Lemma 1 of docs/consistency.md: the promise stands before raft sees the
	// message. A term below the own one gets no Success from raft.
	if s.asks && term >= t.term() {
		t.promises.note(leader, term)
	}
	return true
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, a raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if !t.wait() {
		return errRefused
	}
	trim(req)
	t.lazily(string(id), req)
	for {
		err := t.append(string(id), req, resp)
		t.noteAway(string(id), err)
		if err == nil {
			return nil
		}
		if isHeartbeat(req) || t.isClosing() || !t.leads(Term(req.Term)) || !t.listed(string(id)) {
			return err
		}
		*resp = raft.AppendEntriesResponse{}
		if !t.pause(t.timing.RetryPause) {
			return err
		}
	}
}

// append sends one AppendEntries and counts the answer.
func (t *transport) append(peer string, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if t.stalled() {
		return errRefused // rule R13
	}
	term := Term(req.Term)
	sent, asks := t.leases.beginRound(peer, term)
	req.RPCHeader = t.header(asks, 0)
	// Lemma 18 of docs/consistency.md: nobody learns of a commitment that rests on a
	// copy of this node which is not on its disk yet.
	req.LeaderCommitIndex = t.written(req.LeaderCommitIndex)
	if err := t.nt.AppendEntries(raft.ServerID(peer), raft.ServerAddress(peer), req, resp); err != nil {
		return err
	}
	t.count(peer, req, resp, sent, asks)
	return nil
}

// count counts an answer to a message that left at sent and asked for a promise,
// or did not.
func (t *transport) count(peer string, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse, sent time.Duration, asks bool) {
	if !resp.Success || resp.Term != req.Term {
		return
	}
	term := Term(req.Term)
	if !isHeartbeat(req) {
		index := req.PrevLogEntry
		if n := len(req.Entries); n > 0 {
			index = req.Entries[n-1].Index
		}
		t.leases.acknowledged(peer, term, Index(index), Index(req.LeaderCommitIndex))
		t.mu.Lock()
		late := t.mu.late[peer]
		delete(t.mu.late, peer)
		t.mu.Unlock()
		if late {
			t.caughtUp(peer)
		}
	}
	if asks {
		t.leases.answered(peer, term, sent)
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

// heartbeat sends a heartbeat beside raft's own, unless the last one is still
// out. It does not wait.
func (t *transport) heartbeat(n *Node, peer string, term Term) {
	t.mu.Lock()
	busy := t.mu.beats[peer]
	t.mu.beats[peer] = true
	t.mu.Unlock()
	if busy {
		return
	}
	done := func() {
		t.mu.Lock()
		delete(t.mu.beats, peer)
		t.mu.Unlock()
	}
	if !n.spawn(func() {
		defer done()
		t.beside(peer, t.request(term, 0, 0, 0))
	}) {
		done()
	}
}

// request makes an AppendEntries without entries. Its header comes with append.
func (t *transport) request(term Term, prev, prevTerm, commit uint64) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{Term: uint64(term), PrevLogEntry: prev, PrevLogTerm: prevTerm, LeaderCommitIndex: commit}
}

// beside sends one message beside raft's own replication. Its failure is raft's
// to find out.
func (t *transport) beside(peer string, req *raft.AppendEntriesRequest) {
	var resp raft.AppendEntriesResponse
	_ = t.append(peer, req, &resp)
}

// needsNudge tells whether the follower is known to hold the entry at the
// commit index, and not known to know that it is committed. If it does not hold
// it yet, caughtUp is called after its next answer.
func (t *transport) needsNudge(peer string, term Term, commit Index) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	index, knows := t.leases.acked(peer, term)
	if index < commit {
		t.mu.late[peer] = true
		return false
	}
	return knows < commit
}

// forget drops what is known of a member that is one no more, or was replaced
// under its name.
func (t *transport) forget(peer string) {
	t.leases.forget(peer)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.late, peer)
	delete(t.mu.away, peer)
	delete(t.mu.strange, peer)
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

// noteStrange reports a member that makes promises of another length.
func (t *transport) noteStrange(peer string, err error) {
	t.mu.Lock()
	was := t.mu.strange[peer]
	t.mu.strange[peer] = true
	t.mu.Unlock()
	if !was {
		t.log.Error("a member's messages are refused", "peer", peer, "err", err)
	}
}

// pause returns false if the transport was closed meanwhile.
func (t *transport) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-t.closing:
		return false
	}
}
