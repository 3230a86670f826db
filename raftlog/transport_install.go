package raftlog

import (
	"io"

	"github.com/hashicorp/raft"
)

// InstallSnapshot implements raft.Transport. What raft would send is not sent.
func (t *transport) InstallSnapshot(id raft.ServerID, a raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, _ io.Reader) error {
	if !t.wait() {
		return errRefused
	}
	return t.sendState(id, a, req, resp)
}

// receiveInstall tells whether raft may see an InstallSnapshot: a marker without
// contents, and not from a witness (rule W5). Who joins may not know its leader
// yet. What it is worth is judged by Node.admit.
func (t *transport) receiveInstall(rpc raft.RPC, req *raft.InstallSnapshotRequest) bool {
	_, err := t.readHeader(&req.RPCHeader)
	if err == nil && req.Size == 0 && t.role(string(req.ID)) != RoleWitness {
		return true
	}
	// In a goroutine of its own: what follows on the stream must be read past
	// first, and may be long in coming.
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		if rpc.Reader != nil {
			io.Copy(io.Discard, rpc.Reader) // its error breaks the stream, which is the sender's to open again
		}
		rpc.Respond(&raft.InstallSnapshotResponse{}, errRefused)
	}()
	return false
}
