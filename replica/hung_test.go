package replica_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/raftlog"
	"twofold/replica"
	"twofold/replica/vfs"
)

// hungFS is a file system whose reads hang while it is told to.
type hungFS struct {
	pebblevfs.FS
	mu struct {
		sync.Mutex
		hung chan struct{} // closed when reads go on; nil while they do
		n    int           // reads that hang
	}
}

type hungFile struct {
	pebblevfs.File
	fs *hungFS
}

func (f *hungFS) Open(name string, opts ...pebblevfs.OpenOption) (pebblevfs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o.Apply(file)
	}
	return hungFile{file, f}, nil
}

func (f hungFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.wait()
	return f.File.ReadAt(p, off)
}

func (f *hungFS) wait() {
	f.mu.Lock()
	hung := f.mu.hung
	if hung != nil {
		f.mu.n++
	}
	f.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

func (f *hungFS) hang() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hung, f.mu.n = make(chan struct{}), 0
}

func (f *hungFS) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.hung != nil {
		close(f.mu.hung)
		f.mu.hung = nil
	}
}

func (f *hungFS) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.n
}

// hungLimit is the longest until a disk that takes no read is noticed and another
// node leads. Measured are 1.3 to 1.6 s; the goal is 2 s, and other tests run beside.
const hungLimit = 4 * time.Second

const (
	coldFiles = 64
	coldBytes = 256 << 10
)

// coldFile names one of the files that are in no cache, with its contents.
func coldFile(i int) (name string, data []byte) {
	return fmt.Sprint("cold", i), bytes.Repeat([]byte(fmt.Sprintf("%07d.", i*7919)), coldBytes/8)
}

// newColdPair returns a pair with more on its disks than its caches hold.
func newColdPair(t *testing.T) (*pair, map[string]*hungFS, []vfs.Ref) {
	disks := map[string]*hungFS{"a": {FS: pebblevfs.NewMem()}, "b": {FS: pebblevfs.NewMem()}}
	p := newPairAs(t, nil, func(name string, _ *raftlog.Config, c *replica.Config) {
		if name != "w" {
			c.State.FS, c.State.CacheBytes, c.State.MemTableBytes = disks[name], 64<<10, 64<<10
		}
	})
	t.Cleanup(func() { // before the nodes are stopped
		for _, d := range disks {
			d.resume()
		}
	})
	p.calm = true
	s := p.stores[p.leader()]
	var refs []vfs.Ref
	for i := range coldFiles {
		name, data := coldFile(i)
		ref := create(t, s, name)
		mustMutate(t, s, &vfs.OpWrite{Ref: ref, Data: data})
		refs = append(refs, ref)
	}
	p.sameDigest()
	for _, s := range p.stores {
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return p, disks, refs
}

// readCold reads the beginning of a file and compares it.
func readCold(ctx context.Context, s *replica.Store, refs []vfs.Ref, i int) error {
	buf := make([]byte, 64<<10)
	res, err := s.Read(ctx, vfs.Cred{}, refs[i], 0, buf)
	if err != nil {
		return err
	}
	if _, data := coldFile(i); res.Kind != vfs.OK || !bytes.Equal(buf[:res.N], data[:res.N]) || res.N == 0 {
		return fmt.Errorf("file %d: %v, %d bytes", i, res.Kind, res.N)
	}
	return nil
}

// The disk with a node's state hangs, and takes no read: within 2 s another node
// leads, the node holds no lease, and what is read at it from then on is answered by
// way of the other, without a look at its own disk. When the disk goes on, so do the
// reads that hung, and the node is back.
//
// Seen red: with a BeginRead that counts nothing.
func TestHung_Reads(t *testing.T) {
	for _, leads := range []bool{true, false} {
		t.Run(fmt.Sprint("leader ", leads), func(t *testing.T) {
			p, disks, refs := newColdPair(t)
			hung := p.leader()
			if !leads {
				hung = other(hung)
			}
			disks[hung].hang()
			const stuck = 8
			done := make(chan error, stuck)
			begin := time.Now()
			for i := range stuck {
				go func() { done <- readCold(context.Background(), p.stores[hung], refs, i) }()
			}
			p.within(hungLimit, "another node leads and this one is stalled", func() bool {
				st, _ := p.nodes[other(hung)].Watch()
				_, lease := p.nodes[hung].Lease()
				return p.nodes[hung].Stalled() != nil && !lease && st.Ready
			})
			t.Logf("noticed after %s: %v", time.Since(begin).Round(time.Millisecond), p.nodes[hung].Stalled())
			before := disks[hung].waiting()
			if before == 0 {
				t.Fatal("no read hangs")
			}
			for i := stuck; i < coldFiles; i++ {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				if err := readCold(ctx, p.stores[hung], refs, i); err != nil {
					t.Errorf("at the node whose disk hangs: %v", err)
				}
				cancel()
			}
			if n := disks[hung].waiting(); n != before {
				t.Errorf("%d reads hang, %d did", n, before)
			}
			disks[hung].resume()
			for range stuck {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			p.within(10*time.Second, "the node is back", func() bool {
				_, lease := p.nodes[hung].Lease()
				return p.nodes[hung].Stalled() == nil && lease
			})
			p.sameDigest()
		})
	}
}

// within waits until a condition holds.
func (p *pair) within(limit time.Duration, what string, cond func() bool) {
	p.t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
