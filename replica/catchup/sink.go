package catchup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"twofold/replica/state"
	"twofold/replica/vfs"
)

// workers is how many buckets are brought at once.
const workers = 8

// Steps of a transfer at the sink, as Sink.Failpoint is told of them.
const (
	StepStage   = "stage"   // before the stage is made or opened
	StepCompare = "compare" // before the digests are compared
	StepChange  = "change"  // before each change of the stage
	StepFinish  = "finish"  // before the stage is verified and called ready
	StepReady   = "ready"   // before the source is told
)

// Sink takes what sources send.
type Sink struct {
	// State returns the node's present state.
	State func() *state.State
	// Damaged tells whether that state is known to be damaged, so that what it says
	// of itself is no ground to build on; it may be nil.
	Damaged func() bool
	// Staged is told of a state that is ready.
	Staged func(index, term uint64)
	// Ready returns what is ready already; zero for nothing.
	Ready func() (index, term uint64)
	// Progress is told of what is going on.
	Progress *Progress
	// Failpoint is told of each step before it is taken; it may be nil.
	Failpoint func(step string)

	mu      sync.Mutex // of the transfer: one at a time
	current struct {
		sync.Mutex
		conn net.Conn
	}
}

// Serve takes part in a transfer that a source began on conn, and returns when it
// is over.
func (k *Sink) Serve(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	k.current.Lock()
	if old := k.current.conn; old != nil {
		old.Close() // its source is gone, or will be told by this
	}
	k.current.conn = conn
	k.current.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := newSession(conn, k.Progress)
	err := k.take(ctx, s)
	s.close()
	k.Progress.end(err)
	return err
}

// Active reports whether a transfer is going on.
func (k *Sink) Active() bool {
	if !k.mu.TryLock() {
		return true
	}
	k.mu.Unlock()
	return false
}

// Discard removes what is staged, unless a transfer is going on.
func (k *Sink) Discard(dir string, o state.Options) error {
	if !k.mu.TryLock() {
		return nil
	}
	defer k.mu.Unlock()
	k.Staged(0, 0)
	return state.DiscardStage(dir, o)
}

func (k *Sink) step(name string) {
	if k.Failpoint != nil {
		k.Failpoint(name)
	}
}

func (k *Sink) take(ctx context.Context, s *session) error {
	o, err := s.offer()
	if err != nil {
		return err
	}
	k.Progress.begin(true, o.index)
	if index, term := k.Ready(); index >= o.at && o.at > 0 {
		return s.ready(index, term)
	}
	// A damaged state is replaced by one of the same entry, too.
	if applied, _ := k.State().Applied(); applied > o.index || applied == o.index && !k.damaged() {
		return s.refuse(fmt.Sprintf("this node is at %d, the offered state is of %d", applied, o.index))
	}
	s.start()
	k.step(StepStage)
	k.Staged(0, 0)
	from, damaged := state.FromState, k.damaged()
	if damaged {
		from = state.FromRecords
	}
	err = k.fill(ctx, s, o, from)
	if errors.Is(err, vfs.ErrCorrupt) || errors.Is(err, state.ErrUnlike) {
		// The old state, or what was staged of it, is not what it says: it is no
		// ground to build on.
		err = k.fill(ctx, s, o, state.FromNothing)
	}
	if err == nil && k.damaged() != damaged {
		err = errWord
	}
	if errors.Is(err, state.ErrUnlike) {
		return s.refuse("the records are not those of their digests: is the sending node's copy damaged?")
	}
	if err != nil {
		return err
	}
	k.Staged(o.index, o.term)
	if k.damaged() != damaged { // it was found between the last look and this word
		k.Staged(0, 0)
		return errWord
	}
	k.step(StepReady)
	return s.ready(o.index, o.term)
}

// errWord is of a stage that was made after the word of another state.
var errWord = errors.New("catchup: the old state was found damaged or replaced meanwhile")

func (k *Sink) damaged() bool { return k.Damaged != nil && k.Damaged() }

// fill makes the stage what was offered.
func (k *Sink) fill(ctx context.Context, s *session, o offer, from state.StageFrom) error {
	g, err := k.State().OpenStage(from)
	if err != nil {
		return err
	}
	k.step(StepCompare)
	want, err := s.digests(o)
	if err == nil {
		err = k.bring(ctx, s, g, want)
	}
	if err != nil {
		return errors.Join(err, g.Close())
	}
	k.step(StepFinish)
	return g.Finish(want)
}

// bring makes the buckets alike.
func (k *Sink) bring(ctx context.Context, s *session, g *state.Stage, want state.Digests) error {
	var differ []int
	have := g.Digests()
	for b := range want.Buckets {
		if want.Buckets[b] != have.Buckets[b] {
			differ = append(differ, b)
		}
	}
	var done, next atomic.Uint32
	if err := s.progress(0, uint32(len(differ))); err != nil {
		return err
	}
	b := bringer{k: k, s: s, g: g}
	group, ctx := errgroup.WithContext(ctx)
	for range min(workers, len(differ)) {
		group.Go(func() error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(differ) {
					return nil
				}
				if err := b.bucket(differ[i]); err != nil {
					return err
				}
				if err := s.progress(done.Add(1), uint32(len(differ))); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// bringer brings buckets into a stage.
type bringer struct {
	k *Sink
	s *session

	mu sync.Mutex // held for changes and their sums
	g  *state.Stage
}

// bucket brings one bucket: range by range where both nodes have records, and
// whole where this one has none.
func (b *bringer) bucket(bucket int) error {
	empty := true
	err := b.g.Scan(bucket, nil, func(_, _ []byte) bool { empty = false; return false })
	if err != nil {
		return err
	}
	if empty {
		return b.span(bucket, nil, nil)
	}
	var above []byte
	for last := false; !last; {
		var ranges []entry
		if ranges, last, err = b.s.entries(frameRanges, bucket, above); err != nil {
			return err
		}
		if len(ranges) == 0 {
			return fmt.Errorf("%w: no ranges", errFrame)
		}
		if err := b.ranges(bucket, above, ranges); err != nil {
			return err
		}
		above = ranges[len(ranges)-1].key
	}
	return nil
}

// ranges compares a bucket's records above a key with the sums of ranges, and
// brings the ranges that differ, those that touch at once.
func (b *bringer) ranges(bucket int, above []byte, ranges []entry) error {
	sums := make([]state.Digest, len(ranges))
	i := 0
	err := b.g.Scan(bucket, above, func(key, value []byte) bool {
		for i < len(ranges) && len(ranges[i].key) > 0 && bytes.Compare(key, ranges[i].key) > 0 {
			i++
		}
		if i == len(ranges) {
			return false
		}
		sums[i] = sums[i].Plus(state.SumOf(key, value))
		return true
	})
	if err != nil {
		return err
	}
	for i := 0; i < len(ranges); i++ {
		from := above
		if i > 0 {
			from = ranges[i-1].key
		}
		first := i
		for i < len(ranges) && sums[i] != ranges[i].sum {
			i++
		}
		if i > first {
			if err := b.span(bucket, from, ranges[i-1].key); err != nil {
				return err
			}
		}
	}
	return nil
}

// span brings the records above one key up to another.
func (b *bringer) span(bucket int, above, end []byte) error {
	for last := false; !last; {
		keys, l, err := b.s.entries(frameKeys, bucket, above, end)
		if err != nil {
			return err
		}
		if last = l; !last && len(keys) == 0 {
			return fmt.Errorf("%w: no keys", errFrame)
		}
		upTo := end
		if !last {
			upTo = keys[len(keys)-1].key
		}
		if err := b.keys(bucket, above, upTo, keys); err != nil {
			return err
		}
		above = upTo
	}
	return nil
}

// keys makes the records in (above, end] those that the source has there.
func (b *bringer) keys(bucket int, above, end []byte, want []entry) error {
	have := map[string]state.Digest{}
	err := b.g.Scan(bucket, above, func(key, value []byte) bool {
		if len(end) > 0 && bytes.Compare(key, end) > 0 {
			return false
		}
		have[string(key)] = state.SumOf(key, value)
		return true
	})
	if err != nil {
		return err
	}
	var get, del [][]byte
	for _, w := range want {
		if sum, ok := have[string(w.key)]; !ok || sum != w.sum {
			get = append(get, w.key)
		}
		delete(have, string(w.key))
	}
	for key := range have {
		del = append(del, []byte(key))
	}
	if len(del) > 0 {
		if err := b.change(nil, del); err != nil {
			return err
		}
	}
	for len(get) > 0 {
		put, err := b.s.records(get)
		if err != nil {
			return err
		}
		if err := b.change(put, nil); err != nil {
			return err
		}
		get = get[len(put):]
	}
	return nil
}

func (b *bringer) change(put []state.Record, del [][]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.k.step(StepChange)
	return b.g.Change(put, del)
}
