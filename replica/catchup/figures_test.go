//go:build figures

package catchup_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"twofold/replica/catchup"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// The volume of the figures: 900,000 files in directories of 2,000, 100,000 in one
// directory, each of 1 to 4 KiB, and some large files.
const (
	figuresFiles  = 1_000_000
	figuresFlat   = 100_000
	figuresPerDir = 2_000
	figuresLarge  = 4
	largeBytes    = 64 << 20
	// figuresChanged is how many of them change between two transfers.
	figuresChanged = 1_000
	// figuresShare is which part of the volume may be sent then, at most: 2 %.
	figuresShare = 50
	// largeWrites is how many places change in each large file.
	largeWrites = 16
)

// bigVolume is one copy of the volume with the references that changes need.
type bigVolume struct {
	*copyOf
	rng   *rand.Rand
	dirs  []vfs.Ref
	files []bigFile
	large []vfs.Ref
	fresh int // names made for new files
}

type bigFile struct {
	ref  vfs.Ref
	dir  int
	name string
}

// TestFigures_Delta has a node that lacks 1,000 changed files of 1,000,000 brought
// to the same state, and counts what goes over the connection, both ways. The changes lie
// all over the volume, then in one directory, then are new and removed files, then
// parts of large files. Each time less than 2 % of the volume may be sent.
func TestFigures_Delta(t *testing.T) {
	dir := t.TempDir()
	o := state.Options{Logger: slog.New(slog.DiscardHandler), CacheBytes: 64 << 20, MemTableBytes: 32 << 20} // a node's defaults
	a := &bigVolume{copyOf: newCopyIn(t, filepath.Join(dir, "a"), o), rng: rand.New(rand.NewPCG(1, 2))}
	begun := time.Now()
	a.build()
	if err := a.s.Checkpoint(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	b := newCopyIn(t, filepath.Join(dir, "b"), o)
	all := a.volume()
	t.Logf("%d files, %d bytes of records, made in %v; resident at most %d MiB", figuresFiles, all, time.Since(begun).Round(time.Second), peakMiB(t))
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"1,000 rewritten, anywhere", a.rewriteAnywhere},
		{"1,000 rewritten, in one directory of 2,000", func() { a.rewriteIn(7, figuresPerDir) }},
		{"1,000 rewritten, in one directory of 100,000", func() { a.rewriteIn(0, figuresFlat) }},
		{"500 new and 500 removed, anywhere", a.createAndRemove},
		{fmt.Sprintf("%d parts of each of %d large files", largeWrites, figuresLarge), a.writeParts},
		{"nothing but a time stamp", func() { a.rewrite(a.files[:1]) }},
	} {
		c.change()
		both := &counted{}
		p := catchup.NewProgress()
		begun := time.Now()
		err := b.bring(a.copyOf, p, func(conn net.Conn) net.Conn { both.Conn = conn; return both })
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		b.install()
		st, moved := p.Status(), both.sent.Load()+both.received.Load()
		t.Logf("%s: %d bytes there, %d back, together %.3f %% of the volume, %d of %d buckets, %v, installed after %v; resident at most %d MiB",
			c.name, both.sent.Load(), both.received.Load(), 100*float64(moved)/float64(all), st.Differ, state.DigestBuckets,
			took.Round(time.Millisecond), (time.Since(begun) - took).Round(time.Millisecond), peakMiB(t))
		if moved > int64(all)/figuresShare {
			t.Errorf("%s: %d bytes of a volume of %d were sent", c.name, moved, all)
		}
		if uint64(both.sent.Load()) != st.Bytes {
			t.Errorf("the progress says that %d bytes were sent", st.Bytes)
		}
		da, ia, _ := a.s.RunningDigest()
		if db, ib, _ := b.s.RunningDigest(); da != db || ia != ib {
			t.Fatalf("%v at %d and %v at %d", da, ia, db, ib)
		}
	}
	same(t, a.copyOf, b)
}

// counted counts what goes over a connection.
type counted struct {
	net.Conn
	sent, received atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

// enter applies one entry, without the detour over the encoding.
func (v *bigVolume) enter(ops ...any) []vfs.Result {
	v.t.Helper()
	cmds := make([]command.Command, len(ops))
	for i, op := range ops {
		v.clock++
		enc, err := command.Append(nil, &command.Command{Header: command.Header{Volume: 1, Cred: vfs.Root}, Op: op})
		if err != nil {
			v.t.Fatal(err)
		}
		command.Seal(enc, v.clock, uint64(v.clock))
		if cmds[i], err = command.Decode(enc); err != nil {
			v.t.Fatal(err)
		}
	}
	v.index++
	rs, err := v.s.Apply(v.index, 1, cmds)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, r := range rs {
		if r.Kind != vfs.OK {
			v.t.Fatal(r.Kind)
		}
	}
	return rs
}

// build makes the volume.
func (v *bigVolume) build() {
	v.enter(&command.Format{UUID: [16]byte{1}, HandleKey: [16]byte{2}, BlockSize: state.DefaultBlockSize, RootMode: 0o755})
	for made, in := 0, figuresFlat; made < figuresFiles; made, in = made+in, figuresPerDir {
		name := fmt.Sprintf("d%d", len(v.dirs))
		v.dirs = append(v.dirs, v.enter(&vfs.OpMkdir{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: name})[0].Attr.Ref)
		for i := 0; i < in; i += 250 {
			v.create(len(v.dirs)-1, 250)
		}
	}
	for i := range figuresLarge {
		ref := v.enter(&vfs.OpCreate{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: fmt.Sprintf("large%d", i)})[0].Attr.Ref
		v.large = append(v.large, ref)
		for at := 0; at < largeBytes; at += 1 << 20 {
			v.enter(&vfs.OpWrite{Ref: ref, Offset: uint64(at), Data: v.random(1 << 20)})
		}
	}
}

// create makes files in one directory.
func (v *bigVolume) create(dir, n int) {
	ops := make([]any, n)
	files := make([]bigFile, n)
	for i := range ops {
		v.fresh++
		files[i] = bigFile{dir: dir, name: fmt.Sprintf("file-%09d", v.fresh)}
		ops[i] = &vfs.OpCreate{Dir: v.dirs[dir], Name: files[i].name}
	}
	for i, r := range v.enter(ops...) {
		files[i].ref = r.Attr.Ref
	}
	v.rewrite(files)
	v.files = append(v.files, files...)
}

// rewrite gives files new contents of 1 to 4 KiB.
func (v *bigVolume) rewrite(files []bigFile) {
	for len(files) > 0 {
		n := min(len(files), 250)
		ops := make([]any, n)
		for i, f := range files[:n] {
			ops[i] = &vfs.OpWrite{Ref: f.ref, Data: v.random(1024 + v.rng.IntN(3073))}
		}
		v.enter(ops...)
		files = files[n:]
	}
}

// random returns bytes that do not compress.
func (v *bigVolume) random(n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, v.rng.Uint64())
	}
	return b[:n]
}

// rewriteAnywhere changes files at random, no file twice.
func (v *bigVolume) rewriteAnywhere() {
	var files []bigFile
	for _, i := range v.rng.Perm(len(v.files))[:figuresChanged] {
		files = append(files, v.files[i])
	}
	v.rewrite(files)
}

// rewriteIn changes files of one directory, at random.
func (v *bigVolume) rewriteIn(dir, has int) {
	first := 0
	for v.files[first].dir != dir {
		first++
	}
	var files []bigFile
	for _, i := range v.rng.Perm(has)[:figuresChanged] {
		files = append(files, v.files[first+i])
	}
	v.rewrite(files)
}

// createAndRemove makes and removes files in directories at random.
func (v *bigVolume) createAndRemove() {
	for range figuresChanged / 2 {
		v.create(v.rng.IntN(len(v.dirs)), 1)
		i := v.rng.IntN(len(v.files))
		v.enter(&vfs.OpRemove{Dir: v.dirs[v.files[i].dir], Name: v.files[i].name})
		v.files[i] = v.files[len(v.files)-1]
		v.files = v.files[:len(v.files)-1]
	}
}

// writeParts changes a little of each large file, in many places.
func (v *bigVolume) writeParts() {
	for _, ref := range v.large {
		for range largeWrites {
			v.enter(&vfs.OpWrite{Ref: ref, Offset: uint64(v.rng.IntN(largeBytes - 4096)), Data: v.random(4096)})
		}
	}
}

// peakMiB is the most memory that this process, with both copies, ever had.
func peakMiB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}
