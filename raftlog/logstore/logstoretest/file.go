package logstoretest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
)

// node is the contents of a file: as a process sees them, as the disk has them,
// and the changes in between, in order.
type node struct {
	now     []byte
	durable []byte
	pending []change
}

// change is a write, or a new size.
type change struct {
	off    int64
	data   []byte
	size   int64
	resize bool
}

func (n *node) change(c change) {
	n.now = c.apply(n.now)
	n.pending = append(n.pending, c)
}

func (n *node) sync() {
	for _, c := range n.pending {
		n.durable = c.apply(n.durable)
	}
	n.pending = nil
}

// apply returns b with the change made, in place where it fits.
func (c *change) apply(b []byte) []byte {
	if c.resize {
		return resize(b, c.size)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[c.off:], c.data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		clear(b[size:])
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// file is an open file.
type file struct {
	fs      *FS
	node    *node
	created bool // here, and not yet synced
}

func (h *file) WriteAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	_, err := h.fs.stepLocked(StepWrite)
	if err == nil || errors.Is(err, errPowerNow) {
		// The write at which the power fails may have got to the disk.
		h.node.change(change{off: off, data: bytes.Clone(p)})
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *file) ReadAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if off >= int64(len(h.node.now)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	lie, err := h.fs.stepLocked(StepSync)
	if err != nil {
		return err
	}
	if !lie {
		h.node.sync()
	}
	if h.created {
		h.created = false
		return h.fs.syncDirLocked()
	}
	return nil
}

// Close does nothing: neither does the operating system's make anything
// durable.
func (h *file) Close() error { return nil }

// ReadWhole reads a file that another goroutine may be writing, as it was at one
// moment: bbolt's transaction numbers only rise, so that two readings that are
// the same had no write in between.
func ReadWhole(path string) ([]byte, error) {
	var last []byte
	for first := true; ; first = false {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !first && slices.Equal(b, last) {
			return b, nil
		}
		last = b
	}
}
