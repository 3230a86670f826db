package raftlog

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// ErrNoEntry is returned by Entries for one that the log does not have, any more or yet.
var ErrNoEntry = errors.New("raftlog: not in the log")

// Entries calls f for the entries of this node's log from one to another, in order.
// It fails if the log does not have them all: it may have been cut by then. The
// caller knows that they are committed.
func (n *Node) Entries(from, to Index, f func(Entry) error) error {
	for i := from; i <= to; i++ {
		var l raft.Log
		err := n.store.GetLog(uint64(i), &l)
		if errors.Is(err, raft.ErrLogNotFound) {
			return fmt.Errorf("%w: entry %d", ErrNoEntry, i)
		}
		if err != nil {
			return fmt.Errorf("raftlog: entry %d: %w", i, err)
		}
		e := Entry{Index: i, Term: Term(l.Term)}
		if l.Type == raft.LogCommand {
			var err error
			if e.Data, _, err = decodeFrame(l.Data); err != nil {
				return fmt.Errorf("log entry %d: %w", i, err)
			}
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}
