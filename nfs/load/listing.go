package load

import "twofold/nfs/client"

// Limits of one READDIRPLUS, as the Linux client asks for a directory that it knows to be large.
const (
	listDirCount = 8 << 10
	listMaxCount = 32 << 10
)

// page is how far the listing of a directory is.
type page struct {
	cookie  uint64
	verf    uint64
	entries int // so far, without "." and ".."
}

// opReaddirplus goes on with a listing of the set, and begins again at its end.
func opReaddirplus(c *caller) (int64, error) {
	entries, eof, err := c.list(c.sh.set)
	if err != nil || !eof {
		return int64(entries), err
	}
	got := c.page.entries
	c.page = page{}
	if got != len(c.sh.files) {
		return 0, bad(client.ProcReaddirplus, "listed more or fewer entries than there are")
	}
	return int64(entries), nil
}

// list reads the next page of a directory and returns how many entries it had. After an error the listing begins anew.
func (c *caller) list(dir client.FH) (entries int, eof bool, err error) {
	at := c.page
	c.page = page{}
	w := c.begin(client.ProcReaddirplus)
	w.Opaque(dir)
	w.Uint64(at.cookie)
	w.Uint64(at.verf)
	w.Uint32(listDirCount)
	w.Uint32(listMaxCount)
	r, err := c.send(client.ProcReaddirplus, nil)
	if err != nil {
		return 0, false, err
	}
	skipAttr(r)
	at.verf = r.Uint64()
	for r.Bool() {
		r.Uint64() // fileid
		name := r.Opaque(maxName)
		at.cookie = r.Uint64()
		skipAttr(r)
		if r.Bool() {
			r.Opaque(maxFH)
		}
		entries++
		if s := string(name); s != "." && s != ".." {
			at.entries++
		}
	}
	eof = r.Bool()
	switch {
	case r.Err() != nil:
		return 0, false, bad(client.ProcReaddirplus, "reply: %v", r.Err())
	case entries == 0 && !eof:
		return 0, false, bad(client.ProcReaddirplus, "neither an entry nor the end")
	}
	c.page = at
	return entries, eof, nil
}
