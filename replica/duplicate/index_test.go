package duplicate_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// t0 is the log time at which tests begin.
const t0 vfs.Time = 1_700_000_000_000_000_000

const second = vfs.Time(time.Second)

// noLimit is a limit that no test reaches.
const noLimit = duplicate.MaxBytes

// model is the rule, written down without a thought for its cost.
type model struct {
	records []duplicate.Record
	bytes   uint64
}

func (m *model) add(r duplicate.Record) {
	m.records = append(m.records, r)
	m.bytes += uint64(r.Bytes)
}

// surplus returns the places of records that are not among the newest of their
// client, in the order in which they came to be so.
func (m *model) surplus() []int {
	places := map[[16]byte][]int{}
	var out []int
	for i, r := range m.records {
		of := append(places[r.ID.Client], i)
		if len(of) > duplicate.ClientRecords {
			out, of = append(out, of[0]), of[1:]
		}
		places[r.ID.Client] = of
	}
	return out
}

func (m *model) evict(now vfs.Time, limit uint64) (gone []duplicate.Record, forced int) {
	leaves := make(map[int]bool)
	drop := func(i int) {
		leaves[i] = true
		gone = append(gone, m.records[i])
		m.bytes -= uint64(m.records[i].Bytes)
	}
	first := m.surplus()
	for ; len(first) > 0 && len(gone) < duplicate.MaxEvict && now-m.records[first[0]].Time > duplicate.Life; first = first[1:] {
		drop(first[0])
	}
	for i := range m.records {
		first = append(first, i) // what is surplus comes before the others
	}
	for _, i := range first {
		if m.bytes > limit && len(gone) < duplicate.MaxEvict && !leaves[i] {
			drop(i)
			forced++
		}
	}
	var left []duplicate.Record
	for i, r := range m.records {
		if !leaves[i] {
			left = append(left, r)
		}
	}
	m.records = left
	return gone, forced
}

// add gives a record to an index.
func add(t testing.TB, x *duplicate.Index, r duplicate.Record) {
	t.Helper()
	if err := x.Add(r); err != nil {
		t.Fatal(err)
	}
}

// rebuilt returns an index that knows the records that the model has, as after
// a restart.
func (m *model) rebuilt(t testing.TB) *duplicate.Index {
	t.Helper()
	x := duplicate.New()
	for _, r := range m.records {
		add(t, x, r)
	}
	return x
}

// callOf is a call of a client; no two XIDs are equal in a test.
func callOf(client byte, xid uint64) vfs.CallID {
	return vfs.CallID{Client: [16]byte{15: client}, XID: uint32(xid), Proc: 7, Sum: xid}
}

// run is one history: what an index does that lives through it, one that is
// built anew at random places, and the model.
type run struct {
	t     *testing.T
	rng   *rand.Rand
	naive model
	whole *duplicate.Index // never lost
	anew  *duplicate.Index // lost now and then
	now   vfs.Time
	seq   uint64
	limit uint64
}

// entry is what one log entry does: it adds up to 256 records and evicts.
func (r *run) entry() {
	clients := 1 + r.rng.IntN(6)
	for range r.rng.IntN(257) {
		r.seq += 1 + uint64(r.rng.IntN(2))
		r.now += 1 + vfs.Time(r.rng.Int64N(int64(10*time.Millisecond)))
		// A few clients have most of the calls, and most clients a few.
		client := byte(min(r.rng.IntN(clients), r.rng.IntN(clients)))
		if r.rng.IntN(40) == 0 {
			client = byte(r.rng.IntN(200))
		}
		rec := duplicate.Record{Seq: r.seq, ID: callOf(client, r.seq), Time: r.now, Bytes: 300 + uint32(r.rng.IntN(300)), Sum: [16]byte{byte(r.seq)}}
		r.naive.add(rec)
		add(r.t, r.whole, rec)
		add(r.t, r.anew, rec)
	}
	want, wantForced := r.naive.evict(r.now, r.limit)
	for name, x := range map[string]*duplicate.Index{"whole": r.whole, "anew": r.anew} {
		gone, forced := x.Evict(r.now, r.limit, nil)
		if !slices.Equal(gone, want) || forced != wantForced || x.Len() != len(r.naive.records) || x.Bytes() != r.naive.bytes {
			r.t.Fatalf("%s: %d gone, %d forced, %d left; the rule says %d, %d, %d", name,
				len(gone), forced, x.Len(), len(want), wantForced, len(r.naive.records))
		}
	}
}

// Whatever the history, the index keeps what the rule says, and one that is
// built anew at any moment is the one that was never lost.
func TestIndex_KeepsTheRule(t *testing.T) {
	for seed := range uint64(2) {
		r := run{t: t, rng: rand.New(rand.NewPCG(seed, 1)), whole: duplicate.New(), anew: duplicate.New(), now: t0, limit: noLimit}
		for range 60 {
			switch r.rng.IntN(12) {
			case 0:
				r.now += vfs.Time(r.rng.Int64N(int64(5 * time.Minute))) // nobody calls, or the clock jumps
			case 1:
				r.limit = uint64(200+r.rng.IntN(6000)) * 450
			case 2:
				r.limit = noLimit
			}
			r.entry()
			if r.rng.IntN(4) != 0 {
				continue
			}
			if d := cmp.Diff(r.whole.Dump(), r.anew.Dump()); d != "" {
				t.Fatalf("seed %d: the one that was built anew differs:\n%s", seed, d)
			}
			r.anew = r.naive.rebuilt(t)
		}
		for _, rec := range r.naive.records {
			if seq, ok := r.whole.Find(rec.ID); !ok || seq != rec.Seq {
				t.Fatalf("seed %d: record %d: found %d, %t", seed, rec.Seq, seq, ok)
			}
		}
	}
}

// fill adds n records of a client, one nanosecond apart, and returns the time
// of the last.
func fill(t testing.TB, x *duplicate.Index, client byte, from uint64, n int, at vfs.Time) vfs.Time {
	t.Helper()
	for i := range uint64(n) {
		at++
		add(t, x, duplicate.Record{Seq: from + i, ID: callOf(client, from+i), Time: at, Bytes: 400})
	}
	return at
}

// A quiet client keeps its newest records, however long another is busy.
func TestIndex_QuietClientKeepsItsNewest(t *testing.T) {
	x := duplicate.New()
	const extra = 10
	now := fill(t, x, 1, 1, duplicate.ClientRecords+extra, t0)
	seq := uint64(10_000)
	for range 20 {
		now = fill(t, x, 2, seq, 200, now+60*second)
		seq += 200
		x.Evict(now, noLimit, nil)
	}
	for i := uint64(1); i <= duplicate.ClientRecords+extra; i++ {
		if _, ok := x.Find(callOf(1, i)); ok != (i > extra) {
			t.Errorf("call %d of the quiet client is remembered: %t", i, ok)
		}
	}
}

// A record beyond the newest ones stays until it is older than Life, to the
// nanosecond.
func TestIndex_LifeIsExact(t *testing.T) {
	x := duplicate.New()
	now := fill(t, x, 1, 1, duplicate.ClientRecords+1, t0)
	if gone, _ := x.Evict(t0+1+duplicate.Life, noLimit, nil); len(gone) != 0 {
		t.Errorf("at the age of Life %v go", gone)
	}
	if gone, forced := x.Evict(t0+2+duplicate.Life, noLimit, nil); !slices.Equal(seqs(gone), []uint64{1}) || forced != 0 {
		t.Errorf("a nanosecond later %v go, %d forced", gone, forced)
	}
	fill(t, x, 1, 5000, 1, now+duplicate.Life) // makes a record surplus that is old by now
	if gone, _ := x.Evict(now+2*duplicate.Life, noLimit, nil); !slices.Equal(seqs(gone), []uint64{2}) {
		t.Errorf("%v go when the client adds one, want 2", gone)
	}
}

// A client that makes more changes than the limit holds drives its own answers
// out, and not the newest ones of a client that is quiet meanwhile.
func TestIndex_FloodSparesQuietClients(t *testing.T) {
	x := duplicate.New()
	const quiet = 500
	now := fill(t, x, 1, 1, quiet, t0)
	seq, forced := uint64(10_000), 0
	for range 100 {
		now = fill(t, x, 2, seq, 200, now+second/100)
		seq += 200
		_, n := x.Evict(now, 5000*400, nil)
		forced += n
	}
	if forced == 0 || x.Bytes() > 5000*400 {
		t.Fatalf("%d were forced out, %d bytes are left", forced, x.Bytes())
	}
	for i := uint64(1); i <= quiet; i++ {
		if _, ok := x.Find(callOf(1, i)); !ok {
			t.Fatalf("call %d of the quiet client is forgotten", i)
		}
	}
}

// No entry evicts more than MaxEvict, and what is left over goes later.
func TestIndex_EvictsInSteps(t *testing.T) {
	x := duplicate.New()
	const many = 5*duplicate.MaxEvict + 3
	now := fill(t, x, 1, 1, many, t0) + 2*duplicate.Life
	var counts []int
	for x.Len() > duplicate.ClientRecords {
		gone, _ := x.Evict(now, noLimit, nil)
		counts = append(counts, len(gone))
	}
	if want := []int{1024, 1024, 1024, 1024, 3}; !slices.Equal(counts, want) {
		t.Errorf("evicted %v, want %v", counts, want)
	}
	if gone, forced := x.Evict(now, 400, nil); len(gone) != duplicate.ClientRecords-1 || forced != len(gone) {
		t.Errorf("a lowered limit evicts %d, %d of them forced", len(gone), forced)
	}
}

// What no log can bring is refused: it can only come from a damaged store.
func TestIndex_RefusesDisorder(t *testing.T) {
	for name, r := range map[string]duplicate.Record{
		"the same sequence number": {Seq: 5, ID: callOf(1, 9), Time: t0 + 9},
		"an earlier one":           {Seq: 4, ID: callOf(1, 9), Time: t0 + 9},
		"the same time":            {Seq: 9, ID: callOf(1, 9), Time: t0 + 1},
		"the same call":            {Seq: 9, ID: callOf(1, 5), Time: t0 + 9},
	} {
		x := duplicate.New()
		fill(t, x, 1, 5, 1, t0)
		if err := x.Add(r); !errors.Is(err, duplicate.ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Places are used again, so that memory is bounded by what there ever was at
// one time.
func TestIndex_ReusesPlaces(t *testing.T) {
	x := duplicate.New()
	now, seq := t0, uint64(1)
	for i := range 300 {
		now = fill(t, x, byte(i), seq, 100, now)
		seq += 100
		x.Evict(now, 400*400, nil)
	}
	if records, clients := x.Taken(); x.Len() != 400 || records > 502 || clients > 7 {
		t.Errorf("%d records, %d places, %d places of clients", x.Len(), records, clients)
	}
}

// A record takes no more memory than Overhead says, whether each has a client
// of its own or all have one.
func TestIndex_Overhead(t *testing.T) {
	const n = 120_000
	for name, client := range map[string]func(i uint64) (c [16]byte){
		"one client":   func(uint64) (c [16]byte) { return c },
		"many clients": func(i uint64) (c [16]byte) { c[0], c[1], c[2] = byte(i), byte(i>>8), byte(i>>16); return c },
	} {
		before := heap()
		x := duplicate.New()
		for i := range uint64(n) {
			id := callOf(0, i)
			id.Client = client(i)
			add(t, x, duplicate.Record{Seq: i + 1, ID: id, Time: t0 + vfs.Time(i) + 1, Bytes: 400})
		}
		each := (heap() - before) / n
		runtime.KeepAlive(x)
		t.Logf("%s: %d bytes a record", name, each)
		if each > duplicate.Overhead || each < 80 {
			t.Errorf("%s: %d bytes a record, %d are counted", name, each, duplicate.Overhead)
		}
	}
}

func seqs(gone []duplicate.Record) (all []uint64) {
	for _, r := range gone {
		all = append(all, r.Seq)
	}
	return all
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIndex is what a change costs when the index is full.
func BenchmarkIndex(b *testing.B) {
	x := duplicate.New()
	const limit = duplicate.DefaultBytes
	now, seq := t0, uint64(0)
	var gone []duplicate.Record
	step := func() {
		seq++
		now += vfs.Time(100 * time.Microsecond)
		add(b, x, duplicate.Record{Seq: seq, ID: callOf(byte(seq%7), seq), Time: now, Bytes: 500})
		gone, _ = x.Evict(now, limit, gone[:0])
	}
	for x.Bytes() < limit-1000 {
		step()
	}
	for b.Loop() {
		step()
		if _, ok := x.Find(callOf(1, seq+1)); ok {
			b.Fatal("found what is not there")
		}
	}
	b.ReportMetric(float64(x.Len()), "records")
}
