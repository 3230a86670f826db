package raftlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

const (
	markerFile    = "marker"
	markerVersion = 1
)

// marker says how far a node's own disk has the effects of the log, so that
// the log before it need not be read again. It is what hashicorp/raft takes for
// a snapshot; the bytes of the state are in the state machine's own store.
type marker struct {
	Version     int
	Index       uint64
	Term        uint64
	Watermark   uint64
	ConfigIndex uint64
	Servers     []raft.Server
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// readMarker returns nil if there is none.
func readMarker(dir string) (*marker, error) {
	path := filepath.Join(dir, markerFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	body, sum, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != checksumLine(body) {
		return nil, fmt.Errorf("%w: %s is damaged", ErrCorrupt, path)
	}
	m := &marker{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	if m.Version != markerVersion {
		return nil, fmt.Errorf("raftlog: %s has version %d, this program knows %d", path, m.Version, markerVersion)
	}
	return m, nil
}

func checksumLine(body []byte) string {
	return fmt.Sprintf("crc32c %08x\n", crc32.Checksum(body, crcTable))
}

// writeMarker replaces the marker atomically and durably.
func writeMarker(dir string, m *marker) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, markerFile)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(string(body) + "\n" + checksumLine(body))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// markers is the snapshot store of hashicorp/raft.
type markers struct {
	dir    string
	stalls *stalls

	mu struct {
		sync.Mutex
		start *marker // what raft is told at its start; nil for nothing
		index Index   // of the last marker on disk: the log must reach down to it
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

// List tells raft where to begin.
func (s *markers) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mu.start
	if m == nil {
		return nil, nil
	}
	return []*raft.SnapshotMeta{{
		Version:            1,
		ID:                 fmt.Sprintf("%d-%d", m.Term, m.Index),
		Index:              m.Index,
		Term:               m.Term,
		Configuration:      raft.Configuration{Servers: m.Servers},
		ConfigurationIndex: m.ConfigIndex,
	}}, nil
}

// Open is refused: a marker has no contents that could be sent.
func (s *markers) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	return nil, nil, fmt.Errorf("raftlog: marker %s has no contents", id)
}

// Create begins a marker for an entry that was handed to the state machine.
// InstallSnapshot, the other caller in hashicorp/raft, never gets through the
// transport.
func (s *markers) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &markerSink{s: s, m: marker{
		Version: markerVersion, Index: index, Term: term,
		ConfigIndex: configIndex, Servers: c.Servers,
	}}, nil
}

// markerSink is one marker in the making: fsmSnapshot.Persist fills it in,
// Close writes it.
type markerSink struct {
	s    *markers
	m    marker
	done bool
}

func (k *markerSink) ID() string { return fmt.Sprintf("%d-%d", k.m.Term, k.m.Index) }

func (k *markerSink) Write(b []byte) (int, error) {
	return 0, errors.New("raftlog: a marker has no contents")
}

func (k *markerSink) Cancel() error {
	k.done = true
	return nil
}

// Close writes the marker, unless the one on disk is as far already.
func (k *markerSink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if Index(k.m.Index) <= k.s.limit() {
		return nil
	}
	end := k.s.stalls.begin(opMarker)
	err := writeMarker(k.s.dir, &k.m)
	end()
	if err != nil {
		return fmt.Errorf("raftlog: writing the marker: %w", err)
	}
	k.s.mu.Lock()
	k.s.mu.index = Index(k.m.Index)
	k.s.mu.Unlock()
	return nil
}
