package main

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// fakeTable is an export table as one node's store shows it.
type fakeTable struct {
	mu      sync.Mutex
	table   vfs.ExportTable
	changed chan struct{}
	sets    int
	// before is called once for each SetExports, which then meets what it did.
	before func(*fakeTable)
	// answer, if it is not nil, is called in the place of the change.
	answer  func() (vfs.Result, error)
	readErr error
}

func newFakeTable(version uint64, text string) *fakeTable {
	f := &fakeTable{changed: make(chan struct{})}
	if version > 0 {
		f.put(version, "b", "export apply old", parseExports(text))
	}
	return f
}

// parseExports is for tests' own texts, which are right.
func parseExports(text string) []vfs.Export {
	entries, err := export.Parse(bytes.NewReader([]byte(text)), "test")
	if err != nil {
		panic(err)
	}
	return entries
}

// put sets the table as another node would.
func (f *fakeTable) put(version uint64, by, source string, entries []vfs.Export) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.putLocked(version, by, source, entries)
}

func (f *fakeTable) putLocked(version uint64, by, source string, entries []vfs.Export) {
	f.table = vfs.ExportTable{Version: version, By: by, Source: source, Time: 1, Exports: entries}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeTable) Exports() (vfs.ExportTable, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table, f.changed
}

func (f *fakeTable) ReadExports(context.Context) (vfs.ExportTable, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table, f.readErr
}

func (f *fakeTable) SetExports(_ context.Context, base uint64, entries []vfs.Export, source string) (vfs.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sets++
	if f.before != nil {
		f.before(f)
	}
	if f.answer != nil {
		return f.answer()
	}
	if base != f.table.Version {
		return vfs.Result{Kind: vfs.NotSync}, nil
	}
	f.putLocked(base+1, "a", source, entries)
	return vfs.Result{}, nil
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer = output

// newTestKeeper is a's keeper of a table, with what it logs.
func newTestKeeper(t *testing.T, table *fakeTable, file string) (*exportKeeper, *lockedBuffer) {
	t.Helper()
	log := new(lockedBuffer)
	k := &exportKeeper{
		store:    table,
		enforce:  func(vfs.ExportTable) error { return nil },
		isLeader: func() bool { return true },
		node:     "a",
		file:     file,
		log:      slog.New(slog.NewTextHandler(log, nil)),
		known:    make(chan struct{}),
	}
	if file != "" {
		var err error
		if k.seed, err = readExportsFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return k, log
}
