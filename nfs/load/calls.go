package load

import (
	"encoding/binary"
	"strconv"

	"twofold/nfs/client"
	"twofold/nfs/xdr"
)

const (
	maxFH    = 64 // bytes of a handle
	maxName  = 255
	fileMode = 0o644
	dirMode  = 0o755
	// smallSize is what a small file holds, except where a workload has sizes of its own.
	smallSize = 4096
	accessAll = 0x3f
	// tagSize is how much of a file's content says which file it is.
	tagSize = 8
)

// file is one that was made.
type file struct {
	name string
	fh   client.FH
	tag  uint64    // what its content begins with
	dir  client.FH // nil if it is where its kind always is
}

// nameOf makes a name in the caller's memory.
func (c *caller) nameOf(prefix string, n int) []byte {
	c.text = append(c.text[:0], prefix...)
	c.text = strconv.AppendInt(append(c.text, '-'), int64(n), 10)
	return c.text
}

// setMode appends sattr3 with a mode and nothing else.
func setMode(w *xdr.Writer, mode uint32) {
	w.Bool(true)
	w.Uint32(mode)
	for range 5 { // uid, gid, size, atime, mtime
		w.Uint32(0)
	}
}

// keep copies a handle of a reply into memory that is used again.
func keep(into, fh client.FH) client.FH { return append(into[:0], fh...) }

// lookup finds a name. The handle is valid until the next call.
func (c *caller) lookup(dir client.FH, name []byte) (client.FH, error) {
	w := c.begin(client.ProcLookup)
	w.Opaque(dir)
	w.Opaque(name)
	r, err := c.send(client.ProcLookup, nil)
	if err != nil {
		return nil, err
	}
	fh := client.FH(r.Opaque(maxFH))
	if r.Err() != nil {
		return nil, bad(client.ProcLookup, "reply: %v", r.Err())
	}
	return fh, nil
}

// lookupAbsent sees that a name is not there.
func (c *caller) lookupAbsent(dir client.FH, name []byte) error {
	w := c.begin(client.ProcLookup)
	w.Opaque(dir)
	w.Opaque(name)
	c.want = client.ErrNoEnt
	_, err := c.send(client.ProcLookup, nil)
	c.want = client.OK
	return err
}

// create makes a file, which must be a new one, and keeps its handle in c.fh.
func (c *caller) create(dir client.FH, name []byte) error {
	w := c.begin(client.ProcCreate)
	w.Opaque(dir)
	w.Opaque(name)
	w.Uint32(1) // GUARDED
	setMode(w, fileMode)
	return c.makes(client.ProcCreate, dir, name)
}

// mkdir makes a directory and keeps its handle in c.fh.
func (c *caller) mkdir(dir client.FH, name []byte) error {
	w := c.begin(client.ProcMkdir)
	w.Opaque(dir)
	w.Opaque(name)
	setMode(w, dirMode)
	return c.makes(client.ProcMkdir, dir, name)
}

// makes makes a call that makes something. A server need not send the handle.
func (c *caller) makes(proc uint32, dir client.FH, name []byte) error {
	r, err := c.send(proc, nil)
	if err != nil {
		return err
	}
	if r.Bool() {
		c.fh = keep(c.fh, r.Opaque(maxFH))
	} else if r.Err() == nil {
		fh, err := c.lookup(dir, name)
		if err != nil {
			return err
		}
		c.fh = keep(c.fh, fh)
		return nil
	}
	if r.Err() != nil {
		return bad(proc, "reply: %v", r.Err())
	}
	return nil
}

// write writes data at an offset and returns what the reply says.
func (c *caller) write(fh client.FH, off uint64, data []byte, stable client.Stable) (committed client.Stable, verf uint64, err error) {
	w := c.begin(client.ProcWrite)
	w.Opaque(fh)
	w.Uint64(off)
	w.Uint32(uint32(len(data)))
	w.Uint32(uint32(stable))
	w.Uint32(uint32(len(data)))
	size := len(data)
	if pad := -size & 3; pad != 0 {
		w.B = append(append(w.B, data...), make([]byte, pad)...)
		data = nil
	}
	r, err := c.send(client.ProcWrite, data)
	if err != nil {
		return 0, 0, err
	}
	skipWCC(r)
	count := r.Uint32()
	committed, verf = client.Stable(r.Uint32()), r.Uint64()
	switch {
	case r.Err() != nil:
		return 0, 0, bad(client.ProcWrite, "reply: %v", r.Err())
	case count != uint32(size):
		return 0, 0, bad(client.ProcWrite, "wrote less than was sent")
	case committed < stable:
		return 0, 0, bad(client.ProcWrite, "less stable than was asked for")
	}
	return committed, verf, nil
}

// commit makes what was written stable.
func (c *caller) commit(fh client.FH) (verf uint64, err error) {
	w := c.begin(client.ProcCommit)
	w.Opaque(fh)
	w.Uint64(0)
	w.Uint32(0) // all of it
	r, err := c.send(client.ProcCommit, nil)
	if err != nil {
		return 0, err
	}
	skipWCC(r)
	verf = r.Uint64()
	if r.Err() != nil {
		return 0, bad(client.ProcCommit, "reply: %v", r.Err())
	}
	return verf, nil
}

// getattr asks for attributes, which it does not look at.
func (c *caller) getattr(fh client.FH) error {
	c.begin(client.ProcGetattr).Opaque(fh)
	_, err := c.send(client.ProcGetattr, nil)
	return err
}

// setattr sets a mode, as unpacking does.
func (c *caller) setattr(fh client.FH, mode uint32) error {
	w := c.begin(client.ProcSetattr)
	w.Opaque(fh)
	setMode(w, mode)
	w.Bool(false) // no guard
	_, err := c.send(client.ProcSetattr, nil)
	return err
}

func putRead(w *xdr.Writer, fh client.FH, off uint64, count int) {
	w.Opaque(fh)
	w.Uint64(off)
	w.Uint32(uint32(count))
}

// read reads and returns the data, which are valid until the next call.
func (c *caller) read(fh client.FH, off uint64, count int) ([]byte, error) {
	putRead(c.begin(client.ProcRead), fh, off, count)
	return readReply(c.send(client.ProcRead, nil))
}

func readReply(r *xdr.Reader, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	skipAttr(r)
	count := r.Uint32()
	r.Bool() // EOF
	data := r.Opaque(maxIOSize)
	if r.Err() != nil {
		return nil, bad(client.ProcRead, "reply: %v", r.Err())
	}
	if int(count) != len(data) {
		return nil, bad(client.ProcRead, "count and data differ")
	}
	return data, nil
}

// checkData sees that data are a small file's, and which one's.
func checkData(data []byte, size int, tag uint64) error {
	if len(data) != size {
		return bad(client.ProcRead, "gave less than was written")
	}
	if binary.BigEndian.Uint64(data) != tag {
		return bad(client.ProcRead, "gave other data than were written")
	}
	return nil
}

// remove removes a file.
func (c *caller) remove(dir client.FH, name []byte) error {
	w := c.begin(client.ProcRemove)
	w.Opaque(dir)
	w.Opaque(name)
	_, err := c.send(client.ProcRemove, nil)
	return err
}

// rename renames within one directory.
func (c *caller) rename(dir client.FH, from, to []byte) error {
	w := c.begin(client.ProcRename)
	w.Opaque(dir)
	w.Opaque(from)
	w.Opaque(dir)
	w.Opaque(to)
	_, err := c.send(client.ProcRename, nil)
	return err
}

// skipAttr skips post_op_attr.
func skipAttr(r *xdr.Reader) {
	if r.Bool() {
		r.Fixed(84) // fattr3
	}
}

// skipWCC skips wcc_data.
func skipWCC(r *xdr.Reader) {
	if r.Bool() {
		r.Fixed(24) // wcc_attr
	}
	skipAttr(r)
}

// content is what a small file holds: its tag, and then bytes that do not compress. It is valid until the next content.
func (c *caller) content(size int, tag uint64) []byte {
	c.buf = append(c.buf[:0], c.sh.noise[:size]...)
	if size >= tagSize {
		binary.BigEndian.PutUint64(c.buf, tag)
	}
	return c.buf
}
