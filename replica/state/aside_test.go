package state_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"twofold/replica/state"
	"twofold/replica/vfs"
)

// badFS fails to open the files that have something in their names.
type badFS struct {
	pebblevfs.FS
	name string
	err  error
}

func (b badFS) Open(name string, o ...pebblevfs.OpenOption) (pebblevfs.File, error) {
	if strings.Contains(name, b.name) {
		return nil, b.err
	}
	return b.FS.Open(name, o...)
}

// What a person or another process has to do with is no damage: the copy is not
// given up for it, and stays as it was.
func TestOpen_NotDamage(t *testing.T) {
	for _, errno := range []error{syscall.EACCES, syscall.EPERM, syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.EAGAIN} {
		h := open(t, 512)
		h.create(h.root(), "f", 0o644)
		h.close()
		bad := h.opts
		bad.FS = badFS{h.opts.FS, "MANIFEST", errno}
		if _, err := state.Open("db", bad); !errors.Is(err, errno) || errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("%v: %v", errno, err)
		}
		h.reopen()
		if _, kind := h.lookup(h.root(), "f"); kind != vfs.OK {
			t.Errorf("%v: the file: %v", errno, kind)
		}
	}
	h := open(t, 512)
	if _, err := state.Open("db", h.opts); err == nil || errors.Is(err, vfs.ErrCorrupt) {
		t.Errorf("a state that is open: %v", err)
	}
}

// A store that lost the file which names its manifest is not taken for an empty
// directory, whose tables Pebble would delete.
func TestOpen_MarkerLost(t *testing.T) {
	h := open(t, 512)
	h.create(h.root(), "f", 0o644)
	h.close()
	names, err := h.opts.FS.List("db")
	if err != nil {
		t.Fatal(err)
	}
	removeMarker(t, h)
	for range 2 {
		if _, err := state.Open("db", h.opts); !errors.Is(err, vfs.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
	kept, err := state.SetAside("db", h.opts, errors.New("test"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := h.opts.FS.List(kept)
	if err != nil || len(left) != len(names)-1 {
		t.Errorf("kept are %v, %v; there were %v", left, err, names)
	}
	h.reopen()
	q, err := state.ReadQuarantine("db", h.opts)
	if err != nil || q == nil || q.Cause != state.CauseUnopened || !q.Cause.Damaged() || !strings.Contains(q.Detail, kept) {
		t.Errorf("quarantine %+v, %v", q, err)
	}
	if index, _ := h.s.Applied(); index != 0 {
		t.Errorf("applied %d", index)
	}
}

// Setting aside survives a crash before each of its changes on disk: the next start
// finds the damaged state or the empty one in quarantine, and never an empty one that
// passes for good.
func TestSetAside_Crash(t *testing.T) {
	for n := 0; ; n++ {
		h := open(t, 512)
		h.create(h.root(), "f", 0o644)
		h.close()
		removeMarker(t, h)
		cut := &cutFS{FS: h.opts.FS, left: n}
		o := h.opts
		o.FS = cut
		_, err := state.SetAside("db", o, errors.New("test"))
		if !cut.cut && err == nil {
			if n < 3 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
		s, err := state.Open("db", h.opts)
		switch {
		case err == nil:
			q, qerr := state.ReadQuarantine("db", h.opts)
			if qerr != nil || q == nil {
				t.Errorf("step %d: an empty state without a quarantine: %v", n, qerr)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		case !errors.Is(err, vfs.ErrCorrupt):
			t.Errorf("step %d: %v", n, err)
		}
	}
}

func removeMarker(t *testing.T, h *harness) {
	t.Helper()
	names, err := h.opts.FS.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n, "marker.manifest") {
			if err := h.opts.FS.Remove("db/" + n); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var errCut = errors.New("the process is gone")

// cutFS lets so many renames and removals of directories through, and none after.
type cutFS struct {
	pebblevfs.FS
	left int
	cut  bool
}

func (c *cutFS) step() error {
	if c.left == 0 {
		c.cut = true
		return errCut
	}
	c.left--
	return nil
}

func (c *cutFS) Rename(from, to string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.FS.Rename(from, to)
}

func (c *cutFS) RemoveAll(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.FS.RemoveAll(name)
}
