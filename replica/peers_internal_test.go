package replica

import (
	"testing"
	"time"

	"twofold/replica/peer"
)

// A full disk of a node that is a data node no more stops nobody, and one that has
// come counts.
func TestDiskWatch_Members(t *testing.T) {
	now := time.Now()
	cfg := Config{Peers: []string{"b"}, FreeBytes: func() (uint64, error) { return 1 << 30, nil }}
	cfg.Self.Name = "a"
	d := newDiskWatch(&cfg)
	d.heard("b", peer.Space{Free: 0}, now)
	d.heard("c", peer.Space{Free: 0}, now)
	if d.room(now) != 0 {
		t.Fatal("b is full")
	}
	d.forget("b")
	if d.room(now) == 0 {
		t.Error("a full disk counts that is none of the cluster's")
	}
	d.expect("c")
	d.heard("c", peer.Space{Free: 0}, now)
	if d.room(now) != 0 {
		t.Error("c is full")
	}
}
