package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"twofold/raftlog/identity"
	"twofold/raftlog/logstore"
	"twofold/raftlog/transport"
	"twofold/replica/command"
	"twofold/replica/state"
)

// logStores are what log_store may say; the first is the default.
var logStores = []string{string(logstore.WAL), string(logstore.Bolt)}

// formatVersion is the version of one thing that is stored or sent.
type formatVersion struct {
	name    string
	version int
}

// formatVersions are the versions that this program writes.
func formatVersions() []formatVersion {
	return []formatVersion{
		{"identity", identity.Format},
		{"command", command.Version},
		{"state", state.FormatVersion},
	}
}

// commonFormat is what the members of a cluster must agree on. Two that apply the
// log by different rules would come to different copies, and neither could tell.
// What nodes forward to each other changes with it, too.
var commonFormat = transport.Range{Min: state.FormatVersion, Max: state.FormatVersion}

// formatsFile is in a node's directory and says what formats its last program
// wrote. Whoever opens the stores below may change them before it comes to
// their own versions; this file is read before anything is opened.
const formatsFile = "formats.json"

// maxFormatsBytes bounds what is read of it.
const maxFormatsBytes = 4 << 10

// checkFormats refuses a directory that a newer program wrote. A directory
// without the file was formatted and never served.
func checkFormats(dir string) error {
	recorded, err := readFormats(dir)
	if err != nil {
		return err
	}
	for _, f := range formatVersions() {
		if got := recorded[f.name]; got > f.version {
			return fmt.Errorf("directory %s: a newer twofold wrote it (%s format %d, and this one knows %d): start that newer twofold",
				dir, f.name, got, f.version)
		}
	}
	return nil
}

// recordFormats notes what this program writes, if that is not on record.
func recordFormats(dir string) error {
	recorded, err := readFormats(dir)
	if err != nil {
		return err
	}
	now := map[string]int{}
	for _, f := range formatVersions() {
		now[f.name] = f.version
	}
	if maps.Equal(recorded, now) {
		return nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, formatsFile), append(text, '\n'))
}

func readFormats(dir string) (map[string]int, error) {
	path := filepath.Join(dir, formatsFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFormatsBytes))
	if err != nil {
		return nil, err
	}
	var recorded map[string]int
	if err := json.Unmarshal(text, &recorded); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it from a copy of the directory, or replace this member", path, err)
	}
	return recorded, nil
}

// replaceFile gives a file a new content that is whole after a crash, too: the
// old one or the new one.
func replaceFile(path string, content []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
