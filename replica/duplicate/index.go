package duplicate

import (
	"errors"
	"fmt"
	"time"

	"twofold/replica/vfs"
)

// The numbers of the rule. Both nodes must go by the same ones: to change one
// is to change the format of the state.
const (
	// ClientRecords is how many records of a client stay whatever their age:
	// those that a client may have out which was away for long.
	ClientRecords = 1024
	// MinLife is how long the others are remembered at least, in real time.
	MinLife = 120 * time.Second
	// Fastest bounds how much faster than real time the log may age: by one part
	// in Fastest.
	Fastest = 8
	// Life is how old, by the log's age, the others may be.
	Life = vfs.Time(MinLife + MinLife/Fastest)
	// MaxEvict bounds what leaves at the end of one log entry.
	MaxEvict = 1024
	// Overhead is what a record counts beyond its key and value in the store,
	// for its place in the index.
	Overhead = 288
)

// Limits of the bytes of all records.
const (
	MinBytes     = 1 << 20
	DefaultBytes = 128 << 20
	MaxBytes     = 16 << 30
)

// ErrOrder is the error of Add for a record that no log can bring: one whose
// call is there already, or that is not later than the newest one.
var ErrOrder = errors.New("duplicate: record out of order")

// Record is what the index knows of an answered call.
type Record struct {
	Seq   uint64     // counts up in log order; gaps are allowed
	ID    vfs.CallID // of the call
	Time  vfs.Time   // the log's age
	Bytes uint32     // as they count against the limit, Overhead included
	Sum   [16]byte   // what the state's digest has of it; the index has no use for it
}

// none is the place that is no record, and at the ends of the list.
const none = 0

// place is a Record in the index. Those of one client that stay by number hang
// together from the older to the newer, so that the oldest of them is found when
// a newer one comes. It goes over to the queue of those that are surplus then.
type place struct {
	Record
	older, newer uint32 // in log order
	sequel       uint32 // the client's next newer record; or the next one in the queue
	client       uint32
}

// client has the records of one address. Those from first to last stay by
// number; records of it before first are surplus.
type client struct {
	first, last uint32
	kept        uint32 // from first to last, at most ClientRecords
}

// Index finds records by the identity of their call, and evicts them.
type Index struct {
	calls     map[vfs.CallID]uint32
	records   slab[place] // place 0 links the newest and the oldest
	addresses map[[16]byte]uint32
	clients   slab[client]
	bytes     uint64

	// surplus is the queue of those that do not stay by number, in the order in
	// which they came to be so. Those of one client are in log order.
	surplus struct{ first, last uint32 }
}

// New returns an empty Index.
func New() *Index {
	return &Index{
		calls:     make(map[vfs.CallID]uint32),
		records:   newSlab[place](),
		addresses: make(map[[16]byte]uint32),
		clients:   newSlab[client](),
	}
}

// Len returns the number of records.
func (x *Index) Len() int { return len(x.calls) }

// Bytes returns what all records count against the limit.
func (x *Index) Bytes() uint64 { return x.bytes }

// Find returns the sequence number of the record of a call.
func (x *Index) Find(id vfs.CallID) (seq uint64, ok bool) {
	i, ok := x.calls[id]
	if !ok {
		return 0, false
	}
	return x.records.at(i).Seq, true
}

// Add takes the next record in log order. After an error the Index is no good.
func (x *Index) Add(r Record) error {
	end := x.records.at(none)
	if newest := x.records.at(end.older); end.older != none && (r.Seq <= newest.Seq || r.Time <= newest.Time) {
		return fmt.Errorf("%w: %d at %d after %d at %d", ErrOrder, r.Seq, r.Time, newest.Seq, newest.Time)
	}
	i := x.records.take()
	known := len(x.calls)
	if x.calls[r.ID] = i; len(x.calls) == known { // cheaper than to ask before
		return fmt.Errorf("%w: the call of %d is there already", ErrOrder, r.Seq)
	}
	*x.records.at(i) = place{Record: r, older: end.older, newer: none}
	x.records.at(end.older).newer = i
	end.older = i
	x.bytes += uint64(r.Bytes)
	x.join(i)
	return nil
}

// join makes a record the newest one of its client. The client's oldest one
// that stayed by number may be surplus now.
func (x *Index) join(i uint32) {
	r := x.records.at(i)
	ci, ok := x.addresses[r.ID.Client]
	if !ok {
		ci = x.clients.take()
		*x.clients.at(ci) = client{first: i}
		x.addresses[r.ID.Client] = ci
	}
	r.client = ci
	c := x.clients.at(ci)
	if c.last != none {
		x.records.at(c.last).sequel = i
	}
	c.last = i
	if c.kept < ClientRecords {
		c.kept++
		return
	}
	spare := c.first
	p := x.records.at(spare)
	c.first, p.sequel = p.sequel, none
	if x.surplus.first == none {
		x.surplus.first = spare
	} else {
		x.records.at(x.surplus.last).sequel = spare
	}
	x.surplus.last = spare
}

// remove takes a record out: the first one of the queue or, if that is empty, the
// oldest of all, which then is the first of its client.
func (x *Index) remove(i uint32) {
	r := x.records.at(i)
	if x.surplus.first == i {
		x.surplus.first = r.sequel
	} else {
		c := x.clients.at(r.client)
		c.first = r.sequel
		if c.kept--; c.kept == 0 {
			delete(x.addresses, r.ID.Client)
			x.clients.release(r.client)
		}
	}
	x.records.at(r.older).newer = r.newer
	x.records.at(r.newer).older = r.older
	delete(x.calls, r.ID)
	x.bytes -= uint64(r.Bytes)
	x.records.release(i)
}
