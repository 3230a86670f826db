package duplicate

import "twofold/replica/vfs"

// Evict removes what the rule lets go when the log's age is now, with limit bytes
// for all records. It appends the records to gone, and returns how many
// of them went only because of the limit.
func (x *Index) Evict(now vfs.Time, limit uint64, gone []Record) (all []Record, forced int) {
	room := MaxEvict
	drop := func(i uint32) {
		gone = append(gone, x.records.at(i).Record)
		x.remove(i)
		room--
	}
	for room > 0 && x.surplus.first != none && x.old(x.surplus.first, now) {
		drop(x.surplus.first)
	}
	for room > 0 && x.bytes > limit && len(x.calls) > 0 {
		next := x.surplus.first
		if next == none {
			next = x.records.at(none).newer
		}
		forced++
		drop(next)
	}
	return gone, forced
}

// old reports that a record is older than Life.
func (x *Index) old(i uint32, now vfs.Time) bool {
	return now-x.records.at(i).Time > Life
}
