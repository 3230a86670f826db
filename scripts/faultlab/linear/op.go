package linear

import (
	"fmt"
	"sync"
	"time"

	"twofold/nfs/client"
)

// Kind is what an operation does.
type Kind int

// The operations on files, and then those on directories.
const (
	Read Kind = iota
	Getattr
	Write
	Truncate
	Chmod
	Lookup
	Readdir
	ReaddirPlus
	CreateExclusive
	CreateGuarded
	Remove
	Rename
)

// String names the procedure.
func (k Kind) String() string {
	return [...]string{"READ", "GETATTR", "WRITE", "SETATTR size", "SETATTR mode", "LOOKUP", "READDIR", "READDIRPLUS",
		"CREATE exclusive", "CREATE guarded", "REMOVE", "RENAME"}[k]
}

// Sizes of what is worked at. A small directory and short files make conflicts.
const (
	slots     = 3 // of a file
	slotBytes = 8
	names     = 4 // of a directory
)

// Input is what was asked for.
type Input struct {
	Object int // index of the file, or of the directory beyond the files
	Kind   Kind
	Slot   int    // of Write; for Truncate the number of slots
	Value  string // of Write
	Mode   uint32 // of Chmod
	Name   int    // of operations on directories
	To     int    // of Rename
	Owner  uint32 // of creations
}

// Output is what was answered.
type Output struct {
	Unknown bool // nobody knows the outcome
	Status  client.Status
	Data    string        // of Read
	Size    uint64        // of Getattr
	Mode    uint32        // of Getattr
	Owner   uint32        // of Lookup
	Owners  [names]uint32 // of Readdir and ReaddirPlus; 0 where there is no such name, anyOwner if it is not known
}

// anyOwner stands for an owner that READDIR does not tell.
const anyOwner = ^uint32(0)

// Op is one operation of a history. Times are since the epoch began.
type Op struct {
	Client int
	Node   int // that the client preferred
	In     Input
	Out    Output
	Call   time.Duration
	Return time.Duration
	Ctime  client.Time // of the file, if the answer had it
	FileID uint64      // of what a lookup or a creation found
	IDs    [names]uint64
}

// String is the operation for people.
func (o Op) String() string {
	return fmt.Sprintf("%9.3f - %9.3f ms client %d: %s", ms(o.Call), ms(o.Return), o.Client, describe(o.In, o.Out))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// describe tells one operation and its answer.
func describe(in Input, out Output) string {
	ask := fmt.Sprintf("%s object %d", in.Kind, in.Object)
	switch in.Kind {
	case Write:
		ask += fmt.Sprintf(" slot %d %s", in.Slot, in.Value)
	case Truncate:
		ask += fmt.Sprintf(" to %d", in.Slot*slotBytes)
	case Chmod:
		ask += fmt.Sprintf(" %o", in.Mode)
	case CreateExclusive, CreateGuarded:
		ask += fmt.Sprintf(" name %d owner %d", in.Name, in.Owner)
	case Lookup, Remove:
		ask += fmt.Sprintf(" name %d", in.Name)
	case Rename:
		ask += fmt.Sprintf(" name %d to %d", in.Name, in.To)
	}
	switch {
	case out.Unknown:
		return ask + ": unknown"
	case out.Status != client.OK:
		return ask + ": " + out.Status.String()
	}
	switch in.Kind {
	case Read:
		return fmt.Sprintf("%s: %q", ask, out.Data)
	case Getattr:
		return fmt.Sprintf("%s: size %d mode %o", ask, out.Size, out.Mode)
	case Lookup:
		return fmt.Sprintf("%s: owner %d", ask, out.Owner)
	case Readdir, ReaddirPlus:
		return fmt.Sprintf("%s: %v", ask, out.Owners)
	}
	return ask + ": ok"
}

// History is what all clients of an epoch have recorded.
type History struct {
	Files int // objects below it are files, the others directories
	mu    struct {
		sync.Mutex
		ops []Op
	}
}

// Add records an operation.
func (h *History) Add(o Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.ops = append(h.mu.ops, o)
}

// Ops returns what was recorded.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.ops
}
