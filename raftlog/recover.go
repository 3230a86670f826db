package raftlog

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// Survivor is what a stopped node's log holds.
type Survivor struct {
	Last    Index // its last entry
	Term    Term  // of that entry
	Members Configuration
	Damaged string // what was wrong with the log; empty if nothing was
}

// Recover makes a stopped data node, of which cfg has what Open needs, the only
// member of its log, if apply is set: an entry is appended that says so, in a term
// of its own, and everything before it will count as committed. Nothing of that is
// agreed with anybody. The caller sees to it that the other members never meet this
// one again. It returns what the log held before, and changes nothing if this node
// is the only member already.
func Recover(cfg Config, apply bool) (s Survivor, err error) {
	cfg.setDefaults()
	vote, err := logstore.OpenVote(cfg.Dir, cfg.LogFS)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, vote.Close()) }()
	store, err := logstore.Open(logstore.Options{
		Dir: cfg.Dir, Kind: cfg.LogKind, SegmentBytes: cfg.LogSegmentBytes, FS: cfg.LogFS,
		KeepBytes: cfg.KeepLogBytes, Logger: newBridge(cfg.Logger),
	})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if s, err = survivor(&cfg, store); err != nil || !apply {
		return s, err
	}
	if err := appendAlone(&cfg, vote, store, s); err != nil || s.Damaged == "" {
		return s, err
	}
	return s, (&doubt{dir: cfg.Dir}).end()
}

// survivor reads what the log says.
func survivor(cfg *Config, store *logstore.Store) (s Survivor, err error) {
	last, _ := store.LastIndex() // reads memory and never fails
	if last == 0 {
		return s, fmt.Errorf("raftlog: %s holds no log", cfg.Dir)
	}
	term, _ := store.Term(last)
	s.Last, s.Term = Index(last), Term(term)
	damaged, err := recoverable(cfg.Dir, last)
	if err != nil {
		return s, err
	}
	if damaged != nil {
		s.Damaged = damaged.Reason
	}
	mark, err := readMarker(cfg.Dir)
	if err != nil {
		return s, err
	}
	s.Members, err = newMembership(cfg.Members, func(error) {}).newest(store, mark)
	if err == nil && len(s.Members.Servers) == 0 {
		err = fmt.Errorf("%w: the log in %s says nothing of the members, and its marker file is missing", ErrCorrupt, cfg.Dir)
	}
	return s, err
}

// appendAlone appends the entry. The term comes first: an entry must not be of a
// term that is above the own one.
func appendAlone(cfg *Config, vote *logstore.Vote, store *logstore.Store, s Survivor) error {
	self, ok := s.Members.Server(cfg.Name)
	if !ok || !self.Voter {
		return fmt.Errorf("raftlog: %s does not vote: its log may lack what was acknowledged long ago", cfg.Name)
	}
	if len(s.Members.Servers) == 1 {
		return nil
	}
	term, err := votedTerm(vote)
	if err != nil {
		return err
	}
	if term == 0 {
		return fmt.Errorf("%w: the stable store in %s holds no term: this node may have forgotten a vote", ErrCorrupt, cfg.Dir)
	}
	term = max(term, uint64(s.Term)) + 1
	if err := vote.SetUint64(termKey, term); err != nil {
		return err
	}
	addr, err := self.address()
	if err != nil {
		return err
	}
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(self.Name), Address: addr}}}
	return store.StoreLog(&raft.Log{
		Index: uint64(s.Last) + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(alone),
	})
}
