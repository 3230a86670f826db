package replica

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// A node that was full and is silent stops to count, and a stranger never does.
func TestDiskWatch_SilentPeer(t *testing.T) {
	free, fail := uint64(150), error(nil)
	d := newDiskWatch(&Config{
		Self: vfs.Member{Name: "a"}, Peers: []string{"b"}, ReserveBytes: 100,
		FreeBytes: func() (uint64, error) { return free, fail }, Logger: slog.New(slog.DiscardHandler),
	})
	now := time.Now()
	want := func(what string, at time.Time, room uint64) {
		t.Helper()
		if got := d.room(at); got != room {
			t.Errorf("%s: room for %d, want %d", what, got, room)
		}
	}
	want("alone", now, 50)
	d.heard("c", peer.Space{}, now)
	want("a stranger is full", now, 50)
	d.heard("b", peer.Space{}, now)
	want("the peer is full", now.Add(spaceLife-1), 0)
	want("and silent", now.Add(spaceLife), 50)
	free = 99
	d.look()
	want("below the reserve", now.Add(spaceLife), 0)
	fail, free = errors.New("i/o error"), 1000
	d.look()
	want("a look that fails changes nothing", now.Add(spaceLife), 0)
}

// A disk that cannot be asked from the beginning on refuses nothing.
func TestDiskWatch_Unknown(t *testing.T) {
	d := newDiskWatch(&Config{
		FreeBytes: func() (uint64, error) { return 0, errors.New("no such file system") },
		Logger:    slog.New(slog.DiscardHandler),
	})
	if d.full() || d.room(time.Now()) != unknownSpace {
		t.Errorf("room for %d", d.room(time.Now()))
	}
}
