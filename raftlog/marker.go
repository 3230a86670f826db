package raftlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

const (
	markerFile    = "marker"
	markerVersion = 2
)

// marker says how far a node's own disk has the effects of the log, so that
// the log before it need not be read again. It is what hashicorp/raft takes for
// a snapshot; the bytes of the state are in the state machine's own store.
type marker struct {
	Version     int
	Index       uint64
	Term        uint64
	Watermark   uint64
	DataMark    uint64
	ConfigIndex uint64
	Servers     []raft.Server
	// Installed is the index of the state that was installed together with this
	// marker, until the log goes as far: the log may end before it. On a witness
	// it is the marker's own index.
	Installed uint64 `json:",omitempty"`
	// Pending is the marker that holds instead of this one as soon as the state
	// is the one that it names: see install.
	Pending *marker `json:",omitempty"`
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// readMarker returns nil if there is none.
func readMarker(dir string) (*marker, error) {
	path := filepath.Join(dir, markerFile)
	m := &marker{}
	if found, err := readChecked(dir, markerFile, m); err != nil || !found {
		return nil, err
	}
	if m.Version < 1 || m.Version > markerVersion {
		return nil, fmt.Errorf("raftlog: %s has version %d, this program knows 1 to %d", path, m.Version, markerVersion)
	}
	return m, nil
}

// writeMarker replaces the marker atomically and durably.
func writeMarker(dir string, m *marker) error {
	out := *m
	out.Version = markerVersion
	return writeChecked(dir, markerFile, &out)
}

// markers is the snapshot store of hashicorp/raft.
type markers struct {
	dir string
	// admit judges a marker that another node sent; see Node.admit.
	admit func(*marker) error
	// last returns the last index of the log.
	last   func() uint64
	stalls *stalls

	// write serialises changes of the file. It is taken before mu.
	write sync.Mutex
	mu    struct {
		sync.Mutex
		current  *marker // nil for nothing: what raft begins with, and what a leader sends
		incoming *marker // one that another node sent, between Close and Restore
		index    Index   // of the last marker on disk: the log must reach down to it
	}
}

var _ raft.SnapshotStore = (*markers)(nil)

// limit returns the highest index that compaction may delete on this node's
// own account.
func (s *markers) limit() Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.index
}

// begin sets the marker that raft begins with.
func (s *markers) begin(m *marker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.current = m
}

// now returns the current marker, nil if there is none. It is not changed.
func (s *markers) now() *marker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.current
}

// replace writes m and makes it the current marker.
func (s *markers) replace(m *marker) error {
	end := s.stalls.begin(opMarker)
	err := writeMarker(s.dir, m)
	end()
	if err != nil {
		return fmt.Errorf("raftlog: writing the marker: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.current, s.mu.index = m, Index(m.Index)
	return nil
}

func (m *marker) id() string { return fmt.Sprintf("%d-%d", m.Term, m.Index) }

// meta is m as raft sees it.
func (m *marker) meta(id string) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version:            1,
		ID:                 id,
		Index:              m.Index,
		Term:               m.Term,
		Configuration:      raft.Configuration{Servers: m.Servers},
		ConfigurationIndex: m.ConfigIndex,
	}
}

// List tells raft where to begin, and a leader what it can send.
func (s *markers) List() ([]*raft.SnapshotMeta, error) {
	m := s.now()
	if m == nil {
		return nil, nil
	}
	return []*raft.SnapshotMeta{m.meta(m.id())}, nil
}

// Open returns the marker that a leader sends or, with the ID of a sink that
// took one, that one. A marker has no contents.
func (s *markers) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mu.current
	if in := s.mu.incoming; in != nil && incomingID(in) == id {
		m = in
	}
	if m == nil {
		return nil, nil, fmt.Errorf("raftlog: there is no marker %s", id)
	}
	return m.meta(id), io.NopCloser(strings.NewReader("")), nil
}

func incomingID(m *marker) string { return "incoming-" + m.id() }

// Create begins a marker: for an entry that was handed to the state machine
// (fsmSnapshot.Persist says so), or one that another node sends.
func (s *markers) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &markerSink{s: s, m: marker{Index: index, Term: term, ConfigIndex: configIndex, Servers: c.Servers}}, nil
}

// markerSink is one marker in the making: fsmSnapshot.Persist fills it in,
// Close writes it.
type markerSink struct {
	s    *markers
	m    marker
	own  bool // of this node's own state; set by fsmSnapshot.Persist
	done bool
}

func (k *markerSink) ID() string { return incomingID(&k.m) }

func (k *markerSink) Write(b []byte) (int, error) {
	return 0, errors.New("raftlog: a marker has no contents")
}

func (k *markerSink) Cancel() error {
	k.done = true
	return nil
}

// Close writes the marker, unless the one on disk is as far already. One that
// another node sent is only judged: fsm.Restore goes on with it.
func (k *markerSink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if k.own {
		return k.s.put(&k.m)
	}
	if err := k.s.admit(&k.m); err != nil {
		return err
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.s.mu.incoming = &k.m
	return nil
}

// put writes a marker of this node's own state.
func (s *markers) put(m *marker) error {
	s.write.Lock()
	defer s.write.Unlock()
	if Index(m.Index) <= s.limit() {
		return nil
	}
	if old := s.now(); old != nil && old.Installed > s.last() {
		m.Installed = old.Installed
	}
	return s.replace(m)
}

// settle drops the permission for the log to end before the state, once it no
// longer does.
func (s *markers) settle() error {
	s.write.Lock()
	defer s.write.Unlock()
	m := s.now()
	if m == nil || m.Installed == 0 || s.last() < m.Installed {
		return nil
	}
	settled := *m
	settled.Installed = 0
	return s.replace(&settled)
}

// takeIncoming returns the marker that is to be installed now.
func (s *markers) takeIncoming() *marker {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mu.incoming
	s.mu.incoming = nil
	return m
}
