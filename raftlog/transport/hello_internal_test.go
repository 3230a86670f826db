package transport

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// fullHello is the largest hello that can be.
func fullHello(t testing.TB) *hello {
	t.Helper()
	h := &hello{
		Protocol: protocol,
		Format:   Range{Min: 1<<32 - 1, Max: 1<<32 - 1},
		Kind:     streamMeet,
		Cluster:  strings.Repeat("c", identity.MaxName),
		Role:     raftlog.RoleWitness,
		Wanted:   strings.Repeat("w", identity.MaxName),
	}
	for i := range identity.MaxMembers {
		name := strings.Repeat("n", identity.MaxName-1) + string(rune('a'+i))
		h.Members = append(h.Members, identity.Member{Name: name, Role: raftlog.RoleWitness, NodeID: identity.NodeID{15: byte(i + 1)}})
	}
	for i := range MaxAddrs {
		a := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00").As16()
		a[15] = 0xf0 + byte(i)
		h.Addrs = append(h.Addrs, netip.AddrFrom16(a))
	}
	b, err := identity.NewBinding(h.Cluster, h.Members)
	if err != nil {
		t.Fatal(err)
	}
	h.ClusterID, h.Node, h.NodeID = b.ClusterID, b.Members[0].Name, b.Members[0].NodeID
	return h
}

// The largest hello fits into a frame, and so does a refusal with the longest
// text, which goes without addresses.
func TestHello_LargestFits(t *testing.T) {
	h := fullHello(t)
	for range 2 {
		buf, err := appendFrame(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		data, err := readFrame(bytes.NewReader(buf))
		if err != nil {
			t.Fatal(err)
		}
		back, r := decodeHello(data)
		if r != nil {
			t.Fatal(r)
		}
		if again, _ := json.Marshal(back); !bytes.Equal(again, data) {
			t.Fatalf("%s\nbecame\n%s", data, again)
		}
		h.Addrs = nil
		h.Refused = refusal(CodeCertificate, "%s", strings.Repeat(`"`, 2*MaxRefusalText))
	}
	h.Wanted = strings.Repeat("x", MaxHelloBytes)
	if _, err := appendFrame(nil, h); err == nil {
		t.Error("a hello beyond the limit was encoded")
	}
}

func TestClip_CutsAndCleans(t *testing.T) {
	if got := clip("a\x1b[2J\nb\xff"); strings.ContainsAny(got, "\x1b\n") || !utf8.ValidString(got) {
		t.Errorf("%q", got)
	}
	long := clip(strings.Repeat("é", MaxRefusalText))
	if len(long) > MaxRefusalText || strings.Trim(long, "é") != "" {
		t.Errorf("%d bytes, ends with %q", len(long), long[len(long)-3:])
	}
}

// Whatever comes in: no crash, bounded, and what is accepted survives a second
// encoding unchanged.
func FuzzDecodeHello(f *testing.F) {
	full, err := json.Marshal(fullHello(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"protocol":{"min":2,"max":3}}`))
	f.Add([]byte(`{"protocol":{"min":1,"max":1},"format":{"min":1,"max":1},"kind":1,"cluster":"c","node":"a","node_id":"01010101010101010101010101010101","role":"data","wanted":"b","addrs":["::1"],"members":[{"name":"a","role":"data"}],"refused":{"code":"role","text":"t"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, r := decodeHello(data)
		if (h == nil) == (r == nil) {
			t.Fatalf("hello %v and refusal %v", h, r)
		}
		if h == nil {
			if len(r.Text) > MaxRefusalText {
				t.Fatalf("text of %d bytes", len(r.Text))
			}
			return
		}
		once, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		again, r := decodeHello(once)
		if r != nil {
			t.Fatalf("%s: %v", once, r)
		}
		if twice, _ := json.Marshal(again); !bytes.Equal(once, twice) {
			t.Fatalf("%s\nbecame\n%s", once, twice)
		}
		// The judge must stand it too.
		cfg := Config{Self: identity.Member{Name: "b"}, ClusterName: "c", Members: []Member{{Name: "a", Role: "data"}, {Name: "b", Role: "data"}}}
		cfg.setDefaults()
		checker{cfg: &cfg, roster: foundingRoster(&cfg, nil)}.check(h, "", certificate{})
	})
}

// FuzzReadFrame checks that a frame is read exactly, never beyond its end.
func FuzzReadFrame(f *testing.F) {
	good, err := appendFrame(nil, verdict{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(good, "stream"...))
	f.Add([]byte("TWOFOLD1\xff\xff\xff\xff"))
	f.Add([]byte{22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		body, err := readFrame(r)
		if err != nil {
			return
		}
		if read := len(data) - r.Len(); read != frameHeader+len(body) || len(body) > MaxHelloBytes {
			t.Fatalf("read %d bytes for a body of %d", read, len(body))
		}
	})
}
