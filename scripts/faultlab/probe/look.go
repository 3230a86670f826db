package probe

import (
	"bytes"
	"context"
	"fmt"

	"twofold/nfs/client"
	"twofold/scripts/faultlab/caller"
)

// looks are the ways to read, which a reading probe uses in turn.
var looks = []func(*target, context.Context, *caller.Caller) error{
	(*target).readRecord, (*target).readSize, (*target).readNames, (*target).lookupNew, (*target).lookupOld,
}

// readRecord reads the newest record that must be there.
func (t *target) readRecord(ctx context.Context, c *caller.Caller) error {
	floor := t.writes.floor()
	if floor == 0 {
		return t.readSize(ctx, c)
	}
	var data []byte
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Read(ctx, t.file, uint64((floor-1)*recordBytes), recordBytes)
		data = res.Data
		return res.Status, err
	})
	if err := failure("READ "+t.name, st, err); err != nil {
		return err
	}
	if want := t.record(floor - 1); !bytes.Equal(data, want) {
		return fmt.Errorf("STALE: READ of record %d of %s: %q, want %q", floor-1, t.name, data, want)
	}
	return nil
}

// readSize counts the records by the file's size.
func (t *target) readSize(ctx context.Context, c *caller.Caller) error {
	floor := t.writes.floor()
	var size uint64
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Getattr(ctx, t.file)
		size = res.Attr.Size
		return res.Status, err
	})
	if err := failure("GETATTR "+t.name, st, err); err != nil {
		return err
	}
	if err := t.writes.observe(floor, int64(size/recordBytes)); err != nil {
		return fmt.Errorf("GETATTR %s: %w", t.name, err)
	}
	return nil
}

// readNames lists the directory.
func (t *target) readNames(ctx context.Context, c *caller.Caller) error {
	floor := t.names.floor()
	names, err := listNames(ctx, c, t.dir)
	if err != nil {
		return fmt.Errorf("READDIR %s: %w", t.name, err)
	}
	changes, err := countChanges(names)
	if err == nil {
		err = t.names.observe(floor, changes)
	}
	if err != nil {
		return fmt.Errorf("READDIR %s: %w", t.name, err)
	}
	return nil
}

// listNames lists a small directory by one call.
func listNames(ctx context.Context, c *caller.Caller, dir client.FH) ([]string, error) {
	var res client.ReadDirRes
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (_ client.Status, err error) {
		res, err = c.Readdir(ctx, dir, 0, [8]byte{}, readdirBytes)
		return res.Status, err
	})
	if err == nil {
		err = st.Err()
	}
	if err == nil && !res.EOF {
		err = fmt.Errorf("more than %d names", len(res.Entries))
	}
	var names []string
	for _, e := range res.Entries {
		names = append(names, e.Name)
	}
	return names, err
}

// lookup asks for a name of the chain and reports whether it is there.
func (t *target) lookup(ctx context.Context, c *caller.Caller, name string) (bool, error) {
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Lookup(ctx, t.dir, name)
		return res.Status, err
	})
	if err == nil && st == client.ErrNoEnt {
		return false, nil
	}
	return true, failure("LOOKUP "+name+" in "+t.name, st, err)
}

// lookupNew asks for the newest name that must have been there.
func (t *target) lookupNew(ctx context.Context, c *caller.Caller) error {
	floor := t.names.floor()
	there, err := t.lookup(ctx, c, chainName(position(floor)))
	if err == nil && !there && position(t.names.tried.Load()) == position(floor) {
		return fmt.Errorf("STALE: LOOKUP of the newest name, after %d changes in %s, finds nothing", floor, t.name)
	}
	return err
}

// lookupOld asks for a name that must be gone.
func (t *target) lookupOld(ctx context.Context, c *caller.Caller) error {
	floor := t.names.floor()
	old := position(floor) - 1
	if old < 0 {
		return t.lookupNew(ctx, c)
	}
	there, err := t.lookup(ctx, c, chainName(old))
	if err == nil && there {
		return fmt.Errorf("STALE: LOOKUP finds %s after %d changes in %s", chainName(old), floor, t.name)
	}
	return err
}

// verify compares what a node shows with what was acknowledged, when nothing is in flight.
func (t *target) verify(ctx context.Context, c *caller.Caller) error {
	var data []byte
	want := t.writes.acked.Load()
	for eof := false; !eof && int64(len(data)) <= want*recordBytes; {
		st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Read(ctx, t.file, uint64(len(data)), 64<<10)
			if err == nil && res.Status == client.OK {
				data, eof = append(data, res.Data...), res.EOF
			}
			return res.Status, err
		})
		if err := failure("READ "+t.name, st, err); err != nil {
			return err
		}
	}
	if got := int64(len(data)); got != want*recordBytes {
		return fmt.Errorf("LOST: %s has %d bytes, %d records were acknowledged", t.name, got, want)
	}
	for i := range want {
		if got := data[i*recordBytes : (i+1)*recordBytes]; !bytes.Equal(got, t.record(i)) {
			return fmt.Errorf("LOST: record %d of %s is %q", i, t.name, got)
		}
	}
	return t.verifyNames(ctx, c)
}

func (t *target) verifyNames(ctx context.Context, c *caller.Caller) error {
	names, err := listNames(ctx, c, t.dir)
	if err != nil {
		return fmt.Errorf("READDIR %s: %w", t.name, err)
	}
	got, err := countChanges(names)
	if err != nil {
		return fmt.Errorf("READDIR %s: %w", t.name, err)
	}
	if want := t.names.acked.Load(); got != want {
		return fmt.Errorf("LOST: %s shows %d changes of names, %d were acknowledged", t.name, got, want)
	}
	return nil
}
