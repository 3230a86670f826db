package load

import (
	"sync"

	"twofold/nfs/client"
)

// seqFile is a file that all callers of a server write or read in order, as one client with many calls outstanding does.
type seqFile struct {
	sync.Mutex
	fh      client.FH
	round   int
	next    int64  // offset that nobody has taken
	pending int    // WRITEs that are not through
	verf    uint64 // of the first WRITE's reply
	started bool   // verf is set
	differs bool   // a verifier differs: the server has forgotten writes
	loose   bool   // a WRITE is not stable yet
}

// refillSeq makes the next file, by one caller of each server, and removes the one before.
func refillSeq(c *caller, s share) error {
	if s.next != 0 {
		return nil
	}
	q := &c.sh.seq
	if q.round > 0 {
		if err := c.remove(c.sh.dir, c.nameOf("stream", q.round)); err != nil {
			return err
		}
	}
	round := q.round + 1
	if err := c.create(c.sh.dir, c.nameOf("stream", round)); err != nil {
		return err
	}
	q.reset(append(client.FH(nil), c.fh...), round)
	return nil
}

// reset begins with a new file.
func (q *seqFile) reset(fh client.FH, round int) {
	q.Lock()
	defer q.Unlock()
	q.fh, q.round = fh, round
	q.next, q.pending, q.verf = 0, 0, 0
	q.started, q.differs, q.loose = false, false, false
}

// take takes the next piece of the file; n is 0 at its end.
func (q *seqFile) take(size int64, piece int) (off int64, n int) {
	q.Lock()
	defer q.Unlock()
	off, n = q.next, int(min(int64(piece), size-q.next))
	q.next += int64(n)
	if n > 0 {
		q.pending++
	}
	return off, n
}

// written notes the outcome of a WRITE, and reports whether the caller has to COMMIT.
func (q *seqFile) written(size int64, committed client.Stable, verf uint64, err error) bool {
	q.Lock()
	defer q.Unlock()
	q.pending--
	if err == nil {
		q.differs = q.differs || q.started && q.verf != verf
		q.verf, q.started = verf, true
		q.loose = q.loose || committed < client.DataSync
	}
	return q.pending == 0 && q.next == size && q.loose
}

// opSeqWrite writes the next piece. Whoever is through last makes the file stable.
func opSeqWrite(c *caller) (int64, error) {
	q, size := &c.sh.seq, c.run.cfg.FileSize
	off, n := q.take(size, c.sh.srv.ioSize)
	if n == 0 {
		return 0, errUsedUp
	}
	committed, verf, err := c.write(q.fh, uint64(off), c.sh.noise[:n], client.Unstable)
	last := q.written(size, committed, verf, err)
	if err != nil || !last {
		return int64(n), err
	}
	if verf, err = c.commit(q.fh); err != nil {
		return 0, err
	}
	if q.differs || verf != q.verf {
		return 0, bad(client.ProcCommit, "the write verifier changed: the server lost writes")
	}
	return int64(n), nil
}

// beginSeqRead makes the file that is read.
func beginSeqRead(c *caller) error {
	if err := c.create(c.sh.dir, []byte("stream")); err != nil {
		return err
	}
	c.sh.seq.fh = append(client.FH(nil), c.fh...)
	return nil
}

// fillSeqRead writes a share of the file.
func fillSeqRead(c *caller, s share) error {
	piece := int64(c.sh.srv.ioSize)
	size := c.run.cfg.FileSize
	s.n = int((size + piece - 1) / piece)
	err := s.each(func(i int) error {
		off := int64(i) * piece
		_, _, err := c.write(c.sh.seq.fh, uint64(off), c.sh.noise[:min(piece, size-off)], client.Unstable)
		return err
	})
	if err != nil {
		return err
	}
	_, err = c.commit(c.sh.seq.fh)
	return err
}

// warmSeqRead reads the file once, together with the other callers.
func warmSeqRead(c *caller) error {
	for {
		c.sh.seq.Lock()
		through := c.sh.seq.next >= c.run.cfg.FileSize
		c.sh.seq.Unlock()
		if through {
			return nil
		}
		if _, err := opSeqRead(c); err != nil {
			return err
		}
	}
}

// opSeqRead reads the next piece, and begins again behind the last.
func opSeqRead(c *caller) (int64, error) {
	q, size := &c.sh.seq, c.run.cfg.FileSize
	q.Lock()
	off := q.next % size
	n := int(min(int64(c.sh.srv.ioSize), size-off))
	q.next += int64(n)
	q.Unlock()
	data, err := c.read(q.fh, uint64(off), n)
	if err != nil {
		return 0, err
	}
	if len(data) != n {
		return 0, bad(client.ProcRead, "gave less than was written")
	}
	return int64(n), nil
}
