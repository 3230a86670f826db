package logstore

import (
	"sort"

	"github.com/hashicorp/raft"
)

// table is what the store knows of its entries without reading them.
//
// Invariant: sizes[i] belongs to index first+i; terms and hidden are sorted;
// terms covers every index from first on.
type table struct {
	first  uint64   // index of sizes[0]; meaningless while sizes is empty
	sizes  []uint32 // payload bytes of each entry
	bytes  uint64   // sum of sizes
	terms  []termRun
	hidden []uint64 // indexes of entries that no state machine ever sees
}

// termRun says that entries from start on have this term, up to the next run.
type termRun struct{ start, term uint64 }

// last returns the last index, 0 if the log is empty.
func (t *table) last() uint64 {
	if len(t.sizes) == 0 {
		return 0
	}
	return t.first + uint64(len(t.sizes)) - 1
}

func (t *table) add(l *raft.Log) {
	if len(t.sizes) == 0 {
		t.first = l.Index
	}
	n := len(l.Data) + len(l.Extensions)
	t.sizes = append(t.sizes, uint32(n))
	t.bytes += uint64(n)
	if k := len(t.terms); k == 0 || t.terms[k-1].term != l.Term {
		t.terms = append(t.terms, termRun{l.Index, l.Term})
	}
	if hidden(l.Type) {
		t.hidden = append(t.hidden, l.Index)
	}
}

// hidden tells which entries hashicorp/raft keeps to itself (fsm.go: only
// commands and configurations are passed on).
func hidden(t raft.LogType) bool {
	return t != raft.LogCommand && t != raft.LogConfiguration
}

// cutTail drops the entries from index from on.
func (t *table) cutTail(from uint64) {
	if len(t.sizes) == 0 || from > t.last() {
		return
	}
	keep := 0
	if from > t.first {
		keep = int(from - t.first)
	}
	for _, n := range t.sizes[keep:] {
		t.bytes -= uint64(n)
	}
	t.sizes = t.sizes[:keep]
	t.terms = t.terms[:sort.Search(len(t.terms), func(i int) bool { return t.terms[i].start >= from })]
	t.hidden = t.hidden[:sort.Search(len(t.hidden), func(i int) bool { return t.hidden[i] >= from })]
}

// cutHead drops the entries up to and including index to.
func (t *table) cutHead(to uint64) {
	if len(t.sizes) == 0 || to < t.first {
		return
	}
	n := min(int(to-t.first+1), len(t.sizes))
	for _, s := range t.sizes[:n] {
		t.bytes -= uint64(s)
	}
	t.sizes = append([]uint32(nil), t.sizes[n:]...)
	t.first = to + 1
	// The run that holds the new first entry stays.
	k := sort.Search(len(t.terms), func(i int) bool { return t.terms[i].start > t.first })
	if k > 0 {
		t.terms = append([]termRun(nil), t.terms[k-1:]...)
	}
	h := sort.Search(len(t.hidden), func(i int) bool { return t.hidden[i] > to })
	t.hidden = append([]uint64(nil), t.hidden[h:]...)
}

// term returns the term of an entry.
func (t *table) term(index uint64) (uint64, bool) {
	if len(t.sizes) == 0 || index < t.first || index > t.last() {
		return 0, false
	}
	k := sort.Search(len(t.terms), func(i int) bool { return t.terms[i].start > index })
	return t.terms[k-1].term, true
}

// visible returns the highest index at or below index whose entry is not
// hidden.
func (t *table) visible(index uint64) uint64 {
	k := sort.Search(len(t.hidden), func(i int) bool { return t.hidden[i] > index })
	for k > 0 && t.hidden[k-1] == index {
		index--
		k--
	}
	return index
}

// cutLimit returns the highest index that may go if keep bytes are to stay.
func (t *table) cutLimit(keep uint64) uint64 {
	left := t.bytes
	for i, n := range t.sizes {
		if left-uint64(n) < keep {
			return t.first + uint64(i) - 1
		}
		left -= uint64(n)
	}
	return t.last()
}
