package probe

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"twofold/nfs/client"
	"twofold/replica/vfs"
	"twofold/scripts/faultlab/caller"
)

const (
	recordBytes = 64
	// maxSteps bounds what one probe changes in a round.
	maxSteps = 1 << 16
	// readdirBytes is room for more names than there ever are.
	readdirBytes = 8 << 10
)

// steps counts the changes of one probe. A change is tried, then acknowledged; a read may see it in between.
type steps struct {
	tried, acked, seen atomic.Int64
}

// floor is what a read that is sent now must see at least.
func (s *steps) floor() int64 { return max(s.acked.Load(), s.seen.Load()) }

// observe checks what a read saw against the floor at its sending.
func (s *steps) observe(floor, got int64) error {
	switch tried := s.tried.Load(); {
	case got < floor:
		return fmt.Errorf("STALE: %d changes where %d were acknowledged or seen before", got, floor)
	case got > tried:
		return fmt.Errorf("%d changes where %d were asked for", got, tried)
	}
	for {
		old := s.seen.Load()
		if got <= old || s.seen.CompareAndSwap(old, got) {
			return nil
		}
	}
}

// target is what the two changing probes of one node work at.
type target struct {
	name   string
	file   client.FH
	writes steps
	dir    client.FH
	names  steps
}

// record is the content of record i of a target's file.
func (t *target) record(i int64) []byte {
	line := fmt.Sprintf("%s record %d ", t.name, i)
	return []byte(strings.Repeat(line, recordBytes/len(line)+1)[:recordBytes])
}

// newTarget makes the objects for the probes of one node.
func newTarget(ctx context.Context, c *caller.Caller, root client.FH, name string) (*target, error) {
	t := &target{name: name}
	mode := client.SetAttr{Mode: client.Ptr(uint32(0o755))}
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Mkdir(ctx, root, name, mode)
		t.dir = res.FH
		return res.Status, err
	})
	if err := failure("MKDIR "+name, st, err); err != nil {
		return nil, err
	}
	if err := create(ctx, c, t.dir, chainName(0), nil); err != nil {
		return nil, err
	}
	return t, create(ctx, c, root, name+".data", &t.file)
}

// create makes a file that must not be there yet.
func create(ctx context.Context, c *caller.Caller, dir client.FH, name string, fh *client.FH) error {
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Create(ctx, dir, name, client.CreateHow{Mode: vfs.CreateGuarded})
		if fh != nil {
			*fh = res.FH
		}
		return res.Status, err
	})
	return failure("CREATE "+name, st, err)
}

// failure is the error of a call, nil if it succeeded.
func failure(what string, st client.Status, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case st != client.OK:
		return fmt.Errorf("%s: %w", what, st)
	}
	return nil
}

func chainName(i int64) string { return fmt.Sprintf("n%d", i) }
func extraName(i int64) string { return fmt.Sprintf("k%d", i) }

// position is the number in the chain's name after so many changes: each second one is a rename.
func position(changes int64) int64 { return (changes + 1) / 2 }

// extra is the other name that is there after so many changes, empty if there is none: the changes between the renames create one and remove it.
func extra(changes int64) string {
	if between := changes / 2; between%2 == 1 {
		return extraName(between / 2)
	}
	return ""
}

// countChanges is the number of changes that leads to the names of a directory.
func countChanges(names []string) (int64, error) {
	chain, other := int64(-1), ""
	for _, n := range names {
		switch {
		case n == "." || n == "..":
		case strings.HasPrefix(n, "n") && chain < 0:
			if _, err := fmt.Sscanf(n, "n%d", &chain); err != nil {
				return 0, fmt.Errorf("name %q: %w", n, err)
			}
		case strings.HasPrefix(n, "k") && other == "":
			other = n
		default:
			return 0, fmt.Errorf("the names %v are of no moment", names)
		}
	}
	for _, changes := range []int64{2*chain - 1, 2 * chain} {
		if chain >= 0 && changes >= 0 && extra(changes) == other {
			return changes, nil
		}
	}
	return 0, fmt.Errorf("the names %v are of no moment", names)
}

// write appends the next record.
func (t *target) write(ctx context.Context, c *caller.Caller) error {
	i := t.writes.acked.Load()
	t.writes.tried.Store(i + 1)
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Write(ctx, t.file, uint64(i*recordBytes), t.record(i), client.FileSync)
		if err == nil && res.Status == client.OK && (res.Count != recordBytes || res.Committed != client.FileSync) {
			err = fmt.Errorf("%d bytes, committed %d", res.Count, res.Committed)
		}
		return res.Status, err
	})
	if err := failure(fmt.Sprintf("WRITE of record %d to %s", i, t.name), st, err); err != nil {
		return err
	}
	t.writes.acked.Store(i + 1)
	return nil
}

// rename makes the next change of names.
func (t *target) rename(ctx context.Context, c *caller.Caller) error {
	i := t.names.acked.Load()
	t.names.tried.Store(i + 1)
	var err error
	switch {
	case i%2 == 0:
		from, to := chainName(i/2), chainName(i/2+1)
		var st client.Status
		st, err = c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Rename(ctx, t.dir, from, t.dir, to)
			return res.Status, err
		})
		err = failure(fmt.Sprintf("RENAME %s to %s", from, to), st, err)
	case i%4 == 1:
		err = create(ctx, c, t.dir, extraName(i/4), nil)
	default:
		var st client.Status
		st, err = c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Remove(ctx, t.dir, extraName(i/4))
			return res.Status, err
		})
		err = failure("REMOVE "+extraName(i/4), st, err)
	}
	if err != nil {
		return fmt.Errorf("change %d of the names in %s: %w", i, t.name, err)
	}
	t.names.acked.Store(i + 1)
	return nil
}
