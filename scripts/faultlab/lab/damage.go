package lab

import (
	"bytes"
	"errors"
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
	TableFlip        // a bit in the midst of a table of the state is another one
)

// damages says for each kind which files it befalls, and what is done to them: spoil gets the last of them in order, or each if it looks for a content,
// which only TableFlip does. The node must then say so in its log, and cause is what it must give in its status; empty for damage to the log.
var damages = map[Damage]struct {
	files string
	spoil func(path string) error
	says  string
	cause string
}{
	LogFlip:   {files: "log/wal/*.wal", spoil: flip, says: "the log was damaged"},
	StateLost: {files: "volume/MANIFEST-*", spoil: os.Remove, says: "this node's copy of the volume cannot be opened", cause: "unopened"},
	TableFlip: {files: "volume/*.sst", says: "this node's copy of the volume is out of use", cause: "unreadable"},
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

// flipContent changes a bit of a content in every file that has it.
func flipContent(files []string, content []byte) error {
	found := false
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := bytes.Index(b, content)
		if at < 0 {
			continue
		}
		found = true
		b[at+len(content)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("what was to be damaged is in no table: was it written out?")
	}
	return nil
}

// Spoil damages the files of a node that is down, at a content if the damage is a TableFlip, and watches what the node says when it is started again.
func (l *Lab) Spoil(n Node, d Damage, content []byte) (*Spoiled, error) {
	m, what := l.members[n], damages[d]
	if m.running() {
		return nil, fmt.Errorf("%s runs", n)
	}
	files, err := filepath.Glob(filepath.Join(l.stateDir(n), what.files))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no %s", n, what.files)
	}
	if what.spoil == nil {
		err = flipContent(files, content)
	} else {
		err = what.spoil(files[len(files)-1])
	}
	if err != nil {
		return nil, err
	}
	before, err := os.ReadFile(m.log)
	if err != nil {
		return nil, err
	}
	return l.watch(n, d, len(before)), nil
}
