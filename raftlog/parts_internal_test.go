package raftlog

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// What nobody needs is up to the members; what may go is up to the own marker,
// whose entry stays.
func TestClamp(t *testing.T) {
	for _, c := range []struct {
		role                           Role
		marker, all, data, free, atAll uint64
	}{
		{RoleData, 0, 0, 0, 0, 0}, {RoleData, 10, 0, 0, 0, 9}, {RoleData, 10, 20, 30, 20, 9},
		{RoleWitness, 20, 10, 15, 15, 19}, {RoleWitness, 20, 0, 0, 0, 19},
	} {
		n := &Node{markers: &markers{}, fsm: &fsm{}, leases: &leases{}, cfg: Config{Role: c.role}}
		n.markers.mu.index = Index(c.marker)
		raise(&n.fsm.watermark, Index(c.all))
		raise(&n.fsm.watermark, 0) // never lowers it
		raise(&n.fsm.dataMark, Index(c.data))
		if free, may := n.clamp(); free != c.free || may != c.atAll {
			t.Errorf("%+v: free %d, may %d", c, free, may)
		}
	}
}

// A request is cut to its byte limit and keeps at least one entry.
func TestTrim(t *testing.T) {
	big := func(n int) *raft.Log { return &raft.Log{Data: make([]byte, n)} }
	for _, c := range []struct {
		sizes []int
		want  int
	}{
		{nil, 0}, {[]int{1}, 1}, {[]int{maxAppendBytes + 1}, 1}, {[]int{maxAppendBytes + 1, 1}, 1},
		{[]int{maxAppendBytes - 1, 1}, 2}, {[]int{maxAppendBytes / 2, maxAppendBytes / 2, 1}, 2},
		{[]int{1, maxAppendBytes}, 1},
	} {
		req := &raft.AppendEntriesRequest{}
		for _, n := range c.sizes {
			req.Entries = append(req.Entries, big(n))
		}
		trim(req)
		if len(req.Entries) != c.want {
			t.Errorf("%v: %d entries left, want %d", c.sizes, len(req.Entries), c.want)
		}
	}
}

// The frames in the log are part of its format.
func TestFrame_Golden(t *testing.T) {
	app, mark := encodeApp([]byte("ab")), encodeWatermark(marks{0x0102030405060708, 9})
	if !bytes.Equal(app, []byte{1, 'a', 'b'}) || !bytes.Equal(mark, []byte{2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9}) {
		t.Fatalf("% x, % x", app, mark)
	}
	if data, w, err := decodeFrame(app); err != nil || w != (marks{}) || string(data) != "ab" {
		t.Errorf("%q %d %v", data, w, err)
	}
	if data, w, err := decodeFrame(mark); err != nil || w != (marks{0x0102030405060708, 9}) || data != nil {
		t.Errorf("%q %d %v", data, w, err)
	}
	if _, w, err := decodeFrame([]byte{2, 0, 0, 0, 0, 0, 0, 0, 7}); err != nil || w != (marks{7, 7}) {
		t.Errorf("a watermark of the first version: %d %v", w, err)
	}
	if data, _, err := decodeFrame([]byte{1}); err != nil || data == nil {
		t.Errorf("an empty application entry: %v %v", data, err)
	}
	for _, bad := range [][]byte{nil, {0}, {2}, {2, 1}, {3, 1}, append(mark, 0)} {
		if _, _, err := decodeFrame(bad); err == nil {
			t.Errorf("% x: accepted", bad)
		}
	}
}

// The control messages are part of the wire format.
func TestControl_Golden(t *testing.T) {
	q := ping{Kind: controlRelease, Wants: true, Term: 1, Promise: 2 * time.Microsecond, Incarnation: 3, At: 4, Applied: 5, Name: "bc"}
	in := encodePing(7, q)
	if want := append([]byte{0: 2, 1: 4, 2: 1, 3: 2, 15: 7, 23: 1, 31: 2, 39: 3, 47: 4, 55: 5}, "bc"...); !bytes.Equal(in, want) {
		t.Errorf("% x", in)
	}
	if seq, got, err := readPing(bytes.NewReader(in)); err != nil || seq != 7 || got != q {
		t.Errorf("%d %+v %v", seq, got, err)
	}
	p := pong{Role: RoleWitness, Leader: true, Ready: true, Term: 1, Last: 2, Commit: 3, Delivered: 4, Applied: 5, Durable: 6, LogBytes: 7, Promise: 8 * time.Microsecond, Lease: 9 * time.Microsecond, First: 10}
	var b [pongBytes]byte
	encodePong(&b, 9, p)
	want := [pongBytes]byte{0: 2, 1: 2, 2: 1, 3: 3, 15: 9, 23: 1, 31: 2, 39: 3, 47: 4, 55: 5, 63: 6, 71: 7, 79: 8, 87: 9, 95: 10}
	if b != want {
		t.Errorf("% x", b)
	}
	if seq, got, err := decodePong(&b); err != nil || seq != 9 || got != p {
		t.Errorf("%d %+v %v", seq, got, err)
	}
	for _, at := range []int{0, 1} {
		bad, badPing := b, bytes.Clone(in)
		bad[at], badPing[at] = 77, 77
		if _, _, err := decodePong(&bad); err == nil {
			t.Errorf("pong with byte %d spoilt", at)
		}
		if _, _, err := readPing(bytes.NewReader(badPing)); err == nil {
			t.Errorf("ping with byte %d spoilt", at)
		}
	}
}

// An entry that this version does not know stops the delivery: nothing after
// it may reach the state.
func TestFSM_UnknownEntryStops(t *testing.T) {
	var failures int
	sink := &sinkMachine{}
	queue := newDelivery(sink, &leases{clock: stillClock(0)}, time.Second)
	f := &fsm{sm: sink, queue: queue, fail: func(error) { failures++ }, own: func(Index) error { return nil }, committed: func([]*raft.Log) {}, stalls: testStalls()}
	logs := func(from uint64, kinds ...byte) (ls []*raft.Log) {
		for i, k := range kinds {
			ls = append(ls, &raft.Log{Index: from + uint64(i), Term: 1, Data: []byte{k}})
		}
		return ls
	}
	out := f.ApplyBatch(logs(1, frameApp, 99, frameApp))
	if out[0] != nil || out[1] == nil || out[2] == nil {
		t.Errorf("responses %v", out)
	}
	f.ApplyBatch(logs(4, frameApp))
	if batch, _ := queue.take(); len(batch) > 0 {
		sink.Commit(batch)
	}
	if failures != 1 || len(sink.got) != 1 || f.delivered.Load() != 0 {
		t.Errorf("%d failures, delivered %v, %d", failures, sink.got, f.delivered.Load())
	}
	if _, err := f.Snapshot(); err == nil {
		t.Error("a marker of a broken state")
	}
}

// stillClock is a clock that stands still.
type stillClock time.Duration

func (c stillClock) Now() time.Duration { return time.Duration(c) }

type sinkMachine struct{ got []Entry }

func (s *sinkMachine) Commit(e []Entry)       { s.got = append(s.got, e...) }
func (s *sinkMachine) Applied() Index         { return 0 }
func (s *sinkMachine) Durable() (Index, Term) { return 0, 0 }
func (s *sinkMachine) Flush() error           { return nil }
func (s *sinkMachine) Recovered(Index)        {}
func (s *sinkMachine) Appended([]Entry)       {}
func (s *sinkMachine) Truncated(Index)        {}

// appendRecorder keeps what it is told of the log.
type appendRecorder struct {
	sinkMachine
	got []Entry
}

func (r *appendRecorder) Appended(entries []Entry) { r.got = append(r.got, entries...) }

// Lemma 11: what this version cannot read is not taken for an entry without effect.
func TestAppended_NewerFrame(t *testing.T) {
	r := &appendRecorder{}
	n := &Node{sm: r, membership: newMembership(nil, nil)}
	n.appended([]*raft.Log{
		{Index: 4, Term: 2, Type: raft.LogCommand, Data: encodeApp([]byte("x"))},
		{Index: 5, Term: 2, Type: raft.LogCommand, Data: []byte{77, 1}},
		{Index: 6, Term: 2, Type: raft.LogCommand, Data: encodeWatermark(marks{all: 3, data: 3})},
		{Index: 7, Term: 2, Type: raft.LogNoop},
	})
	if len(r.got) != 4 || string(r.got[0].Data) != "x" || r.got[2].Data != nil || r.got[3].Data != nil {
		t.Fatalf("%+v", r.got)
	}
	if d := r.got[1].Data; d == nil || len(d) != 0 {
		t.Errorf("an unknown entry has the data %v", d)
	}
}
