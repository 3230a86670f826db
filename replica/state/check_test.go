package state_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// damage returns a change of one record, for the tests that plant some.
func damage(t *testing.T, h *harness, key []byte, change func([]byte) []byte) {
	t.Helper()
	v, err := h.s.Record(key)
	if err != nil {
		t.Fatal(err)
	}
	h.setRecord(key, change(slices.Clone(v)))
}

func flip(at int) func([]byte) []byte {
	return func(v []byte) []byte {
		v[at] ^= 1
		return v
	}
}

func gone([]byte) []byte { return nil }

// A sound state has no findings, and what it has is counted.
func TestCheckDir_Sound(t *testing.T) {
	h := planted(t)
	digest, index, _ := h.s.RunningDigest()
	inodes, bytes := h.s.Stats()
	h.close()
	var told uint64
	r, err := state.CheckDir(t.Context(), "db", h.opts, state.ScanOptions{Progress: func(records, _ uint64) { told = records }})
	if err != nil || len(r.Findings) != 0 || r.TotalFindings != 0 {
		t.Fatalf("%+v, %v", r.Findings, err)
	}
	if r.Digest != digest || r.Index != index || r.Inodes != inodes || r.Bytes != bytes || told != r.Records || told == 0 {
		t.Errorf("%+v, told of %d records", r, told)
	}
}

// Each kind of damage is found and named.
func TestCheckDir_FindsDamage(t *testing.T) {
	const (
		dir, file, big = vfs.Ino(2), vfs.Ino(3), vfs.Ino(23)
		nlink          = 2 + 4 // of an inode's record: the field's head, then type and mode
		size, used     = 2 + 20, 2 + 28
		parent         = 2 + 60
	)
	for _, c := range []struct {
		name, kind string
		key        []byte
		change     func([]byte) []byte
	}{
		{"format", state.FindFormat, []byte{0x77, 0, 0, 0, 1}, func([]byte) []byte { return []byte("?") }},
		{"record", state.FindRecord, state.InodeKey(file), func(v []byte) []byte { return v[:5] }},
		{"link count", state.FindLinks, state.InodeKey(file), flip(nlink + 3)},
		{"parent", state.FindParent, state.InodeKey(dir), flip(parent + 7)},
		{"lost directory", state.FindName, state.InodeKey(dir), gone},
		{"lost inode", state.FindName, state.InodeKey(file), gone},
		{"orphaned data", state.FindOrphan, state.InodeKey(file), gone},
		{"lost name", state.FindOrphan, state.DirentKey(dir, "f0"), gone},
		{"lost name's count", state.FindCount, state.DirentKey(dir, "f0"), gone},
		{"lost name's cookie", state.FindCookie, state.DirentKey(dir, "f0"), gone},
		{"other cookie", state.FindCookie, state.DirentKey(dir, "f0"), flip(15)},
		{"flipped block", state.FindBlock, state.BlockKey(uint64(big), 3), flip(40)},
		{"size", state.FindBlock, state.InodeKey(big), func(v []byte) []byte { v[size+5] = 0; return v }},
		{"lost block", state.FindUsed, state.BlockKey(uint64(big), 3), gone},
		{"lost block's sum", state.FindSums, state.BlockKey(uint64(big), 3), gone},
		{"extent", state.FindSums, state.ExtentKey(uint64(big), 1), flip(9)},
		{"lost extent", state.FindSums, state.ExtentKey(uint64(big), 1), gone},
		{"used", state.FindUsed, state.InodeKey(big), flip(used + 7)},
		{"volume", state.FindVolume, state.InodeKey(file), gone},
		{"exports", state.FindTable, state.ExportKey(0), gone},
		{"digest", state.FindDigest, state.BucketKey(0), flip(3)},
		{"any change", state.FindDigest, state.MemberKey("a"), gone},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := planted(t)
			damage(t, h, c.key, c.change)
			h.close()
			r, err := state.CheckDir(t.Context(), "db", h.opts, state.ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, f := range r.Findings {
				kinds = append(kinds, f.Kind)
				if f.What == "" {
					t.Errorf("a finding of kind %s says nothing", f.Kind)
				}
			}
			if !slices.Contains(kinds, c.kind) {
				t.Errorf("found %v, want %s among it: %v", kinds, c.kind, r.Findings)
			}
		})
	}
}

// Directories that are in one another are cut off from the root, though each of
// them has a name.
func TestCheckDir_Loop(t *testing.T) {
	h := open(t, 512)
	a := h.mkdir(h.root(), "a", 0o755)
	b := h.mkdir(a, "b", 0o755)
	damage(t, h, state.InodeKey(a.Ino), func(v []byte) []byte {
		v[2+60+7] = byte(b.Ino)
		return v
	})
	h.close()
	r, err := state.CheckDir(t.Context(), "db", h.opts, state.ScanOptions{})
	if err != nil || !slices.ContainsFunc(r.Findings, func(f state.Finding) bool { return strings.Contains(f.What, "no way leads from") }) {
		t.Errorf("%v, %v", r.Findings, err)
	}
}

// A check ends when it is told to, and does not take that for a verdict.
func TestCheckDir_Interrupted(t *testing.T) {
	h := planted(t)
	h.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := state.CheckDir(ctx, "db", h.opts, state.ScanOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A quarantine survives until it is cleared, and a torn file is one too.
func TestQuarantine(t *testing.T) {
	h := open(t, 512)
	if q, err := state.ReadQuarantine("db", h.opts); q != nil || err != nil {
		t.Fatalf("%v, %v", q, err)
	}
	want := state.Quarantine{Cause: state.CauseScan, Detail: "bucket 7", Index: 9}
	if err := state.WriteQuarantine("db", h.opts, want); err != nil {
		t.Fatal(err)
	}
	h.reopen() // Pebble lets the file be.
	if q, err := state.ReadQuarantine("db", h.opts); err != nil || q == nil || *q != want {
		t.Fatalf("%v, %v", q, err)
	}
	if err := state.ClearQuarantine("db", h.opts); err != nil {
		t.Fatal(err)
	}
	if q, err := state.ReadQuarantine("db", h.opts); q != nil || err != nil {
		t.Errorf("%v, %v", q, err)
	}
}

// A state that follows the log without applying it knows the log's age, and has not
// changed.
func TestFollow(t *testing.T) {
	h := open(t, 512)
	h.create(h.root(), "f", 0o644)
	age, digest := h.s.Age(), h.digest()
	cmd := command.Command{Header: command.Header{Volume: testVolume, Time: h.s.LastTime() + 1000, Cred: vfs.Root}, Op: &command.Nop{}}
	_, _, term := h.s.RunningDigest()
	h.s.Follow(term, []command.Command{cmd})
	if got := h.s.Age(); got != age+1000 {
		t.Errorf("the age is %d, want %d", got, age+1000)
	}
	if got := h.digest(); got != digest {
		t.Errorf("the digest was %v and is %v", digest, got)
	}
	h.reopen()
	if got := h.s.Age(); got != age {
		t.Errorf("after a restart the age is %d, want %d", got, age)
	}
}
