package identity

import (
	"errors"
	"fmt"
)

// Reasons for which a directory or a binding is refused.
var (
	// ErrNotFormatted is returned for a directory that Init never finished.
	ErrNotFormatted = errors.New("identity: not formatted")
	// ErrNotEmpty is returned by Init for a directory that holds something.
	ErrNotEmpty = errors.New("identity: directory not empty")
	// ErrNoSpace is returned by Init when less than the minimum is free.
	ErrNoSpace = errors.New("identity: too little free space")
	// ErrOtherNode is returned when the directory is another node's.
	ErrOtherNode = errors.New("identity: directory of another node")
	// ErrOtherCluster is returned when the directory is of another cluster.
	ErrOtherCluster = errors.New("identity: directory of another cluster")
	// ErrOtherRole is returned when the directory was formatted for another role.
	ErrOtherRole = errors.New("identity: directory of another role")
	// ErrNewerFormat is returned for a file that a newer version wrote.
	ErrNewerFormat = errors.New("identity: newer format")
	// ErrDamaged is returned for a file that does not decode or whose checksum
	// does not match.
	ErrDamaged = errors.New("identity: damaged file")
	// ErrLocked is returned when another process uses the directory.
	ErrLocked = errors.New("identity: directory in use")
	// ErrBound is returned when the directory is bound to another cluster.
	ErrBound = errors.New("identity: already bound")
	// ErrFenced is returned for a directory that the cluster goes on without, for
	// ever.
	ErrFenced = errors.New("identity: fenced")
	// ErrInvalid is returned for a name, role or set of members that cannot be.
	ErrInvalid = errors.New("identity: invalid")
)

// Error is a refusal: one line for a person, and its reason for a program.
type Error struct {
	Reason error  // one of the sentinels of this package
	Text   string // what is wrong and what to do
}

// Error returns the line.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Reason }

// refuse makes an Error.
func refuse(reason error, format string, args ...any) error {
	return &Error{Reason: reason, Text: fmt.Sprintf(format, args...)}
}
