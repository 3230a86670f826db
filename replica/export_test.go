package replica

import (
	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/state"
)

// ApplyAltered applies an entry to a state as a Store does, after its commands were
// changed.
func ApplyAltered(st *state.State, e raftlog.Entry, alter func(*command.Command)) error {
	se, _, err := decodeForState(e)
	if err != nil {
		return err
	}
	for i := range se.Commands {
		alter(&se.Commands[i])
	}
	return st.ApplyAll([]state.Entry{se})
}

// Delivered returns the index of the last entry that the log has delivered.
func (s *Store) Delivered() raftlog.Index { return raftlog.Index(s.delivered.Load()) }

// AgreedSuffix is added to the name of a state for the copy that both agreed on.
const AgreedSuffix = agreedSuffix
