package duplicate

import "twofold/replica/vfs"

// Evict removes what the rule lets go at log time now with limit bytes for all
// records. It appends the sequence numbers to gone, and returns how many of
// them went only because of the limit.
func (x *Index) Evict(now vfs.Time, limit uint64, gone []uint64) (all []uint64, forced int) {
	room := MaxEvict
	drop := func(i uint32) {
		gone = append(gone, x.records.at(i).Seq)
		x.remove(i)
		room--
	}
	for _, i := range x.late { // no more than were added
		drop(i)
	}
	x.late = x.late[:0]
	for x.settle(now); room > 0 && x.old(x.due, now); x.settle(now) {
		drop(x.due)
	}
	for room > 0 && x.bytes > limit && len(x.calls) > 0 {
		oldest := x.records.at(none).newer
		if oldest != x.due || !x.old(oldest, now) {
			forced++
		}
		drop(oldest)
		x.settle(now)
	}
	return gone, forced
}

// settle moves due on over the records that came to be older than Life by now
// and stay by number. An Index that was built anew begins at its first record,
// and comes to where it would have been in its first Evict.
func (x *Index) settle(now vfs.Time) {
	for x.old(x.due, now) && !x.surplus(x.records.at(x.due)) {
		x.due = x.records.at(x.due).newer
	}
}

// old reports that there is a record and that it is older than Life.
func (x *Index) old(i uint32, now vfs.Time) bool {
	return i != none && now-x.records.at(i).Time > Life
}
