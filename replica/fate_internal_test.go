package replica

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

// Decision 0001: an entry that Raft appended in a later term than the one it
// names has no effect, and who waits for its changes may hand them over again.
func TestApply_TermFence(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer s.Close()
	var f fates
	s.waiters.add(origin(1), 3, f.of(1))
	s.waiters.add(origin(2), 4, f.of(2))
	format := &command.Format{BlockSize: 4096, RootMode: 0o755}
	s.Commit([]raftlog.Entry{entryOf(t, 1, 4, 3, origin(1), format)})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.state.Volume(); !errors.Is(err, vfs.ErrNotReady) {
		t.Fatalf("the entry formatted the volume: %v", err)
	}
	if got := s.Applied(); got != 1 {
		t.Errorf("applied index %d, want 1", got)
	}
	f.want(t, 1, fateDropped)
	f.want(t, 2)

	s.Commit([]raftlog.Entry{entryOf(t, 2, 4, 4, origin(2), format)})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.state.Volume(); err != nil {
		t.Errorf("an entry of its own term has no effect: %v", err)
	}
	f.want(t, 2, fateApplied)
}

// A change that was handed over again keeps its origin. What becomes of the
// copy that the old term left behind must not be told to who waits under the
// new term, and a waiter hears of one fate only.
func TestApply_OldCopyOfAChangeHandedOverAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer s.Close()
	var f fates
	nop := &command.Nop{}
	s.waiters.add(origin(1), 3, f.of(1))
	s.Commit([]raftlog.Entry{entryOf(t, 1, 4, 4, origin(9), nop)}) // term 4 begins
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	f.want(t, 1, fateDropped)

	var again fates
	s.waiters.add(origin(1), 4, again.of(1))
	s.waiters.end(origin(1), 3, fateDropped)                       // the proposer finds the old copy in its queue
	s.Commit([]raftlog.Entry{entryOf(t, 2, 4, 3, origin(1), nop)}) // or had given it to Raft
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	again.want(t, 1)
	s.Commit([]raftlog.Entry{entryOf(t, 3, 4, 4, origin(1), nop)})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	again.want(t, 1, fateApplied)
	f.want(t, 1, fateDropped)
}

// Entries of raftlog itself and of later terms settle what older terms left.
func TestApply_LaterTermSettles(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer s.Close()
	var f fates
	for seq, term := range map[uint64]uint64{1: 2, 2: 3, 3: 5} {
		s.waiters.add(origin(seq), term, f.of(seq))
	}
	s.Commit([]raftlog.Entry{{Index: 1, Term: 3}})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	f.want(t, 1, fateDropped)
	f.want(t, 2)
	s.Commit([]raftlog.Entry{{Index: 2, Term: 5}})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	f.want(t, 2, fateDropped)
	f.want(t, 3)
	if s.waiters.add(origin(4), 4, f.of(4)) {
		t.Error("a wait under a term that is over begins, and nothing would end it")
	}
}

// The node's view of leadership may lag behind what it has applied. A call that
// is handed over under the old leader then must not wait for an event that is
// past.
func TestMutate_LeaderOfATermThatIsOver(t *testing.T) {
	net := rafttest.NewNetwork()
	silent := net.Endpoint("b") // accepts and never answers
	defer silent.Listener(raftlog.StreamPeer).Close()
	log := newFakeLog(raftlog.State{Term: 4, Leader: "b"})
	s := startStore(t, log, net.Endpoint("a"))
	s.Commit([]raftlog.Entry{{Index: 2, Term: 5}})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Mutate(t.Context(), &vfs.Call{}, &vfs.OpRemove{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "x"})
	if !errors.Is(err, vfs.ErrNoQuorum) {
		t.Errorf("got %v; the change was never handed over", err)
	}
}

// A leader that cannot be reached was never handed anything. One that was and
// is silent leaves the outcome unknown.
func TestMutate_LeaderGone(t *testing.T) {
	for name, want := range map[string]error{"unreachable": vfs.ErrNoQuorum, "silent": vfs.ErrUnknownOutcome} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := rafttest.NewNetwork()
			b := net.Endpoint("b")
			defer b.Listener(raftlog.StreamPeer).Close()
			if want == vfs.ErrNoQuorum {
				net.Cut("a", "b")
			}
			s := startStore(t, newFakeLog(raftlog.State{Term: 4, Leader: "b"}), net.Endpoint("a"))
			_, err := s.Mutate(t.Context(), &vfs.Call{}, &vfs.OpRemove{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "x"})
			if !errors.Is(err, want) || vfs.NeverProposed(err) != (want == vfs.ErrNoQuorum) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

// A change that was dropped is encoded anew: a verdict of no space was the old
// leader's, and its bytes may still be in use.
func TestMutate_NoSpaceIsOfOneAttempt(t *testing.T) {
	log := newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true})
	alone := aloneNode(t)
	flags := make(chan command.Flags, 100)
	s := openVolume(t)
	var free atomic.Uint64
	s.disk.free = func() (uint64, error) { return free.Load(), nil }
	s.disk.look()
	log.propose = func(data []byte) *raftlog.Proposal {
		_, cmds, err := decodeEntry(data)
		if err != nil {
			t.Error(err)
		}
		for _, c := range cmds {
			if c.Type == command.TypeRemove {
				flags <- c.Flags
				free.Store(1 << 40)
				s.disk.look()
			}
		}
		return alone.Propose(data) // ErrNotLeader
	}
	s.Start(log, rafttest.NewNetwork().Endpoint("a"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = s.Mutate(ctx, &vfs.Call{}, &vfs.OpRemove{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "x"}) }()
	first, second := <-flags, <-flags
	if first&command.FlagNoSpace == 0 {
		t.Fatal("the first attempt is not marked: this test shows nothing")
	}
	if second&command.FlagNoSpace != 0 {
		t.Error("the second attempt still bears the first one's verdict")
	}
}

// aloneNode is a member that never finds the others, and so never leads.
func aloneNode(t *testing.T) *raftlog.Node {
	t.Helper()
	c := rafttest.NewCluster(t, rafttest.Trio)
	c.Start("a")
	t.Cleanup(c.Close)
	return c.Nodes["a"]
}
