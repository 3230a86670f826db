package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// doubtFile is there while this node's log may lack entries that it acknowledged.
const doubtFile = "damaged"

// errNoVote is what raft is told that would have this node vote, for itself or
// another one.
var errNoVote = errors.New("raftlog: the log was damaged: no vote before a leader has filled it again")

// doubt is what follows from damage in the own log (rule M3, Lemma 16 of
// docs/consistency.md): entries that this node acknowledged may be gone. It gives no
// vote, asks for none and has no lease until a leader has filled the log again: up to
// an entry of a term that is later than Term, or, by the leader of that very term, up to
// where that one's log went after this process had started.
type doubt struct {
	dir  string
	mark atomic.Pointer[doubtMark] // nil while the log is sound

	mu     sync.Mutex // of writing the file
	target Index      // zero until the leader of the mark's term has said it
}

// doubtMark is the file. It is there before anything is cut from the log.
type doubtMark struct {
	Version int
	Term    uint64 // this node has acknowledged nothing in a later one
	Reason  string
	// State is how far the state was when the log was opened: until the log is as
	// long, nothing can be appended by a person. nil if that is not known yet.
	State *uint64 `json:",omitempty"`
}

func (d *doubt) is() bool { return d.mark.Load() != nil }

func (d *doubt) reason() string {
	if m := d.mark.Load(); m != nil {
		return m.Reason
	}
	return ""
}

// read takes what an earlier process noted.
func (d *doubt) read() error {
	m := &doubtMark{}
	found, err := readChecked(d.dir, doubtFile, m)
	if err != nil || !found {
		return err
	}
	if m.Version != 1 {
		return fmt.Errorf("raftlog: %s has version %d, this program knows 1", filepath.Join(d.dir, doubtFile), m.Version)
	}
	d.mark.Store(m)
	return nil
}

// note makes a mark durable: damage was found, while the term was this one.
func (d *doubt) note(m doubtMark) error {
	m.Version = 1
	if err := writeChecked(d.dir, doubtFile, &m); err != nil {
		return fmt.Errorf("raftlog: noting that the log is damaged: %w", err)
	}
	d.mark.Store(&m)
	return nil
}

// end deletes the mark.
func (d *doubt) end() error {
	if err := os.Remove(filepath.Join(d.dir, doubtFile)); err != nil {
		return err
	}
	return syncDir(d.dir)
}

// filled tells whether a log that ends with an entry of this index and term has
// everything again that was acknowledged.
func (d *doubt) filled(m *doubtMark, last Index, term Term) bool {
	return term > Term(m.Term) || term == Term(m.Term) && d.target > 0 && last >= d.target
}

// damagedLog notes damage before the log is cut.
func (n *Node) damagedLog(reason error) error {
	term, err := votedTerm(n.vote)
	if err != nil {
		return err
	}
	return n.doubt.note(doubtMark{Term: term, Reason: reason.Error()})
}

// excuse lets a log that was cut be shorter than what was applied. raft must find no
// gap between the marker, or the state if that is older, and the log.
func (n *Node) excuse(m *marker) error {
	mark := n.doubt.mark.Load()
	if mark == nil {
		return nil
	}
	begin, state := uint64(0), uint64(0)
	if m != nil {
		begin = m.Index
	}
	if n.sm != nil {
		durable, _ := n.sm.Durable()
		state = uint64(durable)
		begin = min(begin, state)
	}
	known := *mark
	known.State = &state
	if err := n.doubt.note(known); err != nil {
		return err
	}
	last, _ := n.store.LastIndex() // reads memory and never fails
	n.log.Error("the log was damaged: this node does not vote and cannot lead until a leader has filled its log again; start the other members. If they are lost for good, see `twofold recover`",
		"found", mark.Reason, "sound up to", last, "state", state)
	if last >= begin {
		return nil
	}
	return n.store.Reset(begin)
}

// beginWithout has raft deliver from the entry after the marker although no state is
// of it. If the log was damaged too, what is sound of it may end before the marker,
// where raft appends next: the log must have no gap there.
func (n *Node) beginWithout(m *marker, last uint64) error {
	n.beginAt(m)
	if m == nil || last >= m.Index {
		return nil
	}
	return n.store.Reset(m.Index)
}

// alone refuses to start with a log that nobody can fill.
func (n *Node) alone() error {
	latest, _ := n.membership.configurations()
	v := latest.voters()
	if n.doubt.is() && len(v) == 1 && v[0] == n.cfg.Name {
		return fmt.Errorf("%w: the log in %s was damaged (%s), and no other member has a vote that could fill it: use `twofold recover` to go on with what is left, or replace this node by a new one", ErrCorrupt, n.cfg.Dir, n.doubt.reason())
	}
	return nil
}

// fillDoubt ends the doubt as soon as the log is filled again.
func (n *Node) fillDoubt() {
	m := n.doubt.mark.Load()
	if m == nil {
		return
	}
	n.doubt.mu.Lock()
	defer n.doubt.mu.Unlock()
	if n.doubt.target == 0 {
		n.doubt.target = n.leaderEnd(Term(m.Term))
	}
	last, _ := n.store.LastIndex() // reads memory and never fails
	if k := n.markers.now(); k != nil {
		last = max(last, k.Index)
	}
	if !n.doubt.filled(m, Index(last), Term(n.termAt(last))) {
		return
	}
	if err := errors.Join(n.doubt.end(), n.store.Forget()); err != nil {
		n.fail(fmt.Errorf("raftlog: the log is filled again: %w", err))
		return
	}
	n.doubt.mark.Store(nil)
	n.cfg.Metrics.LogDamaged(false)
	n.log.Info("the log was filled again: this node votes", "last", last)
}

// leaderEnd returns where the log of the leader of a term went when it answered a
// ping of this process; zero if it did not yet.
func (n *Node) leaderEnd(t Term) Index {
	for _, k := range n.peers() {
		if p, at := k.state(); !at.IsZero() && p.Leader && p.Term == t {
			return p.Last
		}
	}
	return 0
}

// soundVote is a stable store that takes no vote while the log is in doubt: raft
// votes for itself without a message.
type soundVote struct {
	raft.StableStore
	doubt *doubt
}

// Set implements raft.StableStore. raft sets nothing but the candidate of a vote
// with it.
func (v soundVote) Set(key, val []byte) error {
	if v.doubt.is() {
		return errNoVote
	}
	return v.StableStore.Set(key, val)
}

// readDoubt returns the mark of a stopped node, nil if there is none.
func readDoubt(dir string) (*doubtMark, error) {
	d := doubt{dir: dir}
	err := d.read()
	return d.mark.Load(), err
}

// recoverable refuses to make a log the only one that a state is ahead of: what was
// appended to it would be taken for applied.
func recoverable(dir string, last uint64) (*doubtMark, error) {
	m, err := readDoubt(dir)
	if err != nil || m == nil {
		return nil, err
	}
	if m.State == nil || *m.State > last {
		return nil, fmt.Errorf("%w: the log in %s was damaged (%s) and ends at %d, before what the state has: it cannot be continued without another member", ErrCorrupt, dir, m.Reason, last)
	}
	return m, nil
}
