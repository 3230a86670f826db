package logstoretest

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is what a disk writes as one.
const sector = 512

// Fate is what becomes of what was not synced.
type Fate int

// The fates.
const (
	Lost  Fate = iota // all of it is gone
	Kept              // all of it is there
	Short             // each file has its changes up to some byte
	Torn              // each sector is there or not
	fates
)

// AnyFate chooses one of the fates.
func AnyFate(rng *rand.Rand) Fate { return Fate(rng.IntN(int(fates))) }

// PowerLoss returns what is found when the power is back. Nothing may change the
// FS meanwhile: it is off, held, or idle.
func (f *FS) PowerLoss(fate Fate, rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := maps.Clone(f.mu.now)
	maps.Copy(names, f.mu.durable)
	after := New()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n, was := f.mu.now[name], f.mu.durable[name]
		if n != was && (fate == Lost || fate != Kept && rng.IntN(2) == 0) {
			n = was
		}
		if n == nil {
			continue
		}
		b := n.after(fate, rng)
		after.mu.now[name] = &node{now: b, durable: bytes.Clone(b)}
	}
	after.mu.durable = maps.Clone(after.mu.now)
	return after
}

// after returns a file's bytes after the power was lost.
func (n *node) after(fate Fate, rng *rand.Rand) []byte {
	b := bytes.Clone(n.durable)
	pending := n.pending
	switch fate {
	case Lost:
		return b
	case Short:
		if len(pending) == 0 {
			return b
		}
		k := rng.IntN(len(pending))
		cut := pending[k]
		cut.data = cut.data[:upToSector(cut.off, rng.IntN(len(cut.data)+1), len(cut.data))]
		pending = append(slices.Clone(pending[:k]), cut)
	case Torn:
		var torn []change
		for _, c := range pending {
			torn = append(torn, c.tear(rng)...)
		}
		pending = torn
	}
	for _, c := range pending {
		b = c.apply(b)
	}
	return b
}

// upToSector moves the end of a cut change to the end of a sector: a sector is
// written whole or not at all.
func upToSector(off int64, n, whole int) int {
	end := (off + int64(n)) / sector * sector
	switch {
	case n == whole:
		return n
	case end < off:
		return 0
	}
	return int(end - off)
}

// tear returns the sectors of a change that got to the disk.
func (c *change) tear(rng *rand.Rand) []change {
	if c.resize {
		if rng.IntN(2) == 0 {
			return nil
		}
		return []change{*c}
	}
	var kept []change
	for off, data := c.off, c.data; len(data) > 0; {
		n := min(int64(len(data)), sector-off%sector)
		if rng.IntN(2) == 0 {
			kept = append(kept, change{off: off, data: data[:n]})
		}
		off, data = off+n, data[n:]
	}
	return kept
}

// Killed returns what the next process finds when this one was killed: all that
// it wrote, and what of it is durable as before. The old FS must be off, or not be
// used any more.
func (f *FS) Killed() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := New()
	after.mu.now, after.mu.durable = maps.Clone(f.mu.now), maps.Clone(f.mu.durable)
	return after
}
