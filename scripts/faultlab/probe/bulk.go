package probe

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"twofold/nfs/client"
	"twofold/scripts/faultlab/caller"
)

// Bulk is small files that are written and written again, for a node to miss.
type Bulk struct {
	addrs [2]string
	files []client.FH
}

// bulkWriters is how many clients write at a time.
const bulkWriters = 8

// bulkBytes is the size of one file.
const bulkBytes = 4096

// NewBulk makes n files.
func NewBulk(ctx context.Context, addrs [2]string, prefix string, n int) (*Bulk, error) {
	b := &Bulk{addrs: addrs, files: make([]client.FH, n)}
	root, err := Mount(ctx, addrs)
	if err != nil {
		return nil, err
	}
	return b, b.each(ctx, func(ctx context.Context, c *caller.Caller, i int) error {
		return create(ctx, c, root, fmt.Sprintf("%s-%d", prefix, i), &b.files[i])
	})
}

// Rewrite writes every file anew, at whichever node answers.
func (b *Bulk) Rewrite(ctx context.Context, version int) error {
	return b.each(ctx, func(ctx context.Context, c *caller.Caller, i int) error { return b.rewrite(ctx, c, i, version) })
}

// RewriteOne writes one file anew, and waits until a given node answers.
func (b *Bulk) RewriteOne(ctx context.Context, node int) error {
	c := caller.New(b.addrs, node, caller.Waits)
	defer c.Close()
	return b.rewrite(ctx, c, 0, 0)
}

func (b *Bulk) rewrite(ctx context.Context, c *caller.Caller, i, version int) error {
	data := make([]byte, bulkBytes)
	copy(data, fmt.Sprintf("version %d", version))
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Write(ctx, b.files[i], 0, data, client.FileSync)
		return res.Status, err
	})
	return failure("WRITE", st, err)
}

// each calls f for every file from a few clients.
func (b *Bulk) each(ctx context.Context, f func(ctx context.Context, c *caller.Caller, i int) error) error {
	var errs [bulkWriters]error
	var writers sync.WaitGroup
	for w := range bulkWriters {
		writers.Go(func() {
			c := caller.New(b.addrs, w%2, caller.Moves)
			defer c.Close()
			for i := w; i < len(b.files) && errs[w] == nil; i += bulkWriters {
				errs[w] = f(ctx, c, i)
			}
		})
	}
	writers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Work rewrites the files again and again, as fast as they are answered, until the returned function is called, which tells how many rewrites there were.
func (b *Bulk) Work(ctx context.Context) (end func() (int, error)) {
	var stop atomic.Bool
	var count int
	var err error
	var working sync.WaitGroup
	working.Go(func() {
		for version := 1; !stop.Load() && err == nil; version++ {
			err = b.Rewrite(ctx, version)
			count += len(b.files)
		}
	})
	return func() (int, error) {
		stop.Store(true)
		working.Wait()
		return count, err
	}
}
