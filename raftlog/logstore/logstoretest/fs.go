package logstoretest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/hashicorp/raft-wal/types"

	"twofold/raftlog/logstore"
)

// ErrPower is what every change is answered with once the power has failed.
var ErrPower = errors.New("logstoretest: the power is off")

// errPowerNow is for the step at which it fails.
var errPowerNow = fmt.Errorf("%w from now on", ErrPower)

// Step is one thing that an FS does to its disk.
type Step string

// The kinds of steps.
const (
	StepCreate   Step = "create"
	StepDelete   Step = "delete"
	StepRename   Step = "rename"
	StepWrite    Step = "write"
	StepTruncate Step = "truncate"
	StepSync     Step = "sync"     // of a file's bytes
	StepSyncDir  Step = "sync dir" // of the directory's names
)

// FS is a directory in memory.
type FS struct {
	// Lie, if set before the FS is used, tells which syncs do nothing. It is
	// given the number of the step and called with the FS locked.
	Lie func(step int, kind Step) bool

	mu struct {
		sync.Mutex
		now     map[string]*node // what a running process sees
		durable map[string]*node // the names that the disk has
		steps   int
		cutAt   int // the number of the step at which the power fails; 0 for never
		off     bool
		held    bool
		resume  *sync.Cond // of mu, when held ends
	}
}

var _ logstore.FS = (*FS)(nil)

// New returns an empty directory.
func New() *FS {
	f := &FS{}
	f.mu.now, f.mu.durable = map[string]*node{}, map[string]*node{}
	f.mu.resume = sync.NewCond(&f.mu)
	return f
}

// Steps returns the number of steps so far.
func (f *FS) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.steps
}

// CutAfter has the power fail at the n-th step from now on.
func (f *FS) CutAfter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.cutAt = f.mu.steps + n
}

// Hold lets every later step wait until Cut or Resume. A test of several disks holds them
// all, looks at them in peace, and cuts: nothing that happens in between can
// rest on a step that was held.
func (f *FS) Hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held = true
}

// Resume ends Hold: the disk hung, and goes on.
func (f *FS) Resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held = false
	f.mu.resume.Broadcast()
}

// Cut turns the power off.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.off, f.mu.held = true, false
	f.mu.resume.Broadcast()
}

// Off tells whether the power is off.
func (f *FS) Off() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.off
}

// stepLocked waits while the FS is held and reports whether the power is off
// now. A lie is told only of syncs.
func (f *FS) stepLocked(kind Step) (lie bool, err error) {
	for f.mu.held {
		f.mu.resume.Wait()
	}
	if f.mu.off {
		return false, ErrPower
	}
	f.mu.steps++
	if f.mu.cutAt > 0 && f.mu.steps >= f.mu.cutAt {
		f.mu.off = true
		return false, errPowerNow
	}
	sync := kind == StepSync || kind == StepSyncDir
	return sync && f.Lie != nil && f.Lie(f.mu.steps, kind), nil
}

// ListDir implements types.VFS.
func (f *FS) ListDir(string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.mu.now)), nil
}

// Create implements types.VFS.
func (f *FS) Create(_, name string, size uint64) (types.WritableFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.mu.now[name]; ok {
		return nil, &os.PathError{Op: "create", Path: name, Err: os.ErrExist}
	}
	if _, err := f.stepLocked(StepCreate); err != nil {
		return nil, err
	}
	n := &node{}
	f.mu.now[name] = n
	n.change(change{size: int64(size), resize: true})
	return &file{fs: f, node: n, created: true}, nil
}

// Delete implements types.VFS.
func (f *FS) Delete(_, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.findLocked("delete", name); err != nil {
		return err
	}
	if _, err := f.stepLocked(StepDelete); err != nil {
		return err
	}
	delete(f.mu.now, name)
	return f.syncDirLocked()
}

// Unlink takes a name away and syncs nothing.
func (f *FS) Unlink(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.findLocked("unlink", name); err != nil {
		return err
	}
	if _, err := f.stepLocked(StepDelete); err != nil {
		return err
	}
	delete(f.mu.now, name)
	return nil
}

// Rename gives a file another name, in place of the one that has it, and syncs
// nothing.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.findLocked("rename", from)
	if err != nil {
		return err
	}
	if _, err := f.stepLocked(StepRename); err != nil {
		return err
	}
	delete(f.mu.now, from)
	f.mu.now[to] = n
	return nil
}

// Size returns the size of a file, 0 if there is none.
func (f *FS) Size(name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.mu.now[name]; n != nil {
		return int64(len(n.now))
	}
	return 0
}

// OpenReader implements types.VFS.
func (f *FS) OpenReader(dir, name string) (types.ReadableFile, error) {
	return f.OpenWriter(dir, name)
}

// OpenWriter implements types.VFS.
func (f *FS) OpenWriter(_, name string) (types.WritableFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.findLocked("open", name)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, node: n}, nil
}

// SyncDir implements logstore.FS.
func (f *FS) SyncDir(string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncDirLocked()
}

// Truncate implements logstore.FS.
func (f *FS) Truncate(_, name string, size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.findLocked("truncate", name)
	if err != nil {
		return err
	}
	if _, err := f.stepLocked(StepTruncate); err != nil {
		return err
	}
	n.change(change{size: size, resize: true})
	return nil
}

func (f *FS) findLocked(op, name string) (*node, error) {
	n := f.mu.now[name]
	if n == nil {
		return nil, &os.PathError{Op: op, Path: name, Err: os.ErrNotExist}
	}
	return n, nil
}

func (f *FS) syncDirLocked() error {
	lie, err := f.stepLocked(StepSyncDir)
	if err == nil && !lie {
		f.mu.durable = maps.Clone(f.mu.now)
	}
	return err
}
