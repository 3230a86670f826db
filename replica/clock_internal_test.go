package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// fakeClock is what a logClock reads.
type fakeClock struct {
	course time.Duration
	wall   vfs.Time
	alone  bool // no other clock agrees
}

// pass lets time go on, and the wall clock with it.
func (f *fakeClock) pass(d time.Duration) {
	f.course += d
	f.wall += vfs.Time(d)
}

func (f *fakeClock) clock(log *bytes.Buffer) logClock {
	return logClock{
		read:   func() (time.Duration, vfs.Time) { return f.course, f.wall },
		agree:  func() bool { return !f.alone },
		logger: slog.New(slog.NewTextHandler(log, nil)),
	}
}

const someDay vfs.Time = 1_700_000_000_000_000_000

// A wall clock that is set in the middle of a term moves log time by the slew
// alone, in either direction, until log time has come to it.
func TestLogClock_Slews(t *testing.T) {
	for name, c := range map[string]struct {
		step time.Duration
		want time.Duration // log time that goes by in 80 s
		need time.Duration // until log time is the wall clock's
	}{
		"not set":            {0, 80 * time.Second, 0},
		"an hour ahead":      {time.Hour, 90 * time.Second, 8 * time.Hour},
		"an hour back":       {-time.Hour, 40 * time.Second, 2 * time.Hour},
		"a little ahead":     {5 * time.Second, 85 * time.Second, 40 * time.Second},
		"a little behind":    {-5 * time.Second, 75 * time.Second, 10 * time.Second},
		"ten years and more": {100_000 * time.Hour, 90 * time.Second, 800_000 * time.Hour},
	} {
		var log bytes.Buffer
		f := fakeClock{course: time.Hour, wall: someDay}
		clock := f.clock(&log)
		if got := clock.now(3, 5); got != someDay {
			t.Fatalf("%s: a term begins at %d, want the wall clock's %d", name, got, someDay)
		}
		f.wall += vfs.Time(c.step)
		var at vfs.Time
		for range 8000 {
			f.pass(10 * time.Millisecond)
			next := clock.now(3, 0)
			if next < at {
				t.Fatalf("%s: log time goes back", name)
			}
			at = next
		}
		if got := time.Duration(at - someDay); got != c.want {
			t.Errorf("%s: log time goes on by %v in 80 s, want %v", name, got, c.want)
		}
		if warned := strings.Contains(log.String(), "log time"); warned != (c.step.Abs() > time.Second) {
			t.Errorf("%s: warned %t: %s", name, warned, log.String())
		}
		if n := strings.Count(log.String(), "\n"); n > 2 {
			t.Errorf("%s: %d warnings in 80 s", name, n)
		}
		f.pass(max(c.need-80*time.Second, 0))
		if got := clock.now(3, 0); got != f.wall {
			t.Errorf("%s: after %v log time is %v off", name, c.need, time.Duration(got-f.wall))
		}
	}
}

// A leader's clock that is set ahead and that no other one agrees with carries log
// time no more than a second beyond its course, whatever it was set to, and not a
// bit further once it was allowed more. Back it is followed: that is safe.
func TestLogClock_OneClockAlone(t *testing.T) {
	f := fakeClock{course: time.Hour, wall: someDay, alone: true}
	clock := f.clock(&bytes.Buffer{})
	clock.now(3, 0)
	f.wall += vfs.Time(time.Hour)
	gone := func(d time.Duration) time.Duration {
		begin := clock.now(3, 0)
		for range d / (10 * time.Millisecond) {
			f.pass(10 * time.Millisecond)
			clock.now(3, 0)
		}
		return time.Duration(clock.now(3, 0) - begin)
	}
	if got := gone(80 * time.Second); got != 81*time.Second {
		t.Errorf("alone: log time goes on by %v in 80 s", got)
	}
	f.alone = false
	if got := gone(80 * time.Second); got != 90*time.Second {
		t.Errorf("both agree: log time goes on by %v in 80 s", got)
	}
	f.alone = true
	if got := gone(80 * time.Second); got != 80*time.Second {
		t.Errorf("alone again: log time goes on by %v in 80 s", got)
	}
	f.wall -= vfs.Time(2 * time.Hour)
	if got := gone(80 * time.Second); got != 40*time.Second {
		t.Errorf("set back: log time goes on by %v in 80 s", got)
	}
}

// A term begins at the leader's clock, but log time never goes back, and goes on
// at no less than half its pace if that clock is behind.
func TestLogClock_TermBegins(t *testing.T) {
	var log bytes.Buffer
	f := fakeClock{wall: someDay}
	clock := f.clock(&log)
	ahead := someDay + vfs.Time(time.Hour)
	if got := clock.now(4, ahead); got != ahead {
		t.Errorf("log time %d, want that of the latest command, %d", got, ahead)
	}
	f.pass(time.Second)
	if got := clock.now(4, ahead+1); got != ahead+vfs.Time(time.Second/2) {
		t.Errorf("log time went on by %v in a second", time.Duration(got-ahead))
	}
	f.wall += vfs.Time(1000 * time.Hour) // while another led
	if got := clock.now(6, ahead); got != f.wall {
		t.Errorf("log time %d at the begin of a later term, want the wall clock's %d", got, f.wall)
	}
}

// What a leader proposes bears the times of its clock.
func TestPropose_TimeIsTheLogClocks(t *testing.T) {
	times := make(chan vfs.Time, 1)
	log := newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true})
	log.propose = func(data []byte) *raftlog.Proposal {
		_, cmds, err := decodeEntry(data)
		if err != nil {
			t.Error(err)
		}
		times <- cmds[0].Time
		return &raftlog.Proposal{}
	}
	s := openVolume(t)
	f := fakeClock{wall: 17}
	s.clock = f.clock(&bytes.Buffer{})
	s.Start(log, rafttest.NewNetwork().Endpoint("a"))
	if got := <-times; got != 17 {
		t.Errorf("the first entry of a term is of %d", got)
	}
}

// A forwarded call that the other node took when the log was much younger is
// refused: its answer may be forgotten. What makes the log older is time that a
// leader saw go by, not a clock that differs from another leader's.
func TestHandleForward_TakenLongAgo(t *testing.T) {
	s := startStore(t, newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true}), rafttest.NewNetwork().Endpoint("a"))
	index := raftlog.Index(1)
	pass := func(term raftlog.Term, at time.Duration) {
		t.Helper()
		index++
		e := entryOf(t, index, term, uint64(term), origin(uint64(index)), &command.Nop{})
		_, cmds, err := decodeEntry(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		enc, err := command.Append(nil, &cmds[0])
		if err != nil {
			t.Fatal(err)
		}
		command.Seal(enc, someDay+vfs.Time(at), 1)
		e.Data = appendEntry(nil, uint64(term), touchedKeys{all: true}, [][]byte{enc})
		s.Commit([]raftlog.Entry{e})
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	pass(3, 0)
	taken := uint64(s.state.Age())
	refused := func(seq uint64) (refused bool) {
		enc, err := command.Append(nil, &command.Command{Header: command.Header{Volume: volumeID, Origin: origin(seq)}, Op: &command.Nop{}})
		if err != nil {
			t.Fatal(err)
		}
		s.HandleForward("b", 4, taken, enc, func(st peer.Status, _ []byte) { refused = st == peer.StatusRefused })
		return refused
	}
	pass(3, duplicate.MinLife/2)
	pass(4, 1000*time.Hour) // another leader, with another clock
	if refused(100) {
		t.Error("a call that was taken a minute ago is refused")
	}
	pass(4, 1000*time.Hour+duplicate.MinLife/8)
	if !refused(101) {
		t.Error("a call that was taken long ago is executed")
	}
}
