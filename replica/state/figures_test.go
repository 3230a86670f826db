//go:build figures

package state_test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// figuresBatch is how many creates are one log entry: as many as an entry may carry.
const figuresBatch = 256

// maxGrowth is how much more of a processor an entry of a large directory may cost than one of a small directory.
const maxGrowth = 1.25

// TestFigures_LargeDirectory measures what an entry of a directory costs, in the state alone: to make it, and to list it with
// attributes after a restart, at 1,000, 100,000 and 1,000,000 entries. Every entry must be listed exactly once.
//
// Run it with make figures: without the race detector, on a quiet machine.
func TestFigures_LargeDirectory(t *testing.T) {
	var first [2]cost
	for i, entries := range []int{1_000, 100_000, figuresEntries} {
		making, listing := largeDirectory(t, entries)
		t.Logf("%9d entries: to make one %v, to list one with attributes %v", entries, making, listing)
		if i == 0 {
			first = [2]cost{making, listing}
		}
		if making.above(first[0]) || listing.above(first[1]) {
			t.Errorf("an entry of %d costs more than %v times what one of 1,000 does", entries, maxGrowth)
		}
	}
}

// figuresEntries is how many entries the volume has in all, in one directory or in many: it is not the volume's size that is compared.
const figuresEntries = 1_000_000

// largeDirectory gives the cost of an entry in directories of this many.
func largeDirectory(t *testing.T, entries int) (making, listing cost) {
	path := t.TempDir()
	h := figuresHarness(t, path)
	dirs := make([]vfs.Ref, figuresEntries/entries)
	for i := range dirs {
		dirs[i] = h.benchApply(h.decoded(&vfs.OpMkdir{Dir: h.root(), Name: fmt.Sprintf("d%d", i), Set: modeSet(0o755)}))[0].Attr.Ref
		making.add(t, func() { h.fill(dirs[i], entries) })
	}
	h.close()
	h.openAt(path)
	for _, dir := range dirs {
		listing.add(t, func() { h.wantEachOnce(dir, entries) })
	}
	h.close()
	return making.per(entries * len(dirs)), listing.per(entries * len(dirs))
}

// cost is what something took, by the clock and of processor time. The latter, with what Pebble does in the background, is
// what tells on a machine that is busy with other things.
type cost struct{ clock, processor time.Duration }

func (c *cost) add(t *testing.T, do func()) {
	t.Helper()
	begin, used := time.Now(), processorTime(t)
	do()
	c.clock += time.Since(begin)
	c.processor += processorTime(t) - used
}

func (c cost) per(n int) cost {
	return cost{c.clock / time.Duration(n), c.processor / time.Duration(n)}
}

func (c cost) above(first cost) bool {
	return float64(c.processor) > maxGrowth*float64(first.processor)
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f µs (%.2f µs of a processor)", float64(c.clock)/1000, float64(c.processor)/1000)
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// figuresHarness has the default sizes, on a real directory.
func figuresHarness(t *testing.T, path string) *harness {
	t.Helper()
	h := &harness{t: t, clock: t0, opts: state.Options{Logger: quiet()}}
	h.openAt(path)
	t.Cleanup(h.close)
	h.benchApply(h.decoded(formatOp(state.DefaultBlockSize)))
	return h
}

func (h *harness) openAt(path string) {
	s, err := state.Open(path, h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = s
}

// fill makes entries, in full batches.
func (h *harness) fill(dir vfs.Ref, entries int) {
	cmds := make([]command.Command, 0, figuresBatch)
	for i := range entries {
		cmds = append(cmds, command.Command{
			Header: command.Header{Type: command.TypeCreate, Volume: testVolume, Seed: uint64(h.index)<<16 | uint64(i)},
			Op:     &vfs.OpCreate{Dir: dir, Name: figuresName(i), Set: modeSet(0o644)},
		})
		if len(cmds) < figuresBatch && i < entries-1 {
			continue
		}
		for _, r := range h.benchApply(cmds...) {
			if r.Kind != vfs.OK {
				h.t.Fatalf("create: %v", r.Kind)
			}
		}
		cmds = cmds[:0]
	}
}

func figuresName(i int) string { return fmt.Sprintf("entry-%09d", i) }

// wantEachOnce lists a directory as READDIRPLUS does, in pages, and checks that every entry comes exactly once.
func (h *harness) wantEachOnce(dir vfs.Ref, entries int) {
	seen := make([]bool, entries)
	var after vfs.Cookie
	for listed := 0; ; {
		r, err := h.s.ReadDir(vfs.Cred{}, dir, after, true, state.MaxDirents)
		if err != nil || r.Kind != vfs.OK {
			h.t.Fatalf("list after %d: %v %v", after, r.Kind, err)
		}
		for _, e := range r.Entries {
			after = e.Cookie
			if e.Name == "." || e.Name == ".." {
				continue
			}
			i, err := strconv.Atoi(strings.TrimPrefix(e.Name, "entry-"))
			if err != nil || i < 0 || i >= entries || seen[i] || e.Attr.Ref.Ino != e.Ino {
				h.t.Fatalf("%q is listed again, or is nothing that was made", e.Name)
			}
			seen[i] = true
			listed++
		}
		if !r.EOF {
			continue
		}
		if listed != entries {
			h.t.Fatalf("%d entries are listed, want %d", listed, entries)
		}
		return
	}
}
