package load

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"twofold/nfs/client"
	"twofold/nfs/xdr"
)

// shared is what the callers at one server have in common during a cell. Only seq, pool and what is atomic change while it is measured.
type shared struct {
	srv   *server
	dir   client.FH // the cell's directory at this server
	noise []byte    // bytes that do not compress

	set     client.FH // a directory of width files, for reading
	files   []file
	records [][]byte // a call for each file, encoded once
	seq     seqFile
	pool    pool
	repo    *repo
}

func newShared(srv *server, cfg *Config) *shared {
	sh := &shared{srv: srv, noise: make([]byte, maxIOSize)}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0))
	for i := 0; i < len(sh.noise); i += 8 {
		binary.BigEndian.PutUint64(sh.noise[i:], rng.Uint64())
	}
	return sh
}

// pool is files to use up.
type pool struct {
	sync.Mutex
	files []pooled
}

type pooled struct {
	dir  client.FH
	name string
}

func (p *pool) put(f pooled) {
	p.Lock()
	p.files = append(p.files, f)
	p.Unlock()
}

func (p *pool) get() (pooled, bool) {
	p.Lock()
	defer p.Unlock()
	if len(p.files) == 0 {
		return pooled{}, false
	}
	f := p.files[len(p.files)-1]
	p.files = p.files[:len(p.files)-1]
	return f, true
}

// share is one caller's share of n things to prepare.
type share struct{ next, step, n int }

// each calls do for all things of the share.
func (s share) each(do func(i int) error) error {
	for i := s.next; i < s.n; i += s.step {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// beginSet makes the directory of the files that are read.
func beginSet(c *caller) error {
	if err := c.mkdir(c.sh.dir, []byte("set")); err != nil {
		return err
	}
	c.sh.set = append(client.FH(nil), c.fh...)
	c.sh.files = make([]file, c.run.cfg.Width)
	c.sh.records = make([][]byte, c.run.cfg.Width)
	return nil
}

// makeFile makes a small file that has its tag in its content.
func (c *caller) makeFile(dir client.FH, name string, size int) (file, error) {
	if err := c.create(dir, []byte(name)); err != nil {
		return file{}, err
	}
	f := file{name: name, fh: append(client.FH(nil), c.fh...), tag: c.rng.Uint64()}
	if size > 0 {
		if _, _, err := c.write(f.fh, 0, c.content(size, f.tag), client.FileSync); err != nil {
			return file{}, err
		}
	}
	return f, nil
}

// fillSet makes a share of the files that are read, each of a size, and encodes the call for each.
func fillSet(size int, encode func(c *caller, w *xdr.Writer, f *file)) func(*caller, share) error {
	return func(c *caller, s share) error {
		s.n = c.run.cfg.Width
		return s.each(func(i int) error {
			f, err := c.makeFile(c.sh.set, "file-"+strconv.Itoa(i), size)
			if err != nil {
				return err
			}
			c.sh.files[i] = f
			if encode != nil {
				var w xdr.Writer
				encode(c, &w, &f)
				c.sh.records[i] = w.B
			}
			return nil
		})
	}
}

// run is one cell at work.
type run struct {
	cfg  *Config
	cell Cell
	left atomic.Int64 // operations to make; without a number of them it never gets to zero
	halt atomic.Bool  // everybody is to stop
}

// takeOp takes one operation of those that are left.
func (r *run) takeOp() bool { return !r.halt.Load() && r.left.Add(-1) >= 0 }
