package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// How many calls Clean has outstanding, and how often it waits when it is told JUKEBOX.
const (
	cleanCalls   = 64
	cleanTries   = 50
	cleanPause   = 100 * time.Millisecond
	cleanListing = 64 << 10
)

// litter is a name to remove.
type litter struct {
	dir  client.FH
	name string
}

// cleaner removes what a Bench made, over a connection of its own: the others may have failed.
type cleaner struct {
	c      *client.Client
	files  []litter
	levels [][]litter // directories, by depth
}

// Clean removes everything that was made.
func (b *Bench) Clean(ctx context.Context) error {
	s := b.servers[0]
	c, err := dial(ctx, s.target.addr(s.target.NFSPort), &b.cfg)
	if err == nil {
		err = cleanUp(ctx, c, b.top, litter{dir: s.root, name: b.name})
		_ = c.Close()
	}
	if err != nil {
		return fmt.Errorf("%s: %s is left, or some of it: %w", s.target, b.name, err)
	}
	return nil
}

// cleanUp removes a directory. A call that was given up may be done after the directory was listed; it is then listed again.
func cleanUp(ctx context.Context, c *client.Client, dir client.FH, as litter) error {
	var err error
	for range cleanTries {
		k := &cleaner{c: c}
		if err = k.clean(ctx, dir, as); !errors.Is(err, client.ErrNotEmpty) {
			return err
		}
		select {
		case <-time.After(cleanPause):
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// clean removes a directory. Files go first, then directories, the deepest first.
func (k *cleaner) clean(ctx context.Context, dir client.FH, as litter) error {
	if err := k.collect(ctx, dir, 0); err != nil {
		return err
	}
	if err := unlinkAll(ctx, k.files, k.c.Remove); err != nil {
		return err
	}
	for i := len(k.levels) - 1; i >= 0; i-- {
		if err := unlinkAll(ctx, k.levels[i], k.c.Rmdir); err != nil {
			return err
		}
	}
	return unlink(ctx, as, k.c.Rmdir)
}

// collect lists everything below a directory. What this program makes is never deeper than a few levels.
func (k *cleaner) collect(ctx context.Context, dir client.FH, level int) error {
	list, err := k.c.ReadAll(ctx, dir, true, cleanListing)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name == "." || e.Name == ".." {
			continue
		}
		isDir, fh, err := k.isDir(ctx, dir, &e)
		if err != nil {
			return err
		}
		if !isDir {
			k.files = append(k.files, litter{dir: dir, name: e.Name})
			continue
		}
		if len(k.levels) == level {
			k.levels = append(k.levels, nil)
		}
		k.levels[level] = append(k.levels[level], litter{dir: dir, name: e.Name})
		if err := k.collect(ctx, fh, level+1); err != nil {
			return err
		}
	}
	return nil
}

// isDir finds out what an entry is; READDIRPLUS may leave attributes and handles out.
func (k *cleaner) isDir(ctx context.Context, dir client.FH, e *client.Dirent) (bool, client.FH, error) {
	if e.Attr != nil && e.FH != nil {
		return e.Attr.Type == vfs.TypeDir, e.FH, nil
	}
	found, err := k.c.Lookup(ctx, dir, e.Name)
	if err == nil {
		err = found.Status.Err()
	}
	if err != nil {
		return false, nil, err
	}
	attr, err := k.c.Getattr(ctx, found.FH)
	if err == nil {
		err = attr.Status.Err()
	}
	return attr.Attr.Type == vfs.TypeDir, found.FH, err
}

// unlinkAll removes names, many at a time.
func unlinkAll(ctx context.Context, all []litter, remove unlinkFunc) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cleanCalls)
	for _, l := range all {
		g.Go(func() error { return unlink(ctx, l, remove) })
	}
	return g.Wait()
}

// unlinkFunc is REMOVE or RMDIR.
type unlinkFunc func(ctx context.Context, dir client.FH, name string) (client.WCCRes, error)

// unlink removes one name. One that is gone is no error: a call that was given up may have been done late.
func unlink(ctx context.Context, l litter, remove unlinkFunc) error {
	for range cleanTries {
		res, err := remove(ctx, l.dir, l.name)
		if err != nil {
			return err
		}
		switch res.Status {
		case client.OK, client.ErrNoEnt:
			return nil
		case client.ErrJukebox:
			time.Sleep(cleanPause)
		default:
			return fmt.Errorf("%s: %w", l.name, res.Status)
		}
	}
	return fmt.Errorf("%s: %w", l.name, client.ErrJukebox)
}
