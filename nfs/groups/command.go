package groups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// maxOutput bounds what a command may print, in bytes: some ten thousand groups.
const maxOutput = 128 << 10

// pipeTime is how long a command that ended or was killed may hold its output
// open, by children of its own.
const pipeTime = time.Second

// Command is a Source that runs id(1).
type Command struct{ path string }

// NewCommand finds the program in PATH. name is "id", but for tests.
func NewCommand(name string) (*Command, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("look up groups: %w: install it (coreutils), or turn the look-up of groups off", err)
	}
	return &Command{path: path}, nil
}

// Groups runs id -G UID.
func (c *Command) Groups(ctx context.Context, uid uint32) ([]uint32, error) {
	cmd := exec.CommandContext(ctx, c.path, "-G", strconv.FormatUint(uint64(uid), 10))
	cmd.WaitDelay = pipeTime
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"} // messages are in English
	var out, complaint bounded
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case out.over || complaint.over:
		return nil, fmt.Errorf("%s -G %d: %w", c.path, uid, errOutput)
	case err == nil:
		return parse(out.buf.String())
	}
	var exit *exec.ExitError
	said := strings.TrimSpace(complaint.buf.String())
	// The first is what coreutils say, the second busybox.
	if errors.As(err, &exit) && (strings.Contains(said, "no such user") || strings.Contains(said, "unknown user")) {
		return nil, fmt.Errorf("user %d: %w", uid, ErrUnknownUser)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return nil, fmt.Errorf("%s -G %d: %w: %.200q", c.path, uid, err, said)
}

// parse reads group ids that are separated by white space.
func parse(s string) ([]uint32, error) {
	var groups []uint32
	for word := range strings.FieldsSeq(s) {
		gid, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("a group id was expected, not %.40q", word)
		}
		groups = append(groups, uint32(gid))
	}
	return groups, nil
}

// bounded keeps output up to maxOutput; more of it is an error.
type bounded struct {
	buf  bytes.Buffer
	over bool
}

var errOutput = fmt.Errorf("more than %d bytes of output", maxOutput)

func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > maxOutput {
		b.over = true
		return 0, errOutput
	}
	return b.buf.Write(p)
}
