package logstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"twofold/raftlog/logstore"
	"twofold/raftlog/logstore/logstoretest/mounted"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir, logstore.Kind(os.Getenv(crashKindEnv)))
		return
	}
	if os.Getenv(mountedEnv) != "" {
		if err := mounted.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// eachKind runs a test on both kinds of log.
func eachKind(t *testing.T, f func(t *testing.T, o logstore.Options)) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			f(t, logstore.Options{Dir: t.TempDir(), Kind: kind, SegmentBytes: 64 << 10})
		})
	}
}

func mustOpen(t *testing.T, o logstore.Options) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t *testing.T, s *logstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// entries makes logs [first, last] of a term; their data tell both.
func entries(first, last, term uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		data := bytes.Repeat([]byte(fmt.Sprintf("%d/%d,", term, i)), 40)
		logs = append(logs, &raft.Log{Index: i, Term: term, Data: data})
	}
	return logs
}

func mustStore(t *testing.T, s *logstore.Store, logs []*raft.Log) {
	t.Helper()
	for len(logs) > 0 {
		n := min(7, len(logs))
		if err := s.StoreLogs(logs[:n]); err != nil {
			t.Fatal(err)
		}
		logs = logs[n:]
	}
}

func mustHave(t *testing.T, s *logstore.Store, want []*raft.Log) {
	t.Helper()
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if first != want[0].Index || last != want[len(want)-1].Index {
		t.Fatalf("log is [%d, %d], want [%d, %d]", first, last, want[0].Index, want[len(want)-1].Index)
	}
	var sum uint64
	for _, w := range want {
		var l raft.Log
		if err := s.GetLog(w.Index, &l); err != nil {
			t.Fatalf("entry %d: %v", w.Index, err)
		}
		if l.Term != w.Term || !bytes.Equal(l.Data, w.Data) {
			t.Fatalf("entry %d is of term %d with %d bytes, want term %d with %d", w.Index, l.Term, len(l.Data), w.Term, len(w.Data))
		}
		if term, ok := s.Term(w.Index); !ok || term != w.Term {
			t.Fatalf("Term(%d) = %d, %v", w.Index, term, ok)
		}
		sum += uint64(len(w.Data))
	}
	if s.Bytes() != sum {
		t.Fatalf("Bytes() = %d, want %d", s.Bytes(), sum)
	}
	var l raft.Log
	if err := s.GetLog(last+1, &l); err != raft.ErrLogNotFound {
		t.Fatalf("entry %d after the end: %v", last+1, err)
	}
}

// A follower drops the end of its log and writes another one, and a restart
// at any moment in between finds what was last written.
func TestStore_OverwriteSuffixAndReopen(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		s := mustOpen(t, o)
		want := entries(1, 300, 1)
		mustStore(t, s, want)
		mustHave(t, s, want)
		for term, cut := range []uint64{290, 150, 149, 3} {
			if err := s.DeleteRange(cut, want[len(want)-1].Index); err != nil {
				t.Fatal(err)
			}
			want = want[:cut-1]
			mustClose(t, s)
			s = mustOpen(t, o)
			mustHave(t, s, want)
			more := entries(cut, cut+60, uint64(term)+2)
			mustStore(t, s, more)
			want = append(want, more...)
			mustHave(t, s, want)
			mustClose(t, s)
			s = mustOpen(t, o)
			mustHave(t, s, want)
		}
		mustClose(t, s)
	})
}

// Compaction stops at the clamp and at KeepBytes, whatever was asked for.
func TestStore_CompactionIsClamped(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		clamp := uint64(0)
		o.Clamp = func() (free, may uint64) { return clamp, clamp }
		want := entries(1, 200, 1)
		o.KeepBytes = uint64(50 * len(want[199].Data))
		s := mustOpen(t, o)
		mustStore(t, s, want)
		for _, step := range []struct{ clamp, ask, first uint64 }{
			{0, 199, 1}, {20, 199, 21}, {20, 10, 21}, {100, 40, 41}, {500, 199, 151},
		} {
			clamp = step.clamp
			if err := s.DeleteRange(1, step.ask); err != nil {
				t.Fatal(err)
			}
			mustHave(t, s, want[step.first-1:])
		}
		mustClose(t, s)
		s = mustOpen(t, o)
		mustHave(t, s, want[150:])
		mustStore(t, s, entries(201, 210, 2))
		mustClose(t, s)
	})
}

// What somebody still needs goes when the log exceeds MaxBytes, but never what
// this node itself needs.
func TestStore_MaxBytesLetsGo(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		var free, may uint64
		o.Clamp = func() (uint64, uint64) { return free, may }
		want := entries(1, 200, 1)
		size := uint64(len(want[199].Data))
		o.KeepBytes, o.MaxBytes = 50*size, 100*size
		s := mustOpen(t, o)
		mustStore(t, s, want)
		for _, step := range []struct{ free, may, first uint64 }{
			{0, 0, 1}, {20, 30, 31}, {20, 60, 61}, {20, 180, 101}, {20, 200, 101}, {180, 180, 151},
		} {
			free, may = step.free, step.may
			if err := s.Compact(); err != nil {
				t.Fatal(err)
			}
			mustHave(t, s, want[step.first-1:])
		}
		mustClose(t, s)
	})
}

// While the disk is short of space TightMaxBytes counts, which may be what frees it.
func TestStore_TightLetsGo(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		tight := false
		o.Tight = func() bool { return tight }
		o.Clamp = func() (free, may uint64) { return 20, 190 }
		want := entries(1, 200, 1)
		size := uint64(len(want[199].Data))
		o.KeepBytes, o.MaxBytes, o.TightMaxBytes = 160*size, 400*size, 25*size
		s := mustOpen(t, o)
		mustStore(t, s, want)
		for _, step := range []struct {
			tight bool
			first uint64
		}{{false, 21}, {true, 176}, {false, 176}} {
			tight = step.tight
			if err := s.Compact(); err != nil {
				t.Fatal(err)
			}
			mustHave(t, s, want[step.first-1:])
		}
		mustClose(t, s)
	})
}

// An installed state replaces a log that ends before it; never one that goes
// further.
func TestStore_Reset(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		var failures []error
		o.OnFailure = func(err error) { failures = append(failures, err) }
		s := mustOpen(t, o)
		mustStore(t, s, entries(1, 50, 1))
		if err := s.Reset(1000); err != nil {
			t.Fatal(err)
		}
		if last, _ := s.LastIndex(); last != 0 || s.Bytes() != 0 {
			t.Fatalf("after Reset: last %d, %d bytes", last, s.Bytes())
		}
		mustClose(t, s)
		s = mustOpen(t, o)
		if last, _ := s.LastIndex(); last != 0 {
			t.Fatalf("after Reset and a restart: last %d", last)
		}
		want := entries(1001, 1100, 3)
		mustStore(t, s, want)
		mustHave(t, s, want)
		mustClose(t, s)
		s = mustOpen(t, o)
		mustHave(t, s, want)
		if err := s.Reset(1100); !errors.Is(err, logstore.ErrIntegrity) || len(failures) != 1 {
			t.Fatalf("a log that reaches the state was dropped: %v, %v", err, failures)
		}
		mustClose(t, s)
	})
}

// Entries that no state machine sees are mapped down to the last that one
// sees, also after a restart and after the entries were replaced.
func TestStore_Visible(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		logs := entries(1, 10, 1)
		for i, typ := range map[int]raft.LogType{1: raft.LogConfiguration, 3: raft.LogNoop, 4: raft.LogBarrier, 10: raft.LogNoop} {
			logs[i-1].Type = typ
		}
		s := mustOpen(t, o)
		mustStore(t, s, logs)
		check := func(want map[uint64]uint64) {
			t.Helper()
			for i, v := range want {
				if got := s.Visible(i); got != v {
					t.Errorf("Visible(%d) = %d, want %d", i, got, v)
				}
			}
		}
		check(map[uint64]uint64{1: 1, 2: 2, 3: 2, 4: 2, 5: 5, 9: 9, 10: 9})
		mustClose(t, s)
		s = mustOpen(t, o)
		check(map[uint64]uint64{3: 2, 4: 2, 5: 5, 10: 9})
		if err := s.DeleteRange(4, 10); err != nil {
			t.Fatal(err)
		}
		mustStore(t, s, entries(4, 6, 2))
		check(map[uint64]uint64{3: 2, 4: 4, 6: 6})
		mustClose(t, s)
	})
}

// A suffix that holds a committed entry is never deleted, and the store is
// done for.
func TestStore_CommittedSuffixStays(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		var failures []error
		o.Committed = func() uint64 { return 5 }
		o.OnFailure = func(err error) { failures = append(failures, err) }
		s := mustOpen(t, o)
		mustStore(t, s, entries(1, 10, 1))
		if err := s.DeleteRange(5, 10); !errors.Is(err, logstore.ErrIntegrity) {
			t.Fatalf("deleting a committed entry: %v", err)
		}
		if err := s.StoreLogs(entries(11, 11, 1)); !errors.Is(err, logstore.ErrFailed) {
			t.Fatalf("append after a failure: %v", err)
		}
		if len(failures) != 1 {
			t.Fatalf("reported %d times: %v", len(failures), failures)
		}
		mustHave(t, s, entries(1, 10, 1))
		mustClose(t, s)
	})
}

func TestStore_GapRefused(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		s := mustOpen(t, o)
		mustStore(t, s, entries(1, 3, 1))
		if err := s.StoreLogs(entries(5, 5, 1)); !errors.Is(err, logstore.ErrIntegrity) {
			t.Fatalf("append with a gap: %v", err)
		}
		mustClose(t, s)
	})
}

func TestStore_OtherKindRefused(t *testing.T) {
	o := logstore.Options{Dir: t.TempDir(), Kind: logstore.Bolt}
	mustClose(t, mustOpen(t, o))
	o.Kind = logstore.WAL
	if s, err := logstore.Open(o); err == nil {
		mustClose(t, s)
		t.Fatal("a WAL was begun beside a bolt log")
	}
}

// Entries larger than a segment, and larger than the cache, are kept.
func TestStore_LargeEntries(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		var appended int
		o.OnAppend = func(n int, _ time.Duration) { appended += n }
		s := mustOpen(t, o)
		var want []*raft.Log
		for i := uint64(1); i <= 12; i++ {
			l := &raft.Log{Index: i, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, 1<<20)}
			mustStore(t, s, []*raft.Log{l})
			want = append(want, l)
		}
		if appended != 12<<20 {
			t.Errorf("told of %d bytes", appended)
		}
		mustHave(t, s, want)
		mustClose(t, s)
		s = mustOpen(t, o)
		mustHave(t, s, want)
		mustClose(t, s)
	})
}

// The directory of a running process is refused to a second one.
func TestVote_SecondProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n")
	v, err := logstore.OpenVote(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := logstore.OpenVote(dir, nil); err == nil {
		t.Fatal("opened twice")
	}
}
