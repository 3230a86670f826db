package replica

import (
	"errors"
	"net"
	"testing"

	"twofold/raftlog"
	"twofold/replica/catchup"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// A node gives its copy away only once nothing says that it may be the wrong one.
func TestSuspected(t *testing.T) {
	type steps = map[string]command.IntegrityStep
	for _, c := range []struct {
		name           string
		dispute        bool
		scans, replays steps
		want           bool
	}{
		{name: "no dispute"},
		{name: "not scanned", dispute: true, want: true},
		{name: "the other one is scanned", dispute: true, scans: steps{"b": command.ScanDamaged}, want: true},
		{name: "scanned", dispute: true, scans: steps{"a": command.ScanSound}},
		{name: "the other one is damaged", dispute: true, scans: steps{"a": command.ScanSound, "b": command.ScanDamaged}},
		{name: "both are sound", dispute: true, scans: steps{"a": command.ScanSound, "b": command.ScanSound}, want: true},
		{name: "the other one is replayed", dispute: true, scans: steps{"a": command.ScanSound, "b": command.ScanSound}, replays: steps{"b": command.ReplayDamaged}, want: true},
		{name: "replayed", dispute: true, scans: steps{"a": command.ScanSound, "b": command.ScanSound}, replays: steps{"a": command.ReplaySound, "b": command.ReplayDamaged}},
		{name: "damaged", dispute: true, scans: steps{"a": command.ScanDamaged}, want: true},
	} {
		in := newIntegrity()
		if c.dispute {
			in.mu.dispute = &dispute{scans: c.scans, replays: c.replays}
		}
		if got := in.suspected("a"); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// history is the log of a small volume.
func history(t *testing.T, n int) (entries []raftlog.Entry) {
	t.Helper()
	for i := range n {
		var op any = &vfs.OpCreate{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: string(rune('a' + i)), Mode: vfs.CreateGuarded}
		if i == 0 {
			op = &command.Format{BlockSize: 4096, RootMode: 0o755}
		}
		entries = append(entries, entryOf(t, raftlog.Index(i+1), 1, 1, origin(uint64(i+1)), op))
	}
	return entries
}

// holding opens a Store that has applied entries, over a log that has them too.
func holding(t *testing.T, entries []raftlog.Entry) (*Store, *fakeLog) {
	t.Helper()
	s := openStore(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	log := newFakeLog(raftlog.State{Term: 1, Leader: "a"})
	s.log = log
	log.hold(entries...)
	for _, e := range entries {
		s.Commit([]raftlog.Entry{e})
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	return s, log
}

// stageFrom has a node stage another one's state.
func (s *Store) stageFrom(t *testing.T, from *Store) {
	t.Helper()
	v, err := from.state.Pin()
	if err != nil {
		t.Fatal(err)
	}
	give, take := net.Pipe()
	gave := make(chan error, 1)
	go func() {
		src := catchup.Source{View: v}
		gave <- errors.Join(src.Run(t.Context(), give, 1), v.Close())
	}()
	if err := errors.Join(s.catchUp.sink.Serve(t.Context(), take), <-gave); err != nil {
		t.Log(err)
	}
}

// quarantinedPair is a node whose copy of entry 3 is damaged, with another one of
// entry 5 staged.
func quarantinedPair(t *testing.T) (b *Store, log *fakeLog, a *Store, entries []raftlog.Entry) {
	t.Helper()
	entries = history(t, 8)
	a, _ = holding(t, entries[:5])
	b, log = holding(t, entries[:3])
	b.setQuarantine(state.CauseScan, errors.New("test"))
	b.stageFrom(t, a)
	if index, _ := b.catchUp.staged(); index != 5 {
		t.Fatalf("staged is %d", index)
	}
	return b, log, a, entries
}

// The state that was brought is used once the log has its entry, and the log is
// applied from there, each entry once; who waited for a change that the state has
// is told that its outcome is not known.
func TestTakeOver(t *testing.T) {
	b, log, _, entries := quarantinedPair(t)
	b.refetch()
	if _, on := b.Quarantined(); !on || b.Applied() != 3 {
		t.Fatal("the state was used before the log had its entry")
	}
	var f fates
	b.waiters.add(origin(4), 1, f.of(4))
	log.hold(entries...)
	b.refetch()
	<-b.quarantine.over()
	f.want(t, 4, fateUnknown)
	b.Commit(entries[3:4]) // which the state has
	if err := b.Flush(); err != nil || b.Applied() != 5 {
		t.Fatalf("applied %d, %v", b.Applied(), err)
	}
	b.Commit(entries[4:7]) // of which the state has the first
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	whole, _ := holding(t, entries[:7])
	want, _, err := whole.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, index, err := b.Digest(); err != nil || index != 7 || got != want {
		t.Errorf("digest %v of entry %d, %v; want %v", got, index, err, want)
	}
}

// What was delivered before the state was replaced is applied from the log.
func TestTakeOver_Replays(t *testing.T) {
	b, log, _, entries := quarantinedPair(t)
	log.hold(entries...)
	b.Commit(entries[3:8])
	if err := b.Flush(); err != nil { // the apply goroutine has seen them
		t.Fatal(err)
	}
	// A copy of the damaged state must not count as agreed on because the new one is.
	next := b.cfg.Dir + nextSuffix
	if err := b.state.Checkpoint(next); err != nil {
		t.Fatal(err)
	}
	b.checkpoints.bound = 3
	b.refetch()
	<-b.quarantine.over()
	if there, err := state.Exists(next, b.cfg.State); there || err != nil || b.checkpoints.bound != 0 {
		t.Errorf("a copy of the damaged state is kept: %v", err)
	}
	whole, _ := holding(t, entries)
	want, _, err := whole.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, index, err := b.Digest(); err != nil || index != 8 || got != want {
		t.Errorf("digest %v of entry %d, %v; want %v", got, index, err, want)
	}
}

// A state of another term's entry does not join the log, and is dropped.
func TestTakeOver_OtherTerm(t *testing.T) {
	b, log, _, entries := quarantinedPair(t)
	other := entries[4]
	other.Term = 2
	log.hold(entries...)
	log.hold(other)
	b.refetch()
	if _, on := b.Quarantined(); !on || b.Applied() != 3 {
		t.Error("the state was used")
	}
	if index, _ := b.catchUp.staged(); index != 0 {
		t.Errorf("staged is %d", index)
	}
}

// While it leads a node does not replace its copy.
func TestTakeOver_Leader(t *testing.T) {
	b, log, _, entries := quarantinedPair(t)
	log.hold(entries...)
	log.set(raftlog.State{Term: 1, Leader: "b", IsLeader: true})
	b.refetch()
	if _, on := b.Quarantined(); !on || b.Applied() != 3 {
		t.Error("the state was used")
	}
}

// What was staged before the damage was found may have it: it is not used, also
// after a restart.
func TestQuarantine_ForgetsWhatIsStaged(t *testing.T) {
	entries := history(t, 5)
	a, _ := holding(t, entries)
	b, _ := holding(t, entries[:3])
	b.stageFrom(t, a)
	if index, _ := b.catchUp.staged(); index != 5 {
		t.Fatalf("staged is %d", index)
	}
	b.setQuarantine(state.CauseScan, errors.New("test"))
	if index, _ := b.catchUp.staged(); index != 0 {
		t.Errorf("staged is %d", index)
	}
	dir := b.cfg.Dir
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, dir)
	if index, _ := again.catchUp.staged(); index != 0 {
		t.Errorf("staged is %d after a restart", index)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// Nor is what was being staged when the damage was found.
func TestQuarantine_WhileStaging(t *testing.T) {
	entries := history(t, 5)
	a, _ := holding(t, entries)
	b, _ := holding(t, entries[:3])
	b.catchUp.sink.Failpoint = func(step string) {
		if step == catchup.StepFinish {
			b.setQuarantine(state.CauseScan, errors.New("test"))
		}
	}
	b.stageFrom(t, a)
	if index, _ := b.catchUp.staged(); index != 0 || !b.quarantined() {
		t.Errorf("staged is %d", index)
	}
}

// A copy that nothing proves wrong is not replaced, whatever is staged.
func TestTakeOver_Undecided(t *testing.T) {
	entries := history(t, 5)
	a, _ := holding(t, entries)
	b, log := holding(t, entries[:3])
	log.hold(entries...)
	b.setQuarantine(state.CauseUndecided, errors.New("test"))
	b.stageFrom(t, a)
	b.refetch()
	if _, on := b.Quarantined(); !on || b.Applied() != 3 {
		t.Error("the state was used")
	}
}
