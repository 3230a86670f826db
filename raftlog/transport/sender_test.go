package transport_test

import (
	"encoding/binary"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// throughMux lets a member's Mux carry a foreign raft's messages.
type throughMux struct {
	net.Listener
	t *testing.T
	n *node
}

func (l throughMux) Dial(a raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	return l.n.mux.Dial(testContext(l.t), string(a), raftlog.StreamRaft)
}

// A node with a good certificate is who the certificate says, whatever name its
// messages bear.
func TestTLS_MemberInAnothersName(t *testing.T) {
	nodes, _ := tlsCluster(t)
	startAll(nodes)
	var log syncBuffer
	w, err := raftlog.Open(raftlog.Config{
		Name: "w", Role: raftlog.RoleWitness, Dir: t.TempDir(), Members: rafttest.Trio, Net: nodes["w"].mux, Bootstrap: true,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b := nodes["b"]
	nt := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: throughMux{b.mux.Listener(raftlog.StreamRaft), t, b}, Timeout: patience, Logger: hclog.NewNullLogger(),
	})
	defer nt.Close()
	defer nt.CloseStreams()
	stamp := make([]byte, 24)
	stamp[0] = 1
	binary.BigEndian.PutUint64(stamp[8:], uint64(raftlog.DefaultPromise.Microseconds()))
	vote := func(name string) error {
		h := raft.RPCHeader{ProtocolVersion: 3, ID: []byte(name), Addr: stamp}
		return nt.RequestVote("w", "w", &raft.RequestVoteRequest{RPCHeader: h, Term: 7, LastLogTerm: 7, LastLogIndex: 7}, &raft.RequestVoteResponse{})
	}
	if err := vote("a"); err == nil {
		t.Error("b asked for a vote for a, and was answered")
	}
	eventually(t, "the log line", func() bool {
		return strings.Contains(log.String(), "another member's name") && strings.Contains(log.String(), "peer=b") && strings.Contains(log.String(), "claims=a")
	})
	if err := vote("a"); err == nil || strings.Count(log.String(), "another member's name") != 1 {
		t.Errorf("again: %v", err)
	}
	if err := vote("b"); err != nil {
		t.Errorf("in its own name: %v", err)
	}
}
