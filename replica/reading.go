package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/vfs"
)

// attemptLimit bounds one attempt of a leader without a lease to have its lead
// confirmed.
const attemptLimit = time.Second

// errNotLeader ends a read that came from another node and cannot be answered here.
var errNotLeader = errors.New("replica: not the leader")

// reading is one read on its way (rule R10): the right to read this node's copy,
// then a wait until all that the read depends on is applied, then a look at one
// snapshot of the state, then a check of what was found in it. It is used as
//
//	for r.next() {
//		... read the state, and return if r.sound(...)
//	}
//	... return r.err if it is set, else ask the leader
//
// answer does all of it. It stays on the caller's stack: a read under a lease allocates nothing here.
type reading struct {
	s      *Store
	ctx    context.Context
	cancel context.CancelFunc // set once the read has to wait
	relay  bool               // the leader may be asked

	keys [4]key // what the read depends on, as far as it is known
	n    int
	all  bool // it depends on everything

	// Set by permit. Entries above limit are no concern of this read: they were not
	// in the log, or not committed, at an instant after it began.
	permitted bool
	limit     raftlog.Index
	changed   <-chan struct{} // closed when this node's view of the lead changes
	follows   bool            // this node is not the leader
	cuts      uint64          // how often the log had been cut

	before raftlog.Index // what was applied before the snapshot was taken

	leader string // to be asked
	err    error
}

// begin begins a read that depends on keys.
func (s *Store) begin(ctx context.Context, relay bool, keys ...key) reading {
	r := reading{s: s, ctx: ctx, relay: relay}
	r.n = copy(r.keys[:], keys)
	return r
}

// end lets go of what a wait needed.
func (r *reading) end() {
	if r.cancel != nil {
		r.cancel()
	}
}

// next returns true when the state may be read. If not, the leader is to be asked,
// or the read has failed.
func (r *reading) next() bool {
	r.leader = ""
	for r.err == nil {
		if !r.permitted && !r.permit() {
			if r.leader != "" {
				return false
			}
			continue
		}
		need := r.need()
		if r.s.applied.load() < need && !r.await(need) {
			continue
		}
		r.before = r.s.applied.load()
		return true
	}
	return false
}

// permit finds out whether this node may read its own copy, and sets limit. If not,
// it sets leader if there is one to ask, sets err, or waits for a change.
func (r *reading) permit() bool {
	select {
	case <-r.s.stopped:
		r.err = vfs.ErrShutdown
		return false
	default:
	}
	st, changed := r.s.log.Watch()
	r.changed, r.follows, r.cuts = changed, !st.IsLeader, r.s.touched.cuts.Load()
	// Lemma 3 of docs/consistency.md: the lease is looked at after the call arrived,
	// and the log after the lease. Then all that was answered or shown anywhere before
	// the call is at or below limit.
	damaged := r.s.quarantined()
	if _, ok := r.s.log.Lease(); ok && !damaged {
		r.limit, r.permitted = r.s.touched.highest(), true
		r.s.metrics.ReadByLease()
		return true
	}
	switch {
	case st.IsLeader && st.Ready && !damaged:
		if r.confirm() {
			return true
		}
	case !r.relay:
		r.err = errNotLeader
		return false
	case st.Leader != "" && !st.IsLeader:
		r.leader = st.Leader
		return false
	}
	r.pause()
	return false
}

// confirm asks a quorum whether this node still leads, instead of a lease.
func (r *reading) confirm() bool {
	r.slow()
	ctx, cancel := context.WithTimeout(r.ctx, attemptLimit)
	defer cancel()
	index, err := r.s.log.ReadIndex(ctx)
	switch {
	case err == nil:
		// Lemma 10: what follows index was not committed yet at an instant after the
		// read began, so that nobody had answered or shown it before.
		r.limit, r.permitted = index, true
		r.s.metrics.ReadConfirmed()
		return true
	case errors.Is(err, raftlog.ErrClosed):
		r.err = vfs.ErrShutdown
	}
	return false
}

// need returns the entry that must be applied before the state is read.
func (r *reading) need() raftlog.Index {
	t := r.s.touched
	switch {
	case r.all:
		return r.limit
	case t.highest() <= r.s.applied.load():
		return 0
	default:
		return min(t.by(r.keys[:r.n]...), r.limit)
	}
}

// await waits until need is applied. It returns false if the read has to begin
// anew, or has failed.
func (r *reading) await(need raftlog.Index) bool {
	r.slow()
	cut, cuts := r.s.touched.cut()
	if cuts != r.cuts {
		r.permitted = false
		return false
	}
	start := time.Now()
	done := r.s.applied.notify(need)
	defer r.s.applied.forget(done)
	if r.follows {
		r.s.hurry(need)
	}
	select {
	case <-done:
		r.s.metrics.ReadWaited(time.Since(start))
		return true
	case <-cut:
		r.permitted = false
	case <-r.changed:
		r.permitted = false
	case <-r.s.quarantine.begun():
		r.permitted = false
	case <-r.s.broken: // nothing is applied any more
		r.err = vfs.ErrShutdown
	case <-r.s.stopped:
		r.err = vfs.ErrShutdown
	case <-r.ctx.Done():
		r.err = vfs.ErrNoQuorum
	}
	return false
}

// sound tells whether an answer that was read from the state may be given. found are
// keys that the answer depends on and that became known only by reading.
func (r *reading) sound(kind vfs.Kind, found ...key) bool {
	if r.before >= r.limit {
		return true // the snapshot has all of the log that matters
	}
	if kind == vfs.Stale {
		// The inode may be one that an entry of the log makes, which is in no list
		// of keys. Lemma 11 needs the whole log for this verdict.
		r.all = true
		return false
	}
	if len(found) == 0 {
		return true
	}
	// Lemma 12: an entry that touches the inode and is in the log must be in the
	// snapshot. To ask whether it is applied by now would not do.
	if min(r.s.touched.by(found...), r.limit) <= r.before {
		return true
	}
	if r.n+copy(r.keys[r.n:], found) < r.n+len(found) {
		r.all = true
	}
	r.n = min(r.n+len(found), len(r.keys))
	return false
}

// slow bounds a read that does not go through at once.
func (r *reading) slow() {
	if r.cancel == nil {
		vfs.WillWait(r.ctx)
		r.ctx, r.cancel = context.WithTimeout(r.ctx, r.s.cfg.WaitLimit)
	}
}

// pause waits until another attempt may succeed, or fails the read.
func (r *reading) pause() {
	if r.err != nil {
		return
	}
	r.slow()
	again := time.NewTimer(retryPause)
	defer again.Stop()
	select {
	case <-r.changed:
	case <-again.C:
	case <-r.ctx.Done():
		r.err = vfs.ErrNoQuorum
	case <-r.s.stopped:
		r.err = vfs.ErrShutdown
	}
}

// ask lets the leader answer op. It reports false if it is to be tried again, and
// sets err if the answer is an error.
func (r *reading) ask(op *command.Read) (body []byte, ok bool) {
	r.slow()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	changed := r.changed // and not r, which stays on the stack
	// A leader that hangs keeps its connections: give up as soon as this node hears
	// of another one.
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	status, body, err := r.s.peers.Read(ctx, r.leader, command.AppendRead(nil, op))
	switch {
	case err == nil && status == peer.StatusOK:
		r.s.metrics.ReadForwarded()
		return body, true
	case err == nil && status == peer.StatusDamaged:
		r.err = fmt.Errorf("%w: at %s, which was asked", vfs.ErrCorrupt, r.leader)
		return nil, true
	}
	r.pause()
	return nil, false
}

// misread notes that the leader's answer does not decode: it may run another
// version.
func (r *reading) misread(err error) {
	r.s.logger.Error("the leader's answer to a read does not decode", "leader", r.leader, "err", err)
	r.pause()
}
