package transport_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/transport"
)

// rawHello is a hello as it goes over the wire, written down here once more, so
// that a change of the encoding shows.
func rawHello(n *node, kind raftlog.StreamKind, wanted string) map[string]any {
	h := map[string]any{
		"protocol": map[string]any{"min": 1, "max": 1},
		"format":   map[string]any{"min": 1, "max": 1},
		"kind":     int(kind),
		"cluster":  n.cfg.ClusterName,
		"node":     n.cfg.Self.Name,
		"node_id":  n.cfg.Self.NodeID.String(),
		"role":     string(n.cfg.Self.Role),
		"wanted":   wanted,
		"addrs":    []string{"127.0.0.1"},
		"members":  n.cfg.Members,
	}
	var members []map[string]any
	for _, m := range n.cfg.Members {
		members = append(members, map[string]any{"name": m.Name, "role": m.Role})
	}
	h["members"] = members
	if b := n.binding; b != nil {
		h["cluster_id"], h["members"] = b.ClusterID.String(), b.Members
	}
	return h
}

func frame(data []byte) []byte {
	buf := append([]byte("TWOFOLD1"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(buf[8:], uint32(len(data)))
	return append(buf, data...)
}

// sayHello sends a hello and returns the JSON of the answer, or "" if the other
// end closed the connection.
func sayHello(t *testing.T, conn net.Conn, h map[string]any) string {
	t.Helper()
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return sayBytes(t, conn, frame(data))
}

func sayBytes(t *testing.T, conn net.Conn, data []byte) string {
	t.Helper()
	if _, err := conn.Write(data); err != nil {
		return ""
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 12)
	if _, err := io.ReadFull(conn, head); err != nil {
		if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
			t.Fatal("the other end neither answered nor closed")
		}
		return ""
	}
	if string(head[:8]) != "TWOFOLD1" {
		t.Fatalf("answer begins with %q", head)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[8:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func dialRaw(t *testing.T, n *node) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", n.cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Every rule of the hello refuses with its code and a text, at the acceptor.
func TestHello_Refusals(t *testing.T) {
	type hello = map[string]any
	versions := func(lo, hi int) hello { return hello{"min": lo, "max": hi} }
	tests := []struct {
		name string
		code transport.Code
		says string
		edit func(hello)
	}{
		{"newer protocol", transport.CodeProtocol, "upgrade the older", func(h hello) {
			h["protocol"] = versions(2, 7)
			h["members"] = "looks different in protocol 2"
		}},
		{"newer format", transport.CodeFormat, "upgrade the older", func(h hello) { h["format"] = versions(2, 3) }},
		{"other cluster", transport.CodeCluster, "cluster name", func(h hello) { h["cluster"] = "c2"; delete(h, "cluster_id") }},
		{"unknown name", transport.CodeMember, "not among the members", func(h hello) { h["node"] = "x"; delete(h, "cluster_id") }},
		{"own name", transport.CodeMember, "two nodes are named", func(h hello) {
			h["node"], h["node_id"] = "a", nodeID(1).String()
		}},
		{"wrong node", transport.CodeWrongNode, "member addresses of node b", func(h hello) { h["wanted"] = "w" }},
		{"role", transport.CodeRole, "formatted for role", func(h hello) { h["role"] = "witness" }},
		{"fewer members", transport.CodeMembers, "make the configurations equal", func(h hello) {
			delete(h, "cluster_id")
			h["members"] = []hello{{"name": "a", "role": "data"}, {"name": "b", "role": "data"}}
		}},
		{"other id", transport.CodeNodeID, "formatted anew", func(h hello) {
			delete(h, "cluster_id")
			h["node_id"] = nodeID(9).String()
		}},
		{"not bound", transport.CodeUnbound, "not recorded the cluster", func(h hello) { delete(h, "cluster_id") }},
		{"unknown kind", transport.CodeKind, "kind 77", func(h hello) { h["kind"] = 77 }},
		{"no consumer", transport.CodeNoConsumer, "takes no streams", func(h hello) { h["kind"] = 2 }},
		{"bad id", transport.CodeMalformed, "", func(h hello) { h["node_id"] = "zz" }},
		{"no id", transport.CodeMalformed, "no node id", func(h hello) { h["node_id"] = "" }},
		{"forged cluster id", transport.CodeMalformed, "not that of its members", func(h hello) { h["cluster_id"] = nodeID(5).String() }},
		{"bound without itself", transport.CodeMalformed, "own node", func(h hello) { h["node_id"] = nodeID(9).String() }},
		{"bad name", transport.CodeMalformed, "", func(h hello) { h["node"] = "b\x1b[31m" }},
		{"long name", transport.CodeMalformed, "", func(h hello) { h["wanted"] = strings.Repeat("x", 64) }},
		{"empty range", transport.CodeMalformed, "empty version range", func(h hello) { h["format"] = versions(2, 1) }},
		{"many addresses", transport.CodeMalformed, "17 addresses", func(h hello) {
			var addrs []string
			for i := range transport.MaxAddrs + 1 {
				addrs = append(addrs, fmt.Sprintf("10.0.0.%d", i))
			}
			h["addrs"] = addrs
		}},
		{"bad address", transport.CodeMalformed, "", func(h hello) { h["addrs"] = []string{"here"} }},
		{"kind out of range", transport.CodeMalformed, "", func(h hello) { h["kind"] = 300 }},
	}
	nodes := newCluster(t)
	bindAll(t, nodes)
	a := nodes["a"]
	a.start()
	a.mux.Listener(raftlog.StreamRaft)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := rawHello(nodes["b"], raftlog.StreamRaft, "a")
			tt.edit(h)
			var answer struct {
				Refused *transport.Refusal `json:"refused"`
			}
			raw := sayHello(t, dialRaw(t, a), h)
			if err := json.Unmarshal([]byte(raw), &answer); err != nil || answer.Refused == nil {
				t.Fatalf("answer %q, %v", raw, err)
			}
			if answer.Refused.Code != tt.code || !strings.Contains(answer.Refused.Text, tt.says) {
				t.Errorf("refused with %s: %s", answer.Refused.Code, answer.Refused.Text)
			}
			if strings.ContainsAny(answer.Refused.Text, "\x1b\n") {
				t.Errorf("text %q", answer.Refused.Text)
			}
		})
	}
	conn := dialRaw(t, a)
	if raw := sayHello(t, conn, rawHello(nodes["b"], raftlog.StreamRaft, "a")); strings.Contains(raw, "refused") {
		t.Errorf("a good hello was refused: %s", raw)
	}
	if got := strings.Count(a.log.String(), "code=malformed"); got != 1 {
		t.Errorf("%d lines about malformed hellos, want 1 by the rate limit", got)
	}
}

// The dialler's last word counts: a stream that it refuses is never handed out.
func TestHello_DiallerRefuses(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a := nodes["a"]
	a.start()
	l := a.mux.Listener(raftlog.StreamRaft)
	conn := dialRaw(t, a)
	sayHello(t, conn, rawHello(nodes["b"], raftlog.StreamRaft, "a"))
	if _, err := conn.Write(frame([]byte(`{"refused":{"code":"role","text":"no\u001b, thanks"}}`))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a log line", func() bool { return strings.Contains(a.log.String(), "no?, thanks") })
	roundTripAfter(t, nodes, l)
}

// roundTripAfter checks that the next stream from l is one that b dialled.
func roundTripAfter(t *testing.T, nodes map[string]*node, l net.Listener) {
	t.Helper()
	nodes["b"].start()
	c, err := nodes["b"].mux.Dial(testContext(t), "a", raftlog.StreamRaft)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	exchangeWords(t, c, in)
}

// Bytes that are no hello end the connection, soon and without an answer.
func TestHello_Garbage(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a := nodes["a"]
	a.cfg.HelloTimeout = 100 * time.Millisecond
	a.start()
	l := a.mux.Listener(raftlog.StreamRaft)
	oversized := frame(nil)
	binary.BigEndian.PutUint32(oversized[8:], transport.MaxHelloBytes+1)
	padded, err := json.Marshal(rawHello(nodes["b"], raftlog.StreamRaft, "a"))
	if err != nil {
		t.Fatal(err)
	}
	padded = append(padded, bytes.Repeat([]byte(" "), transport.MaxHelloBytes)...)
	huge := frame(nil)
	binary.BigEndian.PutUint32(huge[8:], 0xffffffff)
	for name, data := range map[string][]byte{
		"http":      []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"zeros":     make([]byte, 100),
		"oversized": oversized,
		"huge":      huge,
		"padded":    frame(padded),
		"cut short": frame([]byte(`{"protocol":`))[:14],
		"slow":      []byte("TWO"),
		"nothing":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			if answer := sayBytes(t, dialRaw(t, a), data); answer != "" {
				t.Errorf("answer %q", answer)
			}
		})
	}
	for _, body := range []string{"", "null", "[]", `{"protocol":{"min":1,"max":1}`, "{}"} {
		if answer := sayBytes(t, dialRaw(t, a), frame([]byte(body))); !strings.Contains(answer, "refused") {
			t.Errorf("%q: answer %q", body, answer)
		}
	}
	// A verdict that is none.
	conn := dialRaw(t, a)
	sayHello(t, conn, rawHello(nodes["b"], raftlog.StreamRaft, "a"))
	conn.Write(frame([]byte("[")))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("after a bad verdict: %d, %v", n, err)
	}
	roundTripAfter(t, nodes, l)
}

// One address cannot keep more than its share of hellos waiting, and members at
// other addresses still get in.
func TestHello_SlowOnesAreBounded(t *testing.T) {
	nodes := newCluster(t)
	bindAll(t, nodes)
	a := nodes["a"]
	a.start()
	a.mux.Listener(raftlog.StreamRaft)
	for range transport.MaxHellosPerAddr {
		dialRaw(t, a)
	}
	// The one beyond is closed at once, long before its hello's deadline.
	begin := time.Now()
	eventually(t, "a connection to be refused", func() bool {
		conn := dialRaw(t, a)
		conn.SetReadDeadline(time.Now().Add(transport.HelloTimeout / 4))
		_, err := conn.Read(make([]byte, 1))
		nerr, ok := err.(net.Error)
		return !ok || !nerr.Timeout()
	})
	if d := time.Since(begin); d > transport.HelloTimeout {
		t.Errorf("refused after %v", d)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.99.99.99")}}
	conn, err := d.Dial("tcp", a.cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if raw := sayHello(t, conn, rawHello(nodes["b"], raftlog.StreamRaft, "a")); raw == "" || strings.Contains(raw, "refused") {
		t.Errorf("hello from another address: %q", raw)
	}
}

// Configurations that differ are found at the dialler too, and logged at both.
func TestDial_ConfigurationsDiffer(t *testing.T) {
	tests := map[string]struct {
		code transport.Code
		edit func(map[string]*node)
	}{
		"cluster": {transport.CodeCluster, func(n map[string]*node) { n["b"].cfg.ClusterName = "c2" }},
		"role": {transport.CodeMembers, func(n map[string]*node) {
			n["b"].cfg.Self.Role = raftlog.RoleWitness
			n["b"].cfg.Members = append([]transport.Member(nil), n["b"].cfg.Members...)
			n["b"].cfg.Members[1].Role = raftlog.RoleWitness
		}},
		"members": {transport.CodeMembers, func(n map[string]*node) { n["b"].cfg.Members = n["b"].cfg.Members[:2] }},
		"format":  {transport.CodeFormat, func(n map[string]*node) { n["b"].cfg.Format = transport.Range{Min: 4, Max: 5} }},
		"wrong node": {transport.CodeWrongNode, func(n map[string]*node) {
			n["a"].cfg.Members = append([]transport.Member(nil), n["a"].cfg.Members...)
			m := n["a"].cfg.Members
			m[1].Addr, m[2].Addr = m[2].Addr, m[1].Addr
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t)
			tt.edit(nodes)
			startAll(nodes)
			a := nodes["a"]
			met := a.meet(testContext(t))
			eventually(t, "a refusal", func() bool {
				return strings.Contains(a.log.String(), "code="+string(tt.code))
			})
			if a.mux.Binding() != nil {
				t.Error("met in spite of it")
			}
			eventually(t, "the status to say it", func() bool {
				info, _ := a.mux.PeerInfo("b")
				return strings.Contains(info.Problem, string(tt.code))
			})
			there := nodes["b"]
			if tt.code == transport.CodeWrongNode {
				there = nodes["w"]
			}
			eventually(t, "a refusal at the other end", func() bool {
				return strings.Contains(there.log.String(), "code="+string(tt.code))
			})
			a.stop()
			wait(t, "Meet", met)
		})
	}
}
