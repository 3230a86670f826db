package state_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// A state of another format version is refused with one line, and stays as it
// was.
func TestOpen_OtherFormat(t *testing.T) {
	for _, version := range []uint32{0, state.FormatVersion + 1, 1 << 30} {
		h := open(t, 512)
		h.plant(state.FormatKey(), binary.BigEndian.AppendUint32(nil, version))
		for range 2 { // Refusing must not change what the next start finds.
			_, err := state.Open("db", h.opts)
			if !errors.Is(err, state.ErrFormat) || strings.Contains(err.Error(), "\n") {
				t.Errorf("version %d: %v", version, err)
			}
		}
	}
}

// plant writes a raw record and closes the state.
func (h *harness) plant(key, value []byte) {
	h.t.Helper()
	h.setRecord(key, value)
	h.close()
}

func (h *harness) setRecord(key, value []byte) {
	h.t.Helper()
	if err := h.s.SetRecord(key, value); err != nil {
		h.t.Fatal(err)
	}
}

// A directory with another program's store is refused.
func TestOpen_NoFormatRecord(t *testing.T) {
	h := open(t, 512)
	h.plant(state.FormatKey(), nil)
	if _, err := state.Open("db", h.opts); !errors.Is(err, state.ErrFormat) {
		t.Errorf("got %v", err)
	}
}

// Damage is an error that wraps vfs.ErrCorrupt, never a verdict.
func TestOpen_DamagedRecords(t *testing.T) {
	for name, key := range map[string][]byte{
		"format":  state.FormatKey(),
		"applied": state.AppliedKey(),
		"volume":  state.SuperKey(),
	} {
		h := open(t, 512)
		h.plant(key, []byte("?"))
		if _, err := state.Open("db", h.opts); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A damaged inode stops reads of it, and stops apply for good: no later entry
// may be applied over one that was not.
func TestCorrupt_InodeFailsStop(t *testing.T) {
	for name, value := range map[string][]byte{
		"gone":           nil,
		"short":          {1, 68, 0},
		"bad type":       append([]byte{1, 68, 99}, make([]byte, 67)...),
		"tags backwards": append(append([]byte{2, 0}, 1, 68, 1), make([]byte, 67)...),
	} {
		h := open(t, 512)
		f := h.create(h.root(), "f", 0o644)
		if err := h.s.SetRecord(state.InodeKey(f.Ino), value); err != nil {
			t.Fatal(err)
		}
		state.DropInode(h.s, f.Ino)
		if _, err := h.s.Lookup(vfs.Root, h.root(), "f"); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: lookup: %v", name, err)
		}
		if _, err := h.s.ReadDir(vfs.Root, h.root(), 0, true, 10); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: readdir: %v", name, err)
		}
		before, _ := h.s.Applied()
		_, err := h.tryApply(
			h.command(vfs.Root, &vfs.OpMkdir{Dir: h.root(), Name: "half"}),
			h.command(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: "f"}))
		if !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: apply: %v", name, err)
		}
		if _, err := h.tryApply(h.command(vfs.Root, &command.Nop{})); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%s: apply goes on: %v", name, err)
		}
		if after, _ := h.s.Applied(); after != before {
			t.Errorf("%s: applied moved from %d to %d", name, before, after)
		}
		if _, kind := h.lookup(h.root(), "half"); kind != vfs.NotExist {
			t.Errorf("%s: half of the entry was applied", name)
		}
	}
}

// A parent loop, which only damage can make, ends in an error.
func TestCorrupt_ParentLoop(t *testing.T) {
	h := open(t, 512)
	a := h.mkdir(h.root(), "a", 0o755)
	b := h.mkdir(a, "b", 0o755)
	c := h.mkdir(h.root(), "c", 0o755)
	v, err := h.s.Record(state.InodeKey(a.Ino))
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(v[2+60:], uint64(b.Ino)) // The parent of a is b now.
	if err := h.s.SetRecord(state.InodeKey(a.Ino), v); err != nil {
		t.Fatal(err)
	}
	state.DropInode(h.s, a.Ino)
	_, err = h.tryApply(h.command(vfs.Root, &vfs.OpRename{FromDir: h.root(), FromName: "c", ToDir: b, ToName: "c"}))
	if !errors.Is(err, vfs.ErrCorrupt) || c == a {
		t.Errorf("got %v", err)
	}
}

// Fields that a newer version added to an inode stay when this one rewrites it.
func TestInode_KeepsUnknownFields(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	key := state.InodeKey(f.Ino)
	v, err := h.s.Record(key)
	if err != nil {
		t.Fatal(err)
	}
	extra := []byte{200, 3, 'n', 'e', 'w', 201, 0}
	if err := h.s.SetRecord(key, append(v, extra...)); err != nil {
		t.Fatal(err)
	}
	state.DropInode(h.s, f.Ino)
	h.write(f, 0, "data")
	v, err = h.s.Record(key)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(v), string(extra)) {
		t.Errorf("record %x lost %x", v, extra)
	}
}

// Before the volume is formatted there is nothing to read or change, and a
// second format has no effect.
func TestFormat_Once(t *testing.T) {
	o := testOptions(newMem())
	h := openOn(t, o, 0)
	if _, err := h.s.Volume(); !errors.Is(err, vfs.ErrNotReady) {
		t.Errorf("volume: %v", err)
	}
	if _, err := h.s.GetAttr(h.root()); !errors.Is(err, vfs.ErrNotReady) {
		t.Errorf("getattr: %v", err)
	}
	if r := h.do(vfs.Root, &vfs.OpMkdir{Dir: h.root(), Name: "d"}); r.Kind != vfs.Stale {
		t.Errorf("mkdir: %v", r.Kind)
	}
	for _, bs := range []uint32{0, 511, 1000, 2 << 20} {
		if r := h.apply(h.command(vfs.Root, formatOp(bs)))[0]; r.Kind != vfs.Invalid {
			t.Errorf("block size %d: %v", bs, r.Kind)
		}
	}
	f := formatOp(4096)
	f.RootUID, f.RootGID, f.RootMode = 5, 6, 0o1770
	r := h.apply(h.command(vfs.Root, f))[0]
	if r.Kind != vfs.OK || r.Attr.UID != 5 || r.Attr.GID != 6 || r.Attr.Mode != 0o1770 || r.Attr.Ref != h.root() {
		t.Errorf("format: %+v", r)
	}
	other := formatOp(512)
	other.UUID[0]++
	if r := h.apply(h.command(vfs.Root, other))[0]; r.Kind != vfs.Exist {
		t.Errorf("second format: %v", r.Kind)
	}
	h.reopen()
	v, err := h.s.Volume()
	want := vfs.Volume{ID: testVolume, UUID: f.UUID, HandleKey: f.HandleKey, BlockSize: 4096}
	if err != nil || v != want {
		t.Errorf("volume %+v, %v", v, err)
	}
	if inodes, bytes := h.s.Stats(); inodes != 1 || bytes != 0 {
		t.Errorf("%d inodes, %d bytes", inodes, bytes)
	}
}

func TestClosed(t *testing.T) {
	h := open(t, 512)
	s := h.s
	h.close()
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_, err1 := s.GetAttr(h.root())
	err2 := s.Flush()
	_, err3 := s.ScanDigest()
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, vfs.ErrShutdown) {
			t.Errorf("after close: %v", err)
		}
	}
}

// Keys of the reserved tables are none of those in use, and the digest covers
// them, since they will be replicated; what is local it leaves out.
func TestDigest_Covers(t *testing.T) {
	h := open(t, 512)
	before := h.digest()
	h.setRecord(state.LocalForeignKey(), []byte("x"))
	if h.digest() != before {
		t.Error("a local record changed the digest")
	}
	for _, key := range state.ReservedKeys() {
		h.setRecord(key, []byte("x"))
		if r, err := h.s.ScanDigest(); err != nil || r.Scanned == before || r.Running != before {
			t.Errorf("record %x did not change the digest: %v", key, err)
		}
		h.setRecord(key, nil)
	}
	if h.digest() != before {
		t.Error("the digest did not come back")
	}
}
