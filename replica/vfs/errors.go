package vfs

import "errors"

// Availability errors. They are local to a node and never stored. The first
// three promise that the call was never handed to the log.
var (
	// ErrBusy is returned when a named limit on queued calls is reached.
	ErrBusy = errors.New("too many calls in progress")
	// ErrNoQuorum is returned when no leader was found within the bound.
	ErrNoQuorum = errors.New("no quorum")
	// ErrNotReady is returned while the node starts and knows no volume yet.
	ErrNotReady = errors.New("volume not ready")

	// ErrUnknownOutcome is returned when a change was handed to the log and
	// its fate is not known. It must never become an error status.
	ErrUnknownOutcome = errors.New("outcome not known")
	// ErrShutdown is returned by a store that is being closed.
	ErrShutdown = errors.New("shutting down")
	// ErrCorrupt is returned when stored bytes do not decode or do not match
	// their checksum.
	ErrCorrupt = errors.New("stored state is corrupt")
)

// NeverProposed reports that err promises that this call was not and will not
// be handed to the log. It says nothing of an earlier copy of a change, so that
// only a read may be told to come back under a new identity
// (docs/decisions/0004).
func NeverProposed(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrNoQuorum) || errors.Is(err, ErrNotReady)
}
