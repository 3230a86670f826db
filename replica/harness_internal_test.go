package replica

import (
	"context"
	"sync"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

// fakeLog is a Log whose state the test sets.
type fakeLog struct {
	propose func(data []byte) *raftlog.Proposal

	mu      sync.Mutex
	state   raftlog.State
	changed chan struct{}
	lease   bool
	onLease func() // runs inside of Lease

	entries   map[raftlog.Index]raftlog.Entry
	readIndex func(context.Context) (raftlog.Index, error)
	nudge     func(peer string)
}

func newFakeLog(st raftlog.State) *fakeLog {
	return &fakeLog{state: st, changed: make(chan struct{})}
}

func (l *fakeLog) set(st raftlog.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = st
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLog) Watch() (raftlog.State, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.changed
}

func (l *fakeLog) Term() raftlog.Term {
	st, _ := l.Watch()
	return st.Term
}

func (l *fakeLog) Propose(data []byte) *raftlog.Proposal {
	if l.propose == nil {
		return &raftlog.Proposal{} // never done
	}
	return l.propose(data)
}

func (l *fakeLog) ReadIndex(ctx context.Context) (raftlog.Index, error) {
	l.mu.Lock()
	read := l.readIndex
	l.mu.Unlock()
	if read == nil {
		return 0, raftlog.ErrClosed
	}
	return read(ctx)
}

// Lease grants what the test says.
func (l *fakeLog) Lease() (raftlog.Term, bool) {
	if l.onLease != nil {
		l.onLease()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Term, l.lease
}

func (l *fakeLog) grant(lease bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease = lease
}

func (l *fakeLog) BeginRead() uint32 { return 0 }

func (l *fakeLog) EndRead(uint32) {}

func (l *fakeLog) GiveUpLease() func() { return func() {} }

func (l *fakeLog) TransferLeadership(context.Context, string) error { return raftlog.ErrNotLeader }

func (l *fakeLog) Entries(from, to raftlog.Index, f func(raftlog.Entry) error) error {
	l.mu.Lock()
	entries := l.entries
	l.mu.Unlock()
	for i := from; i <= to; i++ {
		e, ok := entries[i]
		if !ok {
			return raftlog.ErrNoEntry
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// hold has the log hold entries.
func (l *fakeLog) hold(entries ...raftlog.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil {
		l.entries = map[raftlog.Index]raftlog.Entry{}
	}
	for _, e := range entries {
		l.entries[e.Index] = e
	}
}

func (l *fakeLog) Nudge(peer string) {
	if l.nudge != nil {
		l.nudge(peer)
	}
}

// openStore opens a Store that is not started. Closing it stops it too.
func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, ReserveBytes: 1, WaitLimit: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startStore opens and starts a Store with a volume over a fake log.
func startStore(t *testing.T, log *fakeLog, net raftlog.Net) *Store {
	t.Helper()
	s := openVolume(t)
	s.Start(log, net)
	return s
}

// openVolume opens a Store with a volume, to be started by the test.
func openVolume(t *testing.T) *Store {
	t.Helper()
	s := openStore(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Commit([]raftlog.Entry{entryOf(t, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096, RootMode: 0o755})})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func origin(seq uint64) command.Origin { return command.Origin{Instance: 99, Seq: seq} }

// entryOf is a log entry of one command that was handed over under term.
func entryOf(t testing.TB, index raftlog.Index, raftTerm raftlog.Term, term uint64, o command.Origin, op any) raftlog.Entry {
	t.Helper()
	enc, err := command.Append(nil, &command.Command{
		Header: command.Header{Volume: volumeID, Origin: o, Cred: vfs.Root}, Op: op,
	})
	if err != nil {
		t.Fatal(err)
	}
	command.Seal(enc, 1, 1)
	return raftlog.Entry{Index: index, Term: raftTerm, Data: appendEntry(nil, term, touchedKeys{all: true}, [][]byte{enc})}
}

// fates gathers the outcomes of waiters by the sequence of their origin.
type fates struct {
	mu sync.Mutex
	m  map[uint64][]fate
}

func (f *fates) of(seq uint64) func(outcome) {
	return func(o outcome) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.m == nil {
			f.m = map[uint64][]fate{}
		}
		f.m[seq] = append(f.m[seq], o.fate)
	}
}

func (f *fates) want(t *testing.T, seq uint64, want ...fate) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.m[seq]) != len(want) || len(want) == 1 && f.m[seq][0] != want[0] {
		t.Errorf("change %d: fates %v, want %v", seq, f.m[seq], want)
	}
}
