package logstoretest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/hashicorp/raft-wal/types"

	"twofold/raftlog/logstore"
)

// StepSet is a change of the vote or of the WAL's metadata, durable at once. The
// power may fail before it and after it: it is two steps.
const StepSet Step = "set"

// Disk is an FS that holds term, vote and the WAL's metadata too, so that the
// power fails for all of a node's log at one step.
type Disk struct {
	*FS
	// These are guarded by FS.mu.
	stable map[string][]byte
	meta   types.PersistentState
	hung   chan struct{} // closed when the disk answers again; nil while it does
}

var _ logstore.Disk = (*Disk)(nil)

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{FS: New(), stable: map[string][]byte{}} }

// PowerLoss is that of FS. What was set is there.
func (d *Disk) PowerLoss(fate Fate, rng *rand.Rand) *Disk {
	fs := d.FS.PowerLoss(fate, rng)
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{FS: fs, stable: maps.Clone(d.stable), meta: clonedState(d.meta)}
}

func clonedState(s types.PersistentState) types.PersistentState {
	s.Segments = slices.Clone(s.Segments)
	return s
}

// set makes a change between two steps.
func (d *Disk) set(change func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.stepLocked(StepSet); err != nil {
		return err
	}
	change()
	_, err := d.stepLocked(StepSet)
	return err
}

// Hang lets changes that begin from now on wait until Answer.
func (d *Disk) Hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung == nil {
		d.hung = make(chan struct{})
	}
}

// Answer ends a Hang.
func (d *Disk) Answer() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung != nil {
		close(d.hung)
		d.hung = nil
	}
}

// Await implements logstore.Disk.
func (d *Disk) Await() {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

// Stable implements logstore.Disk.
func (d *Disk) Stable() (logstore.KV, error) { return stable{d}, nil }

// Meta implements logstore.Disk.
func (d *Disk) Meta() types.MetaStore { return meta{d} }

// errNotFound is what raft expects of a stable store without a value.
var errNotFound = errors.New("not found")

type stable struct{ d *Disk }

func (s stable) Set(key, val []byte) error {
	s.d.Await()
	if err := s.d.set(func() { s.d.stable[string(key)] = bytes.Clone(val) }); err != nil {
		// raft panics when its vote cannot be written, which ends the process. Here
		// it ends the goroutine only: others live in this process too.
		runtime.Goexit()
	}
	return nil
}

func (s stable) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

func (s stable) Get(key []byte) ([]byte, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	v, ok := s.d.stable[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return bytes.Clone(v), nil
}

func (s stable) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

func (s stable) Close() error { return nil }

type meta struct{ d *Disk }

func (m meta) Load(string) (types.PersistentState, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return clonedState(m.d.meta), nil
}

func (m meta) CommitState(s types.PersistentState) error {
	return m.d.set(func() { m.d.meta = clonedState(s) })
}

// GetStable and SetStable implement types.MetaStore. The log has no use for them.
func (m meta) GetStable([]byte) ([]byte, error) { return nil, nil }

func (m meta) SetStable(_, _ []byte) error { return errors.New("logstoretest: not a stable store") }

func (m meta) Close() error { return nil }
