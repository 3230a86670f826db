package replica

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// The layout of a log entry, byte by byte (docs/formats.md, section 3).
func TestEntry_Format(t *testing.T) {
	for name, c := range map[string]struct {
		t    touchedKeys
		want string
	}{
		"keys": {touchedKeys{keys: []key{nameKey(1, "name"), inodeKey(7), inodeKey(1), inodeKey(7)}},
			"01 0000000000000004 00000003 0000000000000001 0000000000000007 8101acdffe92f6bb 02 0000"},
		"none":       {touchedKeys{}, "01 0000000000000004 00000000 02 0000"},
		"everything": {touchedKeys{all: true, keys: []key{1}}, "01 0000000000000004 ffffffff 02 0000"},
		"too many":   {touchedKeys{keys: manyKeys(maxEntryKeys + 1)}, "01 0000000000000004 ffffffff 02 0000"},
	} {
		want := strings.ReplaceAll(c.want, " ", "")
		if got := hex.EncodeToString(appendEntry(nil, 4, c.t, nil)); got != want {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
}

func manyKeys(n int) []key {
	keys := make([]key, n)
	for i := range keys {
		keys[i] = key(i)
	}
	return keys
}

func TestEntry_RoundTrip(t *testing.T) {
	enc, err := command.Append(nil, &command.Command{Header: command.Header{Volume: 1, Origin: origin(3)}, Op: &command.Nop{}})
	if err != nil {
		t.Fatal(err)
	}
	command.Seal(enc, 5, 6)
	b := appendEntry(nil, 9, touchedKeys{keys: manyKeys(maxEntryKeys)}, [][]byte{enc})
	term, cmds, err := decodeEntry(b)
	if err != nil || term != 9 || len(cmds) != 1 || cmds[0].Origin != origin(3) {
		t.Errorf("term %d, %+v, %v", term, cmds, err)
	}
	if got := entryTouches(b); got.all || !slices.Equal(got.keys, manyKeys(maxEntryKeys)) {
		t.Errorf("all %v, %d keys", got.all, len(got.keys))
	}
}

// An entry of another version is not taken for damage, nor damage for one.
func TestEntry_Errors(t *testing.T) {
	good := appendEntry(nil, 4, touchedKeys{keys: []key{1}}, nil)
	older := append([]byte{0}, good[1:]...) // began with the term
	many := slices.Clone(good)
	many[9] = 1
	for _, c := range []struct {
		b    []byte
		want error
	}{{nil, vfs.ErrCorrupt}, {good[:12], vfs.ErrCorrupt}, {good[:20], vfs.ErrCorrupt}, {many, vfs.ErrCorrupt}, {older, command.ErrUnknown}} {
		if _, _, err := decodeEntry(c.b); !errors.Is(err, c.want) {
			t.Errorf("%x: %v", c.b, err)
		}
	}
}
