package replica

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"twofold/replica/command"
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
	free = 106
	d.look()
	want("a little above it", now.Add(spaceLife), 0)
	free = 107
	d.look()
	want("above it", now.Add(spaceLife), 7)
	free = 99
	d.look()
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
	if d.verdict() != 0 || d.room(time.Now()) != unknownSpace {
		t.Errorf("room for %d", d.room(time.Now()))
	}
}

// A level begins at its share of the reserve, ends a little above, and what it
// forbids grows with it. The worse of the two nodes counts.
func TestDiskWatch_Levels(t *testing.T) {
	free := uint64(10_000)
	d := newDiskWatch(&Config{
		Self: vfs.Member{Name: "a"}, Peers: []string{"b"}, ReserveBytes: 1600,
		FreeBytes: func() (uint64, error) { return free, nil }, Logger: slog.New(slog.DiscardHandler),
	})
	const full, short = command.FlagNoSpace, command.FlagNoSpace | command.FlagNoWrite
	for _, step := range []struct {
		free  uint64
		want  command.Flags
		tight bool
	}{
		{1601, 0, false}, {1600, full, true}, {1700, full, true}, {1701, 0, false}, {1650, 0, false},
		{1000, full, true}, {801, full, true}, {800, short, true}, {900, short, true}, {901, full, true},
		{0, short, true}, {5000, 0, false},
	} {
		free = step.free
		d.look()
		if got := d.verdict(); got != step.want || d.tight() != step.tight {
			t.Errorf("%d free: flags %#x, want %#x; tight %t", free, got, step.want, d.tight())
		}
	}
	for level, want := range []command.Flags{0, full, short, short} {
		d.heard("b", peer.Space{Free: 1 << 40, Level: uint8(level)}, time.Now())
		if got := d.verdict(); got != want {
			t.Errorf("the other node at level %d: flags %#x, want %#x", level, got, want)
		}
	}
}

// What is proposed between two looks counts before it is seen on the disk.
func TestDiskWatch_Spent(t *testing.T) {
	d := newDiskWatch(&Config{
		Self: vfs.Member{Name: "a"}, ReserveBytes: 1000,
		FreeBytes: func() (uint64, error) { return 4000, nil }, Logger: slog.New(slog.DiscardHandler),
	})
	for i := range 3 * 1000 / 100 {
		if got, want := d.verdict() != 0, i > 10; got != want {
			t.Errorf("after %d bytes of 3000: refused %t", 100*i, got)
		}
		d.spend(100)
	}
	d.look()
	if d.verdict() == 0 {
		t.Error("what was spent right before a look is forgotten by it")
	}
	d.look()
	if d.verdict() != 0 {
		t.Error("what a look has seen is counted twice")
	}
}
