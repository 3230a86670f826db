package load

import (
	"errors"
	"fmt"
	"time"

	"twofold/nfs/client"
)

// Bounds of a Config and a Cell.
const (
	MaxCallers     = 256
	MaxConnections = 64
	MaxWidth       = 1_000_000
	minFileSize    = 1 << 20
	maxFileSize    = 1 << 40
)

// Config is what all cells of a Bench share.
type Config struct {
	Targets      []Target
	Connections  int // to each target; the callers are spread over them
	UID, GID     uint32
	ReservedPort bool          // connect from a port below 1024
	Width        int           // entries in each directory that is prepared, or filled
	FileSize     int64         // bytes of a stream's file
	Seed         uint64        // of everything that is chosen
	Timeout      time.Duration // a call without an answer for so long is lost
	// Progress is called a few times a second unless it is nil.
	Progress func(Progress)
	// Window is called at the begin (true) and at the end of each measured time unless it is nil.
	Window func(begin bool)
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case len(c.Targets) == 0 || len(c.Targets) > 2:
		return errors.New("give one target, or two that serve one volume")
	case c.Connections < 1 || c.Connections > MaxConnections:
		return fmt.Errorf("%d connections: 1 to %d are possible", c.Connections, MaxConnections)
	case c.Width < 1 || c.Width > MaxWidth:
		return fmt.Errorf("directory width %d: 1 to %d is possible", c.Width, MaxWidth)
	case c.FileSize < minFileSize || c.FileSize > maxFileSize:
		return fmt.Errorf("file size %d: %d to %d bytes are possible", c.FileSize, minFileSize, int64(maxFileSize))
	case c.Timeout <= 0:
		return errors.New("the time for an answer must be more than nothing")
	}
	return nil
}

// Cell is one measurement.
type Cell struct {
	Workload string
	Callers  int
	// Duration is how long to measure; Warmup goes before it. With Ops so many operations are made instead, without a warm-up.
	Duration time.Duration
	Warmup   time.Duration
	Ops      int64
}

// Validate says what is wrong with c.
func (c *Cell) Validate() error {
	switch {
	case Find(c.Workload) == nil:
		return fmt.Errorf("workload %q: there are %s", c.Workload, names())
	case c.Callers < 1 || c.Callers > MaxCallers:
		return fmt.Errorf("%d callers: 1 to %d are possible", c.Callers, MaxCallers)
	case c.Ops < 0 || c.Ops == 0 && c.Duration <= 0:
		return errors.New("give a duration, or a number of operations")
	case c.Warmup < 0:
		return errors.New("the warm-up cannot be less than nothing")
	}
	return nil
}

// Progress says how far a cell is.
type Progress struct {
	Cell  Cell
	Stage string  // "prepare", "warm up", "measure"
	Done  float64 // 0 to 1 of the measuring
	Ops   int64   // so far
}

// What a call can fail of, beside a status and a failed connection.
var (
	errLost    = errors.New("load: no answer in time")
	errStopped = errors.New("load: stopped")
	// errUsedUp is returned by an operation when its round has no more.
	errUsedUp = errors.New("load: nothing left of what was prepared")
)

// callError is a call that was answered otherwise than it should be.
type callError struct {
	proc uint32
	what string // the status, or what is wrong with the reply
}

func (e *callError) Error() string { return procNames[e.proc] + " " + e.what }

var procNames = [client.ProcCommit + 1]string{
	"NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE", "RMDIR",
	"RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
}
