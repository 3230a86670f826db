package raftlog

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// lieInterval is the shortest time between two log lines about messages in
// another member's name, of all peers together.
const lieInterval = time.Minute

// single is a StreamLayer with one stream in it. hashicorp/raft's transport tells
// of no message where it came from; one of them for each stream does.
type single struct {
	net.Conn
	local net.Addr

	first chan struct{} // holds a value until the stream was handed out
	ended chan struct{} // closed when the stream is
	shut  chan struct{} // closed when the transport that reads it is
	once  struct{ end, shut sync.Once }
}

// singleConn tells its layer when raft's transport closes it.
type singleConn struct{ *single }

func (c singleConn) Close() error {
	c.once.end.Do(func() { close(c.ended) })
	return c.Conn.Close()
}

func newSingle(c net.Conn, local net.Addr) *single {
	s := &single{Conn: c, local: local, first: make(chan struct{}, 1), ended: make(chan struct{}), shut: make(chan struct{})}
	s.first <- struct{}{}
	return s
}

// Accept hands the stream out, and then waits for the end.
func (s *single) Accept() (net.Conn, error) {
	select {
	case <-s.first:
		return singleConn{s}, nil
	case <-s.shut:
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer. Nothing is sent by way of this one.
func (s *single) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) { return nil, errRefused }

// Addr implements net.Listener.
func (s *single) Addr() net.Addr { return s.local }

// Close implements net.Listener. The stream ends with it.
func (s *single) Close() error {
	s.once.shut.Do(func() { close(s.shut) })
	return s.Conn.Close()
}

// accept reads every stream that another member opens.
func (t *transport) accept() {
	defer t.wg.Done()
	for {
		c, err := t.streams.next()
		switch {
		case err == nil:
			t.wg.Add(1)
			go t.serve(c)
		case errors.Is(err, net.ErrClosed) || t.isClosing():
			return
		default:
			t.log.Error("streams of other members cannot be accepted", "err", err)
			if !t.pause(time.Second) {
				return
			}
		}
	}
}

// serve reads one stream. It ends with it, or with the first message in another
// member's name: what a message does is done to whom it names (a promise to the
// leader, a vote for the candidate), and only the Net knows who speaks.
func (t *transport) serve(c net.Conn) {
	defer t.wg.Done()
	peer := c.RemoteAddr().String()
	s := newSingle(c, t.streams.Addr())
	nt := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger: newBridge(t.log), Stream: s, Timeout: t.timing.RPCTimeout,
	})
	defer nt.Close()
	for {
		select {
		case rpc := <-nt.Consumer():
			if claimed := sender(rpc); claimed != peer {
				t.noteLie(peer, claimed)
				return
			}
			select {
			case t.arrived <- rpc:
			case <-t.closing:
				return
			}
		case <-s.ended:
			return
		case <-t.closing:
			return
		}
	}
}

// sender is whom a message names as the one that it is from.
func sender(rpc raft.RPC) string {
	m, ok := rpc.Command.(raft.WithRPCHeader)
	if !ok {
		return ""
	}
	return string(m.GetRPCHeader().ID)
}

// noteLie reports a message in another member's name.
func (t *transport) noteLie(peer, claimed string) {
	t.metrics.SenderRefused()
	now := time.Now()
	t.mu.Lock()
	due := t.mu.lied.IsZero() || now.Sub(t.mu.lied) >= lieInterval
	if due {
		t.mu.lied = now
	}
	t.mu.Unlock()
	if due {
		t.log.Error("a message in another member's name was refused: that node is broken, or its key is in other hands",
			"peer", peer, "claims", clip(claimed))
	}
}

// clip bounds a name that came over the wire, for a log line.
func clip(name string) string { return name[:min(len(name), MaxServerText)] }
