package raftlog

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// The stamp is part of the wire format, and another promise is refused with what
// to do about it.
func TestStamp_Golden(t *testing.T) {
	tr := &transport{name: "a", timing: Timing{Promise: 258 * time.Microsecond}, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	tr.mu.strange = map[string]bool{}
	h := tr.header(true, 7)
	if want := []byte{0: 1, 1: 1, 14: 1, 15: 2, 23: 7}; !bytes.Equal(h.Addr, want) {
		t.Errorf("% x", h.Addr)
	}
	good := bytes.Clone(h.Addr)
	s, err := tr.readHeader(&h)
	if err != nil || !s.asks || s.term != 7 || string(h.Addr) != "a" {
		t.Errorf("%+v %v %q", s, err, h.Addr)
	}
	for what, spoil := range map[string]func(b []byte) []byte{
		"same version":   func(b []byte) []byte { return []byte("a") },
		"of this":        func(b []byte) []byte { b[0] = 2; return b },
		"that this":      func(b []byte) []byte { b[1] = 2; return b },
		"Stop all":       func(b []byte) []byte { b[15]++; return b },
		"here it is 258": func(b []byte) []byte { b[8] = 0xff; return b },
	} {
		h := raft.RPCHeader{ID: []byte("b"), Addr: spoil(bytes.Clone(good))}
		if _, err := tr.readHeader(&h); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("% x: %v", h.Addr, err)
		}
	}
}
