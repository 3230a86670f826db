package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"twofold/nfs/client"
)

// Bench is a connection to the servers, and a directory there.
type Bench struct {
	cfg     Config
	servers []*server
	name    string    // of the directory
	top     client.FH // as the first server calls it
	cells   int       // run so far
}

// Open connects to the servers and makes the directory. [Bench.Clean] and [Bench.Close] undo that.
func Open(ctx context.Context, cfg Config) (*Bench, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Bench{cfg: cfg, name: "bench-" + strconv.FormatUint(rand.Uint64(), 36)} // not of the seed: an earlier run may have left its own
	for _, t := range cfg.Targets {
		s, err := connect(ctx, t, &b.cfg)
		if err != nil {
			b.Close()
			return nil, err
		}
		b.servers = append(b.servers, s)
	}
	if err := b.makeTop(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// makeTop makes the run's directory and one for each server in it.
func (b *Bench) makeTop(ctx context.Context) error {
	first := b.servers[0]
	fh, err := makeDir(ctx, &b.cfg, first.client(), first.root, b.name)
	if err != nil {
		return fmt.Errorf("%s: %w", first.target, err)
	}
	b.top = fh
	for i, s := range b.servers {
		top := fh
		if i > 0 {
			res, err := s.client().Lookup(ctx, s.root, b.name)
			if err == nil {
				err = res.Status.Err()
			}
			if err != nil {
				return errors.Join(fmt.Errorf("%s: it does not show what was made at %s: %w: two targets must serve one volume",
					s.target, first.target, err), b.Clean(ctx))
			}
			top = res.FH
		}
		if s.home, err = makeDir(ctx, &b.cfg, s.client(), top, "server-"+strconv.Itoa(i)); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.target, err), b.Clean(ctx))
		}
	}
	return nil
}

// makeDir makes a directory. It does not give up when ctx ends: what is made late would be left behind.
func makeDir(ctx context.Context, cfg *Config, c *client.Client, parent client.FH, name string) (client.FH, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.Timeout)
	defer cancel()
	res, err := c.Mkdir(ctx, parent, name, client.SetAttr{Mode: client.Ptr[uint32](dirMode)})
	if err == nil {
		err = res.Status.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("MKDIR %s: %w", name, err)
	}
	if res.FH != nil {
		return res.FH, nil
	}
	found, err := c.Lookup(ctx, parent, name)
	if err == nil {
		err = found.Status.Err()
	}
	return found.FH, err
}

// Dir is the name of the directory in which everything is made.
func (b *Bench) Dir() string { return b.name }

// Close ends the connections.
func (b *Bench) Close() {
	for _, s := range b.servers {
		s.close()
	}
}
