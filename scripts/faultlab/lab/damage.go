package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Damage is what the disk of a node that is down does to its files.
type Damage int

// The kinds.
const (
	NoDamage  Damage = iota
	LogFlip          // a bit of an entry in the log is another one
	StateLost        // the state's list of its tables is gone, so that it cannot be opened
)

// damages says for each kind which files it befalls, what is done to one of them, and what the node says of it in its log.
var damages = map[Damage]struct {
	files string
	spoil func(path string) error
	says  string
}{
	LogFlip:   {"log/wal/*.wal", flip, "the log was damaged"},
	StateLost: {"volume/MANIFEST-*", os.Remove, "this node's copy of the volume cannot be opened"},
}

// firstEntry is a byte in the first entry of a log's segment.
const firstEntry = 60

// flip changes a bit of a segment's first entry.
func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(b) < firstEntry+8 || !slices.ContainsFunc(b[firstEntry-8:firstEntry+8], func(x byte) bool { return x != 0 }) {
		return fmt.Errorf("%s holds nothing at byte %d", path, firstEntry)
	}
	b[firstEntry] ^= 1
	return os.WriteFile(path, b, 0o600)
}

// Spoil damages the files of a node that is down. The returned function tells whether the node has said so since.
func (l *Lab) Spoil(n Node, d Damage) (noticed func() bool, err error) {
	m, what := l.members[n], damages[d]
	if m.running() {
		return nil, fmt.Errorf("%s runs", n)
	}
	files, err := filepath.Glob(filepath.Join(l.stateDir(n), what.files))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s has no %s: %w", n, what.files, err)
	}
	if err := what.spoil(files[len(files)-1]); err != nil {
		return nil, err
	}
	before, err := os.ReadFile(m.log)
	if err != nil {
		return nil, err
	}
	return func() bool {
		now, err := os.ReadFile(m.log)
		return err == nil && len(now) > len(before) && bytes.Contains(now[len(before):], []byte(what.says))
	}, nil
}
