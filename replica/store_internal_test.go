package replica

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// Stop must end although the log never says what became of a proposal: its disk
// may hang, or it was shut down after a fatal error.
func TestStop_ProposalWithoutEnd(t *testing.T) {
	log := newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true})
	proposed := make(chan struct{}, 100)
	log.propose = func([]byte) *raftlog.Proposal {
		proposed <- struct{}{}
		return &raftlog.Proposal{}
	}
	s := startStore(t, log, rafttest.NewNetwork().Endpoint("a"))
	answer := make(chan error, 1)
	go func() {
		_, err := s.Mutate(context.Background(), &vfs.Call{}, &vfs.OpRemove{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "x"})
		answer <- err
	}()
	<-proposed
	done := make(chan struct{})
	go func() { s.Stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Stop waits for a proposal that never ends")
	}
	if err := <-answer; !errors.Is(err, vfs.ErrShutdown) && !errors.Is(err, vfs.ErrUnknownOutcome) {
		t.Errorf("the call in flight: %v", err)
	}
	if n := len(proposed); n > 1 {
		t.Errorf("%d more entries were proposed after Stop", n)
	}
}

// The first entry of a term is given up when the term is lost: the next term
// may be this node's again, and then nobody else begins it.
func TestLead_BeginsEachTerm(t *testing.T) {
	log := newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true})
	s := openStore(t, t.TempDir())
	s.cfg.WaitLimit = time.Minute
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.log = log
	var calls atomic.Int32
	go func() { // in place of the propose goroutine: takes the changes and loses them
		for {
			select {
			case <-s.queue:
				calls.Add(1)
				st, _ := log.Watch()
				log.set(raftlog.State{Term: st.Term + 2, Leader: "a", IsLeader: true, Ready: true})
			case <-s.stopped:
				return
			}
		}
	}()
	s.running.Go(s.runLead)
	for end := time.Now().Add(10 * time.Second); calls.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d terms were begun, want 3", calls.Load())
		}
	}
}

// A caller's deadline holds too while the stream to the leader is full.
func TestMutate_DeadlineWhileTheStreamIsFull(t *testing.T) {
	s := openVolume(t)
	s.cfg.WaitLimit = 300 * time.Millisecond
	s.Start(newFakeLog(raftlog.State{Term: 4, Leader: "b"}), stuckNet{Net: rafttest.NewNetwork().Endpoint("a")})
	data := make([]byte, vfs.MaxIO)
	start := time.Now()
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			_, err := s.Mutate(context.Background(), &vfs.Call{}, &vfs.OpWrite{Ref: vfs.Ref{Ino: vfs.RootIno}, Data: data})
			if err == nil {
				t.Error("a change was answered")
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("calls with a limit of %v took up to %v", s.cfg.WaitLimit, d)
	}
}

// stuckNet has peers that never read.
type stuckNet struct{ raftlog.Net }

func (stuckNet) Dial(context.Context, string, raftlog.StreamKind) (net.Conn, error) {
	near, _ := net.Pipe()
	return near, nil
}

// What the other node forwards is bounded by bytes here too: its own bound lets
// go of calls that it gave up.
func TestHandleForward_BytesAreBounded(t *testing.T) {
	log := newFakeLog(raftlog.State{Term: 4, Leader: "a", IsLeader: true, Ready: true})
	s := startStore(t, log, rafttest.NewNetwork().Endpoint("a")) // its proposals never end
	data := make([]byte, vfs.MaxIO)
	var taken, busy int
	for seq := range uint64(160) {
		enc, err := command.Append(nil, &command.Command{
			Header: command.Header{Volume: volumeID, Origin: origin(seq)},
			Op:     &vfs.OpWrite{Ref: vfs.Ref{Ino: vfs.RootIno}, Data: data},
		})
		if err != nil {
			t.Fatal(err)
		}
		refused := false
		s.HandleForward("b", 4, 0, enc, func(st peer.Status, _ []byte) { refused = st == peer.StatusBusy })
		if refused {
			busy++
		} else {
			taken += len(enc)
		}
		if taken > 2*maxQueuedBytes {
			t.Fatalf("%d bytes were taken", taken)
		}
	}
	if busy == 0 {
		t.Error("nothing was refused")
	}
	if n := len(s.waiters.m); n > 160-busy+8 {
		t.Errorf("%d waiters for %d changes that were taken", n, 160-busy)
	}
}

// Before Start nothing is served and nothing breaks.
func TestStore_BeforeStart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	s.Commit([]raftlog.Entry{entryOf(t, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096})})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir) // it has a volume now
	defer s.Close()
	if err := s.Ready(t.Context()); !errors.Is(err, vfs.ErrNotReady) {
		t.Errorf("Ready: %v", err)
	}
	_, err := s.Mutate(t.Context(), &vfs.Call{}, &vfs.OpRemove{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "x"})
	if !errors.Is(err, vfs.ErrNotReady) {
		t.Errorf("Mutate: %v", err)
	}
}

// After a restart the log delivers from the durable index on. What the state
// has already is not applied twice, and the rest is.
func TestStore_RestartReplay(t *testing.T) {
	dir := t.TempDir()
	root := vfs.Ref{Ino: vfs.RootIno}
	log := []raftlog.Entry{entryOf(t, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096, RootMode: 0o777})}
	for i := range 8 {
		op := &vfs.OpMkdir{Dir: root, Name: string(rune('a' + i))}
		log = append(log, entryOf(t, raftlog.Index(i+2), 1, 1, origin(uint64(i+2)), op))
	}
	s := openStore(t, dir)
	s.Commit(log[:5])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	defer s.Close()
	if index, term := s.Durable(); index != 5 || term != 1 {
		t.Fatalf("durable %d of term %d after a close at 5", index, term)
	}
	s.Commit(log[2:]) // three of them are in the state already
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	fresh := openStore(t, t.TempDir())
	defer fresh.Close()
	fresh.Commit(log)
	if err := fresh.Flush(); err != nil {
		t.Fatal(err)
	}
	got, gi, err := s.Digest()
	want, wi, werr := fresh.Digest()
	if err != nil || werr != nil || gi != wi || got != want {
		t.Errorf("a restarted copy at %d and a fresh one at %d differ: %v, %v", gi, wi, err, werr)
	}
}

// Once the state machine is broken nothing hangs: deliveries are let go, Flush
// and reads fail, Close returns.
func TestStore_Broken(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.Commit([]raftlog.Entry{{Index: 1, Term: 1, Data: []byte("no entry at all")}})
	select {
	case err := <-s.Fatal():
		if err == nil {
			t.Error("fatal without an error")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is reported")
	}
	for i := range 2 * maxCommitted {
		s.Commit([]raftlog.Entry{{Index: raftlog.Index(i + 2), Term: 1}})
	}
	if err := s.Flush(); err == nil {
		t.Error("Flush says that all is applied")
	}
	r := s.begin(t.Context(), false)
	defer r.end()
	if r.await(100) || r.err == nil {
		t.Error("a read goes on")
	}
	if err := s.Close(); err == nil {
		t.Error("Close says that all is well")
	}
}
