package raftlog

import "sync/atomic"

// readSpans is into how many spans of time the reads under way are sorted. The
// oldest span ends a deadline ago, the newest is now.
const readSpans = 6

// reads counts the reads of the state that are under way, by the span of time in
// which they began: a read costs two additions, and takes no lock. What hangs stays
// counted until it returns, which may be never.
type reads struct {
	span  atomic.Uint32 // that of now; it goes round
	count [readSpans]atomic.Int64

	// These belong to stalls.step.
	length uint64 // of a span, in ticks
	spent  uint64 // ticks of this span
	late   uint64 // ticks for which the oldest span has had a read
}

// begin notes that a read begins, and returns what end takes.
func (r *reads) begin() (span uint32) {
	for {
		span = r.span.Load()
		r.count[span].Add(1)
		if r.span.Load() == span {
			return span
		}
		r.count[span].Add(-1) // this goroutine stood still between the two
	}
}

func (r *reads) end(span uint32) { r.count[span].Add(-1) }

// step lets a tick pass, and tells whether a read is past its deadline, and whether
// one has been for so long that the disk hangs. A span is not begun anew while it
// has reads.
func (r *reads) step() (late, hangs bool) {
	r.spent++
	next := (r.span.Load() + 1) % readSpans
	if r.count[next].Load() > 0 {
		r.late++
		return true, r.late > (hungLimits-1)*(readSpans-2)*r.length
	}
	r.late = 0
	if r.spent >= r.length {
		r.spent = 0
		r.span.Store(next)
	}
	return false, false
}

// BeginRead notes that a read of the state machine's store begins, and EndRead, with
// what BeginRead returned, that it has ended. A read that does not end within
// ReadTimeout stalls this node: it may hang for ever, and the reads that come after
// it must find their answers elsewhere.
func (n *Node) BeginRead() uint32 { return n.stalls.reads.begin() }

// ReadsHang tells that this node stands aside, and that a read which began before it
// did has not returned: whoever waits for one does better to ask again. It takes no
// lock.
func (n *Node) ReadsHang() bool { return n.stalls.noReads.Load() }

// EndRead ends what BeginRead began.
func (n *Node) EndRead(span uint32) { n.stalls.reads.end(span) }
