package replica

import (
	"time"

	"twofold/raftlog"
)

// resolveLimit is how long the proposer waits for an entry to be applied before it
// proposes an empty one behind it. A log that was read at start may end with an
// entry of Raft's own, which is never given to the state: only one that follows
// shows that all before it is applied.
const resolveLimit = 50 * time.Millisecond

// resolver finds what a batch touches (rule R9). It belongs to the propose
// goroutine.
//
// A name is looked up in this node's applied state. That is what the name will be
// when the command is applied, if no entry of the log that is not applied yet, and
// no earlier command of the batch, may touch the name. Nothing gets in between: this
// goroutine has one entry in flight at most, and an entry has an effect only
// if it is appended in the term that it names, in which this node led all the time
// since it looked (decision 0001).
type resolver struct {
	keys  touchedKeys
	names map[key]struct{} // that the batch touches so far
}

// add takes one more change into the batch. It reports false, and leaves all as it
// was, if a name cannot be resolved before an earlier change is applied: one of
// the batch, or that of the log entry behind.
func (r *resolver) add(s *Store, t *touch) (behind raftlog.Index, ok bool) {
	var names [2]key
	for i, p := range t.names {
		if p.dir == 0 {
			continue
		}
		names[i] = nameKey(p.dir, p.name)
		if !t.resolve {
			continue
		}
		if _, clash := r.names[names[i]]; clash || r.keys.all {
			return 0, false
		}
		// Lemma 11: what the name has is known once all that touches it is applied.
		if last := s.touched.by(names[i]); last > s.applied.load() {
			return last, false
		}
	}
	if t.all {
		r.keys.all = true
	}
	if t.tables {
		r.keys.keys = append(r.keys.keys, tablesKey)
	}
	for _, ino := range t.inodes {
		if ino != 0 {
			r.keys.keys = append(r.keys.keys, inodeKey(ino))
		}
	}
	for i, p := range t.names {
		if p.dir == 0 {
			continue
		}
		r.keys.keys = append(r.keys.keys, names[i])
		r.names[names[i]] = struct{}{}
		if t.resolve {
			r.resolve(s, p)
		}
	}
	return 0, true
}

func (r *resolver) resolve(s *Store, p place) {
	ino, err := s.state.Resolve(p.dir, p.name)
	switch {
	case err != nil:
		// The state is closed or damaged: apply will say so.
		r.keys.all = true
	case ino != 0:
		r.keys.keys = append(r.keys.keys, inodeKey(ino))
	}
}

func (r *resolver) reset() {
	r.keys = touchedKeys{keys: r.keys.keys[:0]}
	if r.names == nil {
		r.names = make(map[key]struct{})
	}
	clear(r.names)
}

// resolve finds what a prefix of batch touches, and how long that prefix is. It is
// empty only if the first change must wait for the log entry behind.
func (s *Store) resolve(batch []pending) (n int, behind raftlog.Index) {
	s.resolver.reset()
	for n = range batch {
		var ok bool
		if behind, ok = s.resolver.add(s, &batch[n].touch); !ok {
			return n, behind
		}
	}
	return len(batch), 0
}

// awaitNames waits until the log entry behind is applied, or this node's lead may
// have changed, and reports false if neither happens soon.
func (s *Store) awaitNames(behind raftlog.Index, changed <-chan struct{}) bool {
	w := s.applied.notify(behind)
	defer s.applied.forget(w)
	limit := time.NewTimer(resolveLimit)
	defer limit.Stop()
	select {
	case <-w:
	case <-changed:
	case <-s.broken:
	case <-s.stopped:
	case <-limit.C:
		return false
	}
	return true
}
