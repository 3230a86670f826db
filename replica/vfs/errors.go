package vfs

import (
	"errors"
	"fmt"
)

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

// NeverProposed reports that err promises that the change was not and will not
// be handed to the log, so that a front end may ask its client to try again
// under a new identity.
func NeverProposed(err error) bool {
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrNoQuorum) || errors.Is(err, ErrNotReady)
}

// Error is a verdict as a Go error, for callers that work with errors (billy,
// tools). NFS procedures use the Kind itself.
type Error struct {
	Op   string // package.Function
	Ino  Ino    // zero if none
	Name string // empty if none
	Kind Kind
}

// Error names the operation, the object and the verdict.
func (e *Error) Error() string {
	switch {
	case e.Name != "":
		return fmt.Sprintf("%s %d/%q: %s", e.Op, e.Ino, e.Name, e.Kind)
	case e.Ino != 0:
		return fmt.Sprintf("%s inode %d: %s", e.Op, e.Ino, e.Kind)
	default:
		return fmt.Sprintf("%s: %s", e.Op, e.Kind)
	}
}
