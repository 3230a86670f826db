package load

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"twofold/nfs/client"
)

// The tree is the same each time, whole, and has the sizes of small files.
func TestNewTree(t *testing.T) {
	tree := newTree(treeFiles, treeDirs)
	if !reflect.DeepEqual(tree, newTree(treeFiles, treeDirs)) {
		t.Error("two trees differ")
	}
	var sizes []int
	names := make(map[string]bool)
	total := 0
	for i, d := range tree {
		if i > 0 && (d.parent >= i || d.depth != tree[d.parent].depth+1 || d.depth > treeDepth) {
			t.Errorf("directory %d: %+v", i, d)
		}
		for _, f := range d.files {
			if names[f.name] || f.size < tagSize || f.size > treeLargest {
				t.Errorf("%+v", f)
			}
			names[f.name] = true
			sizes = append(sizes, f.size)
			total += f.size
		}
	}
	slices.Sort(sizes)
	if len(tree) != treeDirs || len(sizes) != treeFiles {
		t.Fatalf("%d directories, %d files", len(tree), len(sizes))
	}
	if median := sizes[len(sizes)/2]; median < 2000 || median > 3500 {
		t.Errorf("the median file has %d bytes", median)
	}
	if total < 8<<20 || total > 32<<20 {
		t.Errorf("%d bytes in all", total)
	}
}

// mixed has the proportions that it is described by.
func TestMixedParts(t *testing.T) {
	parts := []int{mixedGetattr, mixedLookup - mixedGetattr, mixedAccess - mixedLookup, mixedRead - mixedAccess, mixedCreate - mixedRead, mixedRemove - mixedCreate, mixedAll - mixedRemove}
	if want := []int{40, 20, 10, 15, 8, 5, 2}; !slices.Equal(parts, want) {
		t.Errorf("parts %v, want %v", parts, want)
	}
}

// What is written follows from the seed.
func TestShared_Noise(t *testing.T) {
	one, again, other := newShared(nil, &Config{Seed: 5}), newShared(nil, &Config{Seed: 5}), newShared(nil, &Config{Seed: 6})
	if !slices.Equal(one.noise, again.noise) || slices.Equal(one.noise, other.noise) {
		t.Error("the seed does not decide on contents")
	}
}

func TestTally(t *testing.T) {
	a, b := newTally(), newTally()
	for i := range 90 {
		a.operation(time.Duration(i+1)*time.Millisecond, 2)
		a.call(client.ProcRead, time.Millisecond)
	}
	for range 10 {
		b.operation(time.Second, 2)
	}
	b.operation(time.Hour, 0) // longer than the range
	b.lost, b.errors["READ NFS3ERR_IO"] = 3, 4
	a.add(b)
	var r Result
	r.Unit = "bytes"
	r.fill(a, 2)
	if r.Ops != 101 || r.OpsRate != 50.5 || r.Units != 200 || r.Calls != 90 || r.Failed() != 7 || r.Procedures["READ"].Calls != 90 {
		t.Errorf("%+v", r)
	}
	near := func(got int64, want time.Duration) bool {
		w := want.Microseconds()
		return got > w*98/100 && got < w*102/100
	}
	if l := r.Latency; !near(l.P50, 51*time.Millisecond) || !near(l.P99, time.Second) || !near(l.Max, 10*time.Minute) {
		t.Errorf("%+v", l)
	}
}

// A stream's last WRITE makes it stable, and a verifier that changed is noticed.
func TestSeqFile(t *testing.T) {
	var q seqFile
	q.reset(client.FH{1}, 1)
	const size = 10
	for i, want := range []int{4, 4, 2, 0} {
		if off, n := q.take(size, 4); n != want || n > 0 && off != int64(4*i) {
			t.Errorf("piece %d: %d bytes at %d", i, n, off)
		}
	}
	if q.written(size, client.Unstable, 7, nil) || q.written(size, client.FileSync, 7, nil) {
		t.Error("COMMIT before the last WRITE")
	}
	if !q.written(size, client.Unstable, 8, nil) || !q.differs {
		t.Error("no COMMIT, or the other verifier went by")
	}
	q.reset(client.FH{1}, 2)
	q.take(size, 10)
	if q.written(size, client.FileSync, 9, nil) || q.differs {
		t.Error("COMMIT of a file that is stable")
	}
}
