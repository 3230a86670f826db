package replica

import (
	"fmt"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/state"
)

// A node that was away has many entries to apply, and so has one that many clients
// keep busy. What several of them change, such as a directory or a file's block, is
// then written once for all. The bounds keep a step short, since readers wait while it
// is written into memory, and small, since each command may change a block.
const (
	maxGroupEntries = 256
	// maxGroupCommands and maxGroupBytes bound the entries of a group but for its last
	// one.
	maxGroupCommands = 1024
	maxGroupBytes    = 1 << 20
)

// group is the entries that are applied in one step. The apply goroutine has one,
// and uses it again and again.
type group struct {
	entries []state.Entry
	handed  []handed // of each entry
}

// handed is what a proposer handed over: the term that it took for its own, and
// its commands.
type handed struct {
	term uint64
	cmds []command.Command
}

// dropped tells whether Raft took the entry in another term than its proposer had:
// it changes nothing.
func (h *handed) dropped(e *state.Entry) bool { return h.cmds != nil && h.term != e.Term }

// fill makes g the first of entries, in their order, without those up to the applied
// index, which a state that was brought has. It returns how many they are with these:
// one at least, and with an error up to the entry that cannot be decoded.
func (g *group) fill(entries []raftlog.Entry, applied raftlog.Index) (n int, err error) {
	clear(g.entries)
	clear(g.handed)
	g.entries, g.handed = g.entries[:0], g.handed[:0]
	commands, bytes := 0, 0
	for i, e := range entries {
		if e.Index <= applied {
			continue
		}
		if len(g.entries) == maxGroupEntries || commands >= maxGroupCommands || bytes >= maxGroupBytes {
			return i, nil
		}
		se, h, err := decodeForState(e)
		switch {
		case err != nil && len(g.entries) > 0:
			return i, nil // what precedes it is sound
		case err != nil:
			return i + 1, err
		}
		commands, bytes = commands+len(se.Commands), bytes+len(e.Data)
		g.entries, g.handed = append(g.entries, se), append(g.handed, h)
		if comparesDigests(se.Commands) {
			return i + 1, nil
		}
	}
	return len(entries), nil
}

// decodeForState makes a log entry one for the state. It has no commands if it
// changes nothing.
func decodeForState(e raftlog.Entry) (se state.Entry, h handed, err error) {
	se = state.Entry{Index: uint64(e.Index), Term: uint64(e.Term)}
	if e.Data == nil {
		return se, h, nil
	}
	h.term, h.cmds, err = decodeEntry(e.Data)
	if err != nil {
		return se, h, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if !h.dropped(&se) {
		se.Commands = h.cmds
	}
	return se, h, nil
}

// comparesDigests tells whether this node's digest may have to be noted after the
// commands: both nodes note theirs after the same entry, whatever they group.
func comparesDigests(cmds []command.Command) bool {
	for i := range cmds {
		if _, ok := cmds[i].Op.(*command.Integrity); ok {
			return true
		}
	}
	return false
}
