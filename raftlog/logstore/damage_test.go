package logstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// copyDir copies a closed log.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// flip inverts some bits of one byte of a file.
func flip(t *testing.T, path string, at int64, bits byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bits
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// outcome is what opening a log after damage came to.
type outcome struct {
	told    error // through OnDamage
	refused error
	last    uint64
}

// reopen opens a log that may be damaged, and demands that what it holds is a part
// of what was written, from its beginning, and all of it unless damage was told of.
func reopen(t *testing.T, o logstore.Options, want []*raft.Log) (out outcome) {
	t.Helper()
	o.OnDamage = func(err error) error {
		out.told = err
		return nil
	}
	s, err := logstore.Open(o)
	if err != nil {
		out.refused = err
		return out
	}
	defer mustClose(t, s)
	first, _ := s.FirstIndex()
	out.last, _ = s.LastIndex()
	if out.last != 0 && first != want[0].Index {
		t.Errorf("the log begins at %d", first)
	}
	for i := uint64(0); i < out.last; i++ {
		var l raft.Log
		if err := s.GetLog(i+1, &l); err != nil {
			t.Fatalf("entry %d: %v", i+1, err)
		}
		if w := want[i]; l.Term != w.Term || l.Type != w.Type || !bytes.Equal(l.Data, w.Data) {
			t.Errorf("entry %d is another one", i+1)
		}
	}
	if out.last < want[len(want)-1].Index && out.told == nil {
		t.Errorf("the log ends at %d, and nothing was told", out.last)
	}
	return out
}

// written makes a log of some segments, the last of them not sealed.
func written(t *testing.T, kind logstore.Kind) (logstore.Options, []*raft.Log) {
	t.Helper()
	o := logstore.Options{Dir: t.TempDir(), Kind: kind, SegmentBytes: 64 << 10}
	want := entries(1, 40, 1)
	s := mustOpen(t, o)
	mustStore(t, s, want[:20])
	mustClose(t, s)
	s = mustOpen(t, o)
	mustStore(t, s, want[20:])
	mustClose(t, s)
	return o, want
}

// Any byte of a log may be another one: the log is whole then, or its damage is told of
// and what stays is its beginning, or it is refused. It never lacks an entry, nor has
// another one, in silence (rule M3).
func TestDamage_AnyByte(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  logstore.Kind
		files string
		step  int64
	}{
		{logstore.WAL, "wal/*.wal", 211},
		{logstore.WAL, "wal/wal-meta.db", 203},
		{logstore.Bolt, "log.db", 613},
	} {
		t.Run(string(c.kind)+" "+filepath.Ext(c.files), func(t *testing.T) {
			t.Parallel()
			o, want := written(t, c.kind)
			files, err := filepath.Glob(filepath.Join(o.Dir, c.files))
			if err != nil || len(files) == 0 {
				t.Fatal(err)
			}
			n, told, refused := 0, 0, 0
			for _, file := range files {
				name, _ := filepath.Rel(o.Dir, file)
				for at := int64(0); at < used(t, file); at += c.step {
					d := o
					d.Dir = copyDir(t, o.Dir)
					flip(t, filepath.Join(d.Dir, name), at, 1<<(at%8))
					out := reopen(t, d, want)
					if t.Failed() {
						t.Fatalf("byte %d of %s", at, name)
					}
					n++
					if out.told != nil {
						told++
						if out.refused == nil && out.last > 0 {
							if again := reopen(t, d, want[:out.last]); again.told != nil || again.refused != nil {
								t.Fatalf("byte %d of %s: found again: %+v", at, name, again)
							}
						}
					}
					if out.refused != nil {
						refused++
					}
					os.RemoveAll(d.Dir)
				}
			}
			t.Logf("%d bytes: %d told of, %d refused", n, told, refused)
			if told == 0 {
				t.Error("no damage was found")
			}
		})
	}
}

// The regions of the last segment: the damage is placed, and the entries before it stay.
func TestDamage_Regions(t *testing.T) {
	t.Parallel()
	o, want := written(t, logstore.WAL)
	path := tailPath(t, o.Dir)
	name, _ := filepath.Rel(o.Dir, path)
	end := used(t, path)
	for _, c := range []struct {
		region string
		at     int64
		last   uint64 // of what stays
	}{
		{"header of the segment", 9, 27},
		{"header of the first frame", 32, 20},
		{"length of the first frame", 36, 20},
		{"length of the first frame, by much", 38, 20},
		{"first entry", 60, 20},
		{"length of a frame of the last append", 0, 34}, // found below
		{"last entry", end - 40, 39},
		{"last commit frame", end - 8, 40},
		{"checksum of the last append", end - 1, 40},
	} {
		t.Run(c.region, func(t *testing.T) {
			d := o
			d.Dir = copyDir(t, o.Dir)
			if c.at == 0 {
				c.at = lastFrame(t, path) + 6
			}
			flip(t, filepath.Join(d.Dir, name), c.at, 0x10)
			out := reopen(t, d, want)
			if out.told == nil || out.refused != nil || out.last != c.last {
				t.Errorf("told %v, refused %v, ends at %d, want %d", out.told, out.refused, out.last, c.last)
			}
		})
	}
}

// lastFrame returns where the last append of the last segment begins.
func lastFrame(t *testing.T, path string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at, p := int64(32), int64(32)
	for b[p] != 0 {
		n := int64(b[p+4]) | int64(b[p+5])<<8
		if b[p] == 3 {
			n = 0
			if b[p+8] != 0 {
				at = p + 8
			}
		}
		p += 8 + (n+7)/8*8
	}
	return at
}

// A segment that is missing, sealed or not, is damage.
func TestDamage_MissingSegment(t *testing.T) {
	t.Parallel()
	o, want := written(t, logstore.WAL)
	files, err := filepath.Glob(filepath.Join(o.Dir, "wal", "*.wal"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	d := o
	d.Dir = copyDir(t, o.Dir)
	if err := os.Remove(filepath.Join(d.Dir, "wal", filepath.Base(files[0]))); err != nil {
		t.Fatal(err)
	}
	if out := reopen(t, d, want); out.told == nil || out.last != 0 {
		t.Errorf("%+v", out)
	}
}

// A hole with a whole append after it is no unfinished write.
func TestDamage_HoleBeforeAnAppend(t *testing.T) {
	t.Parallel()
	o, want := written(t, logstore.WAL)
	path := tailPath(t, o.Dir)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 512), 512); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if out := reopen(t, o, want); out.told == nil || out.last < 20 || out.last > 27 {
		t.Errorf("%+v", out)
	}
}

// Damage that is met while the log is open ends it, and nothing wrong is returned.
func TestDamage_MetLater(t *testing.T) {
	t.Parallel()
	o, want := written(t, logstore.WAL)
	var failed error
	o.OnFailure = func(err error) { failed = err }
	s := mustOpen(t, o)
	files, _ := filepath.Glob(filepath.Join(o.Dir, "wal", "*.wal"))
	flip(t, files[0], 200, 1)
	var l raft.Log
	if err := s.GetLog(1, &l); !errors.Is(err, logstore.ErrDamaged) || !errors.Is(failed, logstore.ErrDamaged) {
		t.Errorf("read: %v, failed: %v", err, failed)
	}
	if err := s.StoreLogs(entries(41, 41, 1)); !errors.Is(err, logstore.ErrFailed) {
		t.Errorf("stored: %v", err)
	}
	mustClose(t, s)
	if out := reopen(t, o, want); out.told == nil || out.last != 0 {
		t.Errorf("%+v", out)
	}
}

// A crash while the sound part takes the place of the damaged log loses neither.
func TestDamage_CrashWhileReplaced(t *testing.T) {
	t.Parallel()
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		o, want := written(t, kind)
		path := filepath.Join(o.Dir, map[logstore.Kind]string{logstore.WAL: "wal", logstore.Bolt: "log.db"}[kind])
		if err := os.Rename(path, path+".salvaged"); err != nil {
			t.Fatal(err)
		}
		if out := reopen(t, o, want); out != (outcome{last: 40}) {
			t.Errorf("%s: %+v", kind, out)
		}
	}
}

// Without somebody who notes it a damaged log is refused and stays as it is.
func TestDamage_RefusedUnheard(t *testing.T) {
	t.Parallel()
	o, want := written(t, logstore.WAL)
	flip(t, tailPath(t, o.Dir), 60, 1)
	for range 2 {
		if _, err := logstore.Open(o); !errors.Is(err, logstore.ErrDamaged) {
			t.Fatal(err)
		}
	}
	o.OnDamage = func(error) error { return fmt.Errorf("no") }
	if _, err := logstore.Open(o); err == nil {
		t.Fatal("opened")
	}
	if out := reopen(t, o, want); out.told == nil || out.last != 20 {
		t.Errorf("%+v", out)
	}
}

// A stable store that is damaged is refused, with what to do: a vote may be forgotten.
func TestDamage_StableStore(t *testing.T) {
	t.Parallel()
	for _, page := range []int64{0, 1} {
		dir := t.TempDir()
		v, err := logstore.OpenVote(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(v.SetUint64([]byte("CurrentTerm"), 3), v.Close()); err != nil {
			t.Fatal(err)
		}
		flip(t, filepath.Join(dir, "stable.db"), page*int64(os.Getpagesize())+66, 1)
		if _, err := logstore.OpenVote(dir, nil); !errors.Is(err, logstore.ErrDamaged) || !strings.Contains(err.Error(), "replace it") {
			t.Errorf("page %d: %v", page, err)
		}
	}
}
