package logstore_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"twofold/raftlog/logstore"
)

const (
	crashDirEnv  = "TWOFOLD_LOGSTORE_CRASH_DIR"
	crashKindEnv = "TWOFOLD_LOGSTORE_CRASH_KIND"
)

// crashChild appends entries until it is killed, prints each index after it
// was stored, and now and then replaces the last few.
func crashChild(dir string, kind logstore.Kind) {
	s, err := logstore.Open(logstore.Options{Dir: dir, Kind: kind, SegmentBytes: 64 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	last, _ := s.LastIndex()
	term, _ := s.Term(last)
	for n := 1; ; n++ {
		if n%50 == 0 && last > 10 {
			fmt.Println("cut", last-3)
			if err := s.DeleteRange(last-2, last); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
			last -= 3
		}
		logs := entries(last+1, last+1+uint64(n%5), term+1)
		err := error(nil)
		if n%2 == 0 { // as a leader does, with two on their way
			err = errors.Join(s.Begin(logs[:1]), s.Begin(logs[1:]), s.AwaitDurable(logs[len(logs)-1].Index))
		} else {
			err = s.StoreLogs(logs)
		}
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		last = logs[len(logs)-1].Index
		fmt.Println("stored", last)
	}
}

// A process that is killed again and again at any moment loses nothing that
// StoreLogs returned for, and its log always opens.
func TestStore_KillNine(t *testing.T) {
	eachKind(t, func(t *testing.T, o logstore.Options) {
		for round := 0; round < 6; round++ {
			stored := runAndKill(t, o, time.Duration(20+17*round)*time.Millisecond)
			s := mustOpen(t, o)
			last, _ := s.LastIndex()
			if last < stored {
				t.Fatalf("round %d: stored up to %d, found %d", round, stored, last)
			}
			for i := uint64(1); i <= last; i++ {
				var l raft.Log
				if err := s.GetLog(i, &l); err != nil {
					t.Fatal(err)
				}
				if want := entries(i, i, l.Term)[0]; string(want.Data) != string(l.Data) {
					t.Fatalf("entry %d is damaged", i)
				}
			}
			mustClose(t, s)
		}
	})
}

func runAndKill(t *testing.T, o logstore.Options, after time.Duration) (stored uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirEnv+"="+o.Dir, crashKindEnv+"="+string(o.Kind))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	for in := bufio.NewScanner(out); in.Scan(); {
		var index uint64
		if n, _ := fmt.Sscanf(in.Text(), "stored %d", &index); n == 1 {
			stored = index
		} else if n, _ := fmt.Sscanf(in.Text(), "cut %d", &index); n == 1 {
			stored = index
		} else {
			t.Errorf("child: %s", in.Text())
		}
		if timer == nil { // the child is up
			timer = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait() // it was killed; the exit status says only that
	return stored
}

// tailSegment returns the description of the last segment of a closed WAL.
func tailSegment(t *testing.T, dir string) types.SegmentInfo {
	t.Helper()
	db := &metadb.BoltMetaDB{}
	state, err := db.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return state.Segments[len(state.Segments)-1]
}

// sealOnly seals the last segment without telling the metadata, as an append
// does that is the last before a crash.
func sealOnly(t *testing.T, dir string) (tail types.SegmentInfo, indexStart uint64) {
	t.Helper()
	tail = tailSegment(t, dir)
	w, err := segment.NewFiler(dir, fs.New()).RecoverTail(tail)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if indexStart, err = w.ForceSeal(); err != nil {
		t.Fatal(err)
	}
	return tail, indexStart
}

// A crash after the append that filled a segment, before the next one was
// begun: the log takes appends again.
func TestStore_SealedAndNotRotated(t *testing.T) {
	o := logstore.Options{Dir: t.TempDir(), SegmentBytes: 64 << 10}
	s := mustOpen(t, o)
	mustStore(t, s, entries(1, 20, 1))
	mustClose(t, s)
	sealOnly(t, filepath.Join(o.Dir, "wal"))
	s = mustOpen(t, o)
	mustHave(t, s, entries(1, 20, 1))
	mustStore(t, s, entries(21, 30, 1))
	mustHave(t, s, entries(1, 30, 1))
	mustClose(t, s)
}

// A crash in the middle of the append that was to fill a segment: whatever of
// its index reached the disk, the entries before it are kept and the log takes
// appends again.
func TestStore_TornSeal(t *testing.T) {
	for _, torn := range []int64{0, 1} { // sectors of the index that arrived
		t.Run(fmt.Sprint(torn), func(t *testing.T) {
			o := logstore.Options{Dir: t.TempDir(), SegmentBytes: 64 << 10}
			s := mustOpen(t, o)
			mustStore(t, s, entries(1, 200, 1))
			mustClose(t, s)
			dir := filepath.Join(o.Dir, "wal")
			tail, start := sealOnly(t, dir)
			f, err := os.OpenFile(filepath.Join(dir, segment.FileName(tail)), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			from := int64(start) - 8
			if torn > 0 {
				from = (from/512 + torn) * 512
			}
			if _, err := f.WriteAt(make([]byte, 4<<10), from); err != nil {
				t.Fatal(err)
			}
			f.Close()
			s = mustOpen(t, o)
			mustHave(t, s, entries(1, 200, 1))
			mustStore(t, s, entries(201, 230, 1))
			mustClose(t, s)
			s = mustOpen(t, o)
			mustHave(t, s, entries(1, 230, 1))
			mustClose(t, s)
		})
	}
}

// A crash in the middle of an append, at any sector: the log ends before it, and
// the leftovers are never read as entries, although they look like some.
func TestStore_TornAppend(t *testing.T) {
	for sectors := range int64(8) {
		o := logstore.Options{Dir: t.TempDir(), SegmentBytes: 64 << 10}
		s := mustOpen(t, o)
		mustStore(t, s, entries(1, 10, 1))
		mustClose(t, s)
		path := tailPath(t, o.Dir)
		before := used(t, path)
		s = mustOpen(t, o)
		if err := s.StoreLogs(entries(11, 60, 1)); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		path = tailPath(t, o.Dir)
		end := used(t, path)
		if before == 0 || end < 9*512 {
			t.Fatalf("the appends take %d and %d bytes", before, end)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 512), sectors*512); err != nil {
			t.Fatal(err)
		}
		f.Close()
		s = mustOpen(t, o)
		mustHave(t, s, entries(1, 10, 1))
		mustStore(t, s, entries(11, 12, 2))
		mustClose(t, s)
		s = mustOpen(t, o)
		mustHave(t, s, append(entries(1, 10, 1), entries(11, 12, 2)...))
		mustClose(t, s)
	}
}

func tailPath(t *testing.T, dir string) string {
	t.Helper()
	dir = filepath.Join(dir, "wal")
	return filepath.Join(dir, segment.FileName(tailSegment(t, dir)))
}

// used returns how much of a file is not zero at its end.
func used(t *testing.T, path string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(bytes.TrimRight(b, "\x00")))
}
