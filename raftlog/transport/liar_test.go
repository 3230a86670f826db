package transport_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/transport"
)

// impostor answers every connection at an address with one hello and collects
// what the dialler says last.
type impostor struct {
	verdicts chan string
}

func newImpostor(t *testing.T, addr string, answer func() map[string]any) *impostor {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{verdicts: make(chan string, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			i.serve(conn, answer())
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return i
}

func (i *impostor) serve(conn net.Conn, answer map[string]any) {
	defer conn.Close()
	if _, err := readRawFrame(conn); err != nil {
		return
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return
	}
	if _, err := conn.Write(frame(data)); err != nil {
		return
	}
	last, _ := readRawFrame(conn)
	select {
	case i.verdicts <- string(last):
	default:
	}
}

func readRawFrame(r io.Reader) ([]byte, error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, int(head[10])<<8|int(head[11]))
	_, err := io.ReadFull(r, body)
	return body, err
}

// The dialler judges the node that it reached by the same rules, even if that
// node says that all is well, and tells it.
func TestDial_JudgesTheAnswer(t *testing.T) {
	tests := map[string]struct {
		code transport.Code
		edit func(map[string]any)
	}{
		"other node":     {transport.CodeWrongNode, func(h map[string]any) { h["node"], h["node_id"] = "w", nodeID(3).String() }},
		"formatted anew": {transport.CodeNodeID, func(h map[string]any) { h["node_id"] = nodeID(9).String(); delete(h, "cluster_id") }},
		"not bound":      {transport.CodeUnbound, func(h map[string]any) { delete(h, "cluster_id") }},
		"other cluster":  {transport.CodeCluster, func(h map[string]any) { h["cluster"] = "c2"; delete(h, "cluster_id") }},
		"not bound, kind of a meeting": {transport.CodeMalformed, func(h map[string]any) {
			h["kind"] = 200
			delete(h, "cluster_id")
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t)
			bindAll(t, nodes)
			a := nodes["a"]
			a.start()
			liar := newImpostor(t, nodes["b"].cfg.Listen, func() map[string]any {
				h := rawHello(nodes["b"], raftlog.StreamRaft, "a")
				tt.edit(h)
				return h
			})
			_, err := a.mux.Dial(testContext(t), "b", raftlog.StreamRaft)
			wantCode(t, err, tt.code, "a")
			if v := wait(t, "the verdict", liar.verdicts); !strings.Contains(v, string(tt.code)) {
				t.Errorf("verdict %q", v)
			}
			if info, _ := a.mux.PeerInfo("b"); info.Connected || !strings.Contains(info.Problem, string(tt.code)) {
				t.Errorf("status %+v", info)
			}
		})
	}
	t.Run("no lie", func(t *testing.T) {
		nodes := newCluster(t)
		bindAll(t, nodes)
		nodes["a"].start()
		honest := newImpostor(t, nodes["b"].cfg.Listen, func() map[string]any { return rawHello(nodes["b"], raftlog.StreamRaft, "a") })
		c, err := nodes["a"].mux.Dial(testContext(t), "b", raftlog.StreamRaft)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if v := wait(t, "the verdict", honest.verdicts); v != "{}" {
			t.Errorf("verdict %q", v)
		}
	})
}

// A Meet believes a refusal for a new id only from a bound member of its own
// cluster: anything else must not stop a node for good.
func TestMeet_JudgesTheRefusal(t *testing.T) {
	refused := map[string]any{"code": "node-id", "text": "away with you"}
	tests := map[string]struct {
		final bool
		edit  func(map[string]any)
	}{
		"bound member":  {true, func(map[string]any) {}},
		"unbound":       {false, func(h map[string]any) { delete(h, "cluster_id") }},
		"other cluster": {false, func(h map[string]any) { h["cluster"] = "c2"; delete(h, "cluster_id") }},
		"other node":    {false, func(h map[string]any) { h["node"], h["node_id"] = "w", nodeID(3).String() }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t)
			bindAll(t, nodes)
			a := nodes["a"]
			a.wipe(9)
			a.start()
			newImpostor(t, nodes["b"].cfg.Listen, func() map[string]any {
				h := rawHello(nodes["b"], 200, "a")
				h["refused"] = refused
				tt.edit(h)
				return h
			})
			met := a.meet(testContext(t))
			if tt.final {
				if r := wait(t, "Meet", met); !errors.Is(r.err, transport.ErrFormattedAnew) {
					t.Errorf("Meet: %v", r.err)
				}
				return
			}
			eventually(t, "the first round", func() bool {
				return strings.Count(a.log.String(), "waiting for member") == 2
			})
			a.stop()
			if r := wait(t, "Meet", met); !errors.Is(r.err, transport.ErrClosed) {
				t.Errorf("Meet: %v", r.err)
			}
		})
	}
}
