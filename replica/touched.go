package replica

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"twofold/raftlog"
)

// Limits of what a node remembers of the keys in its log. What is older counts as
// touching everything, which is true enough once it is applied, and otherwise makes
// readers wait too long.
const (
	maxTouchedEntries = 4096
	maxTouchedKeys    = 64 << 10
)

// touched knows which keys the entries in this node's log may alter (rule R9). It
// is told of each entry before anybody learns that this node has it.
//
// It does not forget an entry when it is applied: a reader that found an inode's
// number in a snapshot has to know whether an entry beyond that snapshot touches
// the inode, and such an entry may be applied by the time the reader asks.
type touched struct {
	// high is the last entry that may alter anything at all, or floor.
	high atomic.Uint64
	// cuts counts how often entries were deleted. It changes after high.
	cuts atomic.Uint64

	mu struct {
		sync.Mutex
		last    map[key]raftlog.Index // the last of entries that touches a key
		all     raftlog.Index         // the last of entries that may touch any key
		entries []touchedEntry        // in the order of the log
		keys    int                   // of entries
		floor   raftlog.Index         // what is known of entries up to here is that they may touch any key
		end     raftlog.Index         // the last entry of the log
		cut     chan struct{}         // closed when entries are deleted
	}
}

type touchedEntry struct {
	index raftlog.Index
	touchedKeys
}

func newTouched() *touched {
	t := &touched{}
	t.mu.last = make(map[key]raftlog.Index)
	t.mu.cut = make(chan struct{})
	return t
}

// recovered begins anew with a log that ends with last and of whose entries
// nothing is known.
func (t *touched) recovered(last raftlog.Index) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.entries, t.mu.keys = nil, 0
	t.mu.floor, t.mu.end = last, last
	t.rebuildLocked()
	t.cutLocked()
}

// appended notes entries that are in the log from now on. Entries without data
// alter nothing.
func (t *touched) appended(entries []raftlog.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		switch {
		case e.Index <= t.mu.end: // another entry was there
			t.truncateLocked(e.Index)
		case e.Index > t.mu.end+1: // of those between nothing is known
			t.mu.floor = e.Index - 1
			t.raiseLocked(t.mu.floor)
		}
		t.mu.end = e.Index
		if e.Data == nil {
			continue
		}
		t.addLocked(touchedEntry{e.Index, entryTouches(e.Data)})
	}
}

func (t *touched) addLocked(e touchedEntry) {
	if !e.all && len(e.keys) == 0 {
		return
	}
	t.mu.entries = append(t.mu.entries, e)
	t.mu.keys += len(e.keys)
	t.noteLocked(&e)
	for len(t.mu.entries) > maxTouchedEntries || t.mu.keys > maxTouchedKeys {
		t.forgetLocked()
	}
}

func (t *touched) noteLocked(e *touchedEntry) {
	if e.all {
		t.mu.all = e.index
	}
	for _, k := range e.keys {
		t.mu.last[k] = e.index
	}
	t.raiseLocked(e.index)
}

func (t *touched) raiseLocked(to raftlog.Index) {
	if uint64(to) > t.high.Load() {
		t.high.Store(uint64(to))
	}
}

// forgetLocked drops the oldest entry.
func (t *touched) forgetLocked() {
	e := t.mu.entries[0]
	t.mu.entries[0] = touchedEntry{}
	t.mu.entries = t.mu.entries[1:]
	t.mu.keys -= len(e.keys)
	t.mu.floor = max(t.mu.floor, e.index)
	for _, k := range e.keys {
		if t.mu.last[k] == e.index {
			delete(t.mu.last, k)
		}
	}
}

// truncated notes that the entries from an index on are deleted.
func (t *touched) truncated(from raftlog.Index) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.truncateLocked(from)
}

func (t *touched) truncateLocked(from raftlog.Index) {
	if from == 0 || from > t.mu.end {
		return
	}
	t.mu.end = from - 1
	t.mu.floor = min(t.mu.floor, t.mu.end)
	kept, _ := slices.BinarySearchFunc(t.mu.entries, from, func(e touchedEntry, i raftlog.Index) int {
		return cmp.Compare(e.index, i)
	})
	for _, e := range t.mu.entries[kept:] {
		t.mu.keys -= len(e.keys)
	}
	clear(t.mu.entries[kept:])
	t.mu.entries = t.mu.entries[:kept]
	t.rebuildLocked()
	t.cutLocked()
}

// rebuildLocked finds anew what the entries say together. Readers look at high
// without the lock, so that it must never be lower than it is in the end.
func (t *touched) rebuildLocked() {
	clear(t.mu.last)
	t.mu.all = 0
	high := t.mu.floor
	for i := range t.mu.entries {
		t.noteLocked(&t.mu.entries[i])
		high = t.mu.entries[i].index
	}
	t.high.Store(uint64(high))
}

// cutLocked wakes those who wait for an entry that may be gone.
func (t *touched) cutLocked() {
	t.cuts.Add(1)
	close(t.mu.cut)
	t.mu.cut = make(chan struct{})
}

// cut returns a channel that is closed when entries are deleted next, and how often
// they were before.
func (t *touched) cut() (<-chan struct{}, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.cut, t.cuts.Load()
}

// highest returns the last entry of the log that may alter anything.
func (t *touched) highest() raftlog.Index { return raftlog.Index(t.high.Load()) }

// by returns the last entry of the log that may touch one of keys.
func (t *touched) by(keys ...key) raftlog.Index {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := max(t.mu.all, t.mu.floor)
	for _, k := range keys {
		last = max(last, t.mu.last[k])
	}
	return last
}
