package raftlog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// streamLayer is a foreign raft's way into the network.
type streamLayer struct {
	net.Listener
	e *rafttest.Endpoint
}

func (s streamLayer) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.e.Dial(ctx, string(a), raftlog.StreamRaft)
}

// speak lets a test send raft's messages on streams of a member that is not there
// itself.
func speak(c *rafttest.Cluster, name string) (nt *raft.NetworkTransport, detach func()) {
	e := c.Net.Endpoint(name)
	nt = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streamLayer{e.Listener(raftlog.StreamRaft), e}, Timeout: time.Second, Logger: hclog.NewNullLogger(),
	})
	return nt, func() {
		nt.CloseStreams()
		nt.Close()
		c.Net.Detach(name)
	}
}

// stampOf is what a message bears for an address, which asks for a promise and is
// of a term (doc.go, Format).
func stampOf(term raftlog.Term) []byte {
	b := make([]byte, 24)
	b[0], b[1] = 1, 1
	binary.BigEndian.PutUint64(b[8:], uint64(raftlog.DefaultPromise.Microseconds()))
	binary.BigEndian.PutUint64(b[16:], uint64(term))
	return b
}

// lies counts refused messages.
type lies struct {
	appends
	refused atomic.Int64
}

func (l *lies) SenderRefused() { l.refused.Add(1) }

// What a message does, it does for whom it names. A member that speaks in another's
// name is refused whatever it sends, and its own name still counts for it.
func TestSender_InAnothersName(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		var counted lies
		c.Configure = func(cfg *raftlog.Config) {
			if cfg.Name == "w" {
				cfg.Metrics = &counted
			}
		}
		c.Start()
		c.Crash("b")
		c.Eventually(10*time.Second, "a leads without b", func() bool { s, _ := c.Nodes["a"].Watch(); return s.Ready })
		term := c.Nodes["w"].Term()
		nt, detach := speak(c, "b")
		defer detach()
		head := func(name string) raft.RPCHeader {
			return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(name), Addr: stampOf(term)}
		}
		const id, at = raft.ServerID("w"), raft.ServerAddress("w")
		messages := map[string]func(raft.RPCHeader) error{
			"AppendEntries": func(h raft.RPCHeader) error {
				return nt.AppendEntries(id, at, &raft.AppendEntriesRequest{RPCHeader: h, Term: 99}, &raft.AppendEntriesResponse{})
			},
			"RequestVote": func(h raft.RPCHeader) error {
				return nt.RequestVote(id, at, &raft.RequestVoteRequest{RPCHeader: h, Term: 99, LastLogTerm: 99, LastLogIndex: 999}, &raft.RequestVoteResponse{})
			},
			"RequestPreVote": func(h raft.RPCHeader) error {
				return nt.RequestPreVote(id, at, &raft.RequestPreVoteRequest{RPCHeader: h, Term: 99}, &raft.RequestPreVoteResponse{})
			},
			"TimeoutNow": func(h raft.RPCHeader) error {
				return nt.TimeoutNow(id, at, &raft.TimeoutNowRequest{RPCHeader: h}, &raft.TimeoutNowResponse{})
			},
			"InstallSnapshot": func(h raft.RPCHeader) error {
				return nt.InstallSnapshot(id, at, &raft.InstallSnapshotRequest{RPCHeader: h, SnapshotVersion: 1, Term: 99, LastLogIndex: 999, LastLogTerm: 99},
					&raft.InstallSnapshotResponse{}, bytes.NewReader(nil))
			},
		}
		for name, send := range messages {
			for _, claimed := range []string{"a", "w", ""} {
				before := counted.refused.Load()
				if err := send(head(claimed)); err == nil {
					t.Errorf("%s in the name of %q was answered", name, claimed)
				}
				c.Eventually(time.Second, "it was counted", func() bool { return counted.refused.Load() == before+1 })
			}
		}
		if now := c.Nodes["w"].Term(); now != term {
			t.Errorf("the term was raised from %d to %d", term, now)
		}
		before := counted.refused.Load()
		if err := messages["RequestPreVote"](head("b")); err != nil || counted.refused.Load() != before {
			t.Errorf("in its own name: %v", err)
		}
	})
}

// A member's idle control streams are bounded, and cost no other member its own.
func TestControl_StreamsPerPeerAreBounded(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		c.Crash("b")
		e := c.Net.Endpoint("b")
		defer c.Net.Detach("b")
		ended := make(chan error, 100)
		for range 100 {
			conn, err := e.Dial(t.Context(), "w", raftlog.StreamControl)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, err := conn.Read(make([]byte, 1))
				ended <- err
			}()
			synctest.Wait()
		}
		if n := len(ended); n != 92 {
			t.Errorf("%d of 100 idle streams were ended", n)
		}
		// a has to open its stream anew.
		c.Net.Cut("a", "w", raftlog.StreamControl)
		c.Net.Heal("a", "w", raftlog.StreamControl)
		time.Sleep(time.Second)
		for _, p := range c.Nodes["a"].FreshStatus(t.Context()).Peers {
			if p.Name == "w" && !p.Reachable {
				t.Error("a's own control stream is kept out")
			}
		}
	})
}
