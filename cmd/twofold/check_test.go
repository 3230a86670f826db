package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// storedCopy makes a copy of a volume with one file and returns the directory of
// its node.
func storedCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := state.Open(filepath.Join(dir, volumeDir), state.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range []any{
		&command.Format{BlockSize: 4096, RootMode: 0o755},
		&vfs.OpCreate{Dir: vfs.RootRef(), Name: "f", Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o644}},
	} {
		cmd := command.Command{Header: command.Header{Volume: 1, Time: vfs.Time(i + 1), Cred: vfs.Root}, Op: op}
		res, err := s.Apply(uint64(i+1), 1, []command.Command{cmd})
		if err != nil || res[0].Kind != vfs.OK {
			t.Fatal(res, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// loseRoot removes the record of the root directory.
func loseRoot(t *testing.T, dir string) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, volumeDir), &pebble.Options{DisableWAL: true, FormatMajorVersion: pebble.FormatTableFormatV6})
	if err != nil {
		t.Fatal(err)
	}
	key := binary.BigEndian.AppendUint64([]byte{0x11, 0, 0, 0, 1}, uint64(vfs.RootIno))
	if err := errors.Join(db.Delete(key, pebble.NoSync), db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// checked runs the command on a directory.
func checked(t *testing.T, dir, decide string) (code int, out string) {
	t.Helper()
	var o, progress bytes.Buffer
	err := checkCopy(context.Background(), filepath.Join(dir, volumeDir), decide, &o, &progress)
	if err == nil {
		return exitOK, o.String()
	}
	var c exitCode
	if errors.As(err, &c) {
		return int(c), o.String()
	}
	return exitUnknown, o.String() + err.Error()
}

func TestCheck_Verdicts(t *testing.T) {
	dir := storedCopy(t)
	if code, out := checked(t, dir, ""); code != exitOK || !strings.Contains(out, "sound: 2 inodes") {
		t.Errorf("a sound copy: %d, %s", code, out)
	}
	loseRoot(t, dir)
	code, out := checked(t, dir, "")
	if code != exitError || !strings.Contains(out, "DAMAGED") || !strings.Contains(out, "no root directory") || !strings.Contains(out, "digest:") {
		t.Errorf("a damaged copy: %d, %s", code, out)
	}
	if code, out := checked(t, t.TempDir(), ""); code != exitUnknown || !strings.Contains(out, "directory of a data node") {
		t.Errorf("no copy: %d, %s", code, out)
	}
}

// A copy that a node has open is not walked.
func TestCheck_RunningNode(t *testing.T) {
	dir := storedCopy(t)
	s, err := state.Open(filepath.Join(dir, volumeDir), state.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if code, out := checked(t, dir, ""); code != exitUnknown || !strings.Contains(out, "twofold scrub") {
		t.Errorf("%d, %s", code, out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// An operator's word ends a quarantine, but not against what the check found.
func TestCheck_Decide(t *testing.T) {
	dir := storedCopy(t)
	copyDir := filepath.Join(dir, volumeDir)
	if code, out := checked(t, dir, decideSound); code != exitUnknown || !strings.Contains(out, "nothing to decide") {
		t.Errorf("%d, %s", code, out)
	}
	undecided := state.Quarantine{Cause: state.CauseUndecided, Detail: "they differ", Index: 2}
	if err := state.WriteQuarantine(copyDir, state.Options{}, undecided); err != nil {
		t.Fatal(err)
	}
	if code, out := checked(t, dir, decideDamaged); code != exitOK || !strings.Contains(out, "out of use (undecided)") {
		t.Errorf("%d, %s", code, out)
	}
	if q, err := state.ReadQuarantine(copyDir, state.Options{}); err != nil || q == nil || !q.Cause.Damaged() {
		t.Errorf("%+v, %v", q, err)
	}
	if code, out := checked(t, dir, decideSound); code != exitOK || !strings.Contains(out, "use this copy again") {
		t.Errorf("%d, %s", code, out)
	}
	if q, err := state.ReadQuarantine(copyDir, state.Options{}); err != nil || q != nil {
		t.Errorf("%+v, %v", q, err)
	}
	if err := state.WriteQuarantine(copyDir, state.Options{}, undecided); err != nil {
		t.Fatal(err)
	}
	loseRoot(t, dir)
	if code, out := checked(t, dir, decideSound); code != exitUnknown || !strings.Contains(out, "found damage") {
		t.Errorf("%d, %s", code, out)
	}
}

// There is nothing to decide of an empty copy, and to use it would lose the volume.
func TestCheck_DecideUnopened(t *testing.T) {
	dir := storedCopy(t)
	copyDir := filepath.Join(dir, volumeDir)
	if _, err := state.SetAside(copyDir, state.Options{}, errors.New("test")); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{decideSound, decideDamaged} {
		if code, out := checked(t, dir, word); code != exitUnknown || !strings.Contains(out, "empty copy") {
			t.Errorf("%s: %d, %s", word, code, out)
		}
	}
	if q, err := state.ReadQuarantine(copyDir, state.Options{}); err != nil || q == nil || q.Cause != state.CauseUnopened {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestStatus_Quarantine(t *testing.T) {
	s := wellStatus()
	s.Integrity = &integrityStatus{Agreed: 7, Quarantine: &state.Quarantine{Cause: state.CauseUndecided, Detail: "they differ"}}
	measure(s.Members)
	s.judge()
	text := strings.Join(s.Problems, "\n")
	if s.Health != degraded || !strings.Contains(text, "a person has to decide") || !strings.Contains(text, "they differ") {
		t.Errorf("%s: %s", s.Health, text)
	}
	s.Integrity.Quarantine.Cause = state.CauseScan
	s.Integrity.Refetch = "waiting: b is away"
	s.judge()
	if text := strings.Join(s.Problems, "\n"); !strings.Contains(text, "until it has another copy") || !strings.Contains(text, "b is away") {
		t.Errorf("%s", text)
	}
	s.Integrity = &integrityStatus{Disputed: 5}
	s.judge()
	if text := strings.Join(s.Problems, "\n"); s.Health != degraded || !strings.Contains(text, "differ at entry 5") {
		t.Errorf("%s", text)
	}
}
