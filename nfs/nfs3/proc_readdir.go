package nfs3

import (
	"math"

	"twofold/replica/vfs"
)

// Sizes in bytes of what READDIR and READDIRPLUS count (RFC 1813 sections
// 3.3.16 and 3.3.17).
const (
	// dirHead is what READDIR3resok has before its entries: attributes and
	// cookie verifier. dirTail is what it has after them: the end of the list
	// and eof. The status does not count.
	dirHead = postOpSize + 8
	dirTail = 4 + 4
	// entrySize is an entry3 without its name: that it is there, fileid, the
	// length of the name, cookie. An entryplus3 has plusSize more.
	entrySize = 4 + 8 + 4 + 8
	plusSize  = postOpSize + postFHSize
	// nameMin is the least that a name takes.
	nameMin = 4
)

// maxDirents is how many entries are asked of the volume at once. It bounds the
// memory of one call; a larger reply of READDIR takes several rounds.
const maxDirents = 4096

// readdir is procedure 16 (RFC 1813 section 3.3.16).
func (q *request) readdir() error {
	fh, cookie := q.handle(), q.cookie()
	count := q.r.Uint32()
	return q.list(fh, cookie, count, false)
}

// readdirplus is procedure 17 (RFC 1813 section 3.3.17). Like knfsd we ignore
// dircount: it bounds a part of what maxcount bounds as a whole.
func (q *request) readdirplus() error {
	fh, cookie := q.handle(), q.cookie()
	q.r.Uint32()
	count := q.r.Uint32()
	return q.list(fh, cookie, count, true)
}

// cookie decodes a cookie and drops the cookie verifier behind it. Cookies
// never expire, not even when their entry is removed, so that no verifier is
// ever refused.
func (q *request) cookie() vfs.Cookie {
	c := vfs.Cookie(q.r.Uint64())
	q.r.Fixed(8)
	return c
}

// list answers both procedures: as many entries as fit into count bytes, at
// least one or NFS3ERR_TOOSMALL.
//
// A reply shows one instant. So it ends before a round that finds the directory
// changed, and READDIRPLUS has one round: the attributes of its entries may change
// while those of the directory stay.
func (q *request) list(fh []byte, after vfs.Cookie, count uint32, plus bool) error {
	dir, err := q.resolve(fh)
	if err != nil {
		return err
	}
	base := q.w.Len()
	end := base + 4 + int(min(count, maxIO)) - dirTail
	res, err := q.dirents(dir, after, end-base-4-dirHead, plus)
	if err != nil {
		return err
	}
	st := statusOf(res.Kind)
	if st == statusOK && after > math.MaxInt64 {
		st = statusInval // no position in a directory, as for knfsd
	}
	q.reply(st)
	q.postOp(res.HasDir, &res.Dir)
	if st != statusOK {
		return nil
	}
	verf := q.vol.CookieVerf()
	q.w.Fixed(verf[:])
	empty := q.w.Len()
	eof, err := q.fill(dir, &res, end, plus)
	if err != nil {
		return err
	}
	if q.w.Len() > end || q.w.Len() == empty && !eof {
		// Not even an empty list fits, or no entry.
		q.w.Truncate(base)
		q.reply(statusTooSmall)
		q.postOp(res.HasDir, &res.Dir)
		return nil
	}
	q.w.Bool(false)
	q.w.Bool(eof)
	return nil
}

// fill appends entries up to end, those of res first, and reports whether the
// directory ends with them.
func (q *request) fill(dir vfs.Ref, res *vfs.ReadDirResult, end int, plus bool) (bool, error) {
	for entries, eof := res.Entries, res.EOF; ; {
		n := q.entries(entries, end, plus)
		if n < len(entries) {
			return false, nil
		}
		room := end - q.w.Len()
		if n == 0 || eof || plus || room < smallestEntry(plus) {
			return eof, nil
		}
		next, err := q.dirents(dir, entries[n-1].Cookie, room, plus)
		if err != nil {
			return false, err
		}
		if next.Kind != vfs.OK || next.Dir != res.Dir {
			return false, nil // removed, forbidden or changed meanwhile: the next call will tell
		}
		entries, eof = next.Entries, next.EOF
	}
}

// dirents asks for as many entries as may fit into room bytes, and for one at
// least, since the directory may be at its end.
func (q *request) dirents(dir vfs.Ref, after vfs.Cookie, room int, plus bool) (vfs.ReadDirResult, error) {
	limit := min(max(room/smallestEntry(plus), 1), maxDirents)
	res, err := q.p.fs.ReadDir(q.ctx, q.cred(), dir, after, plus, limit)
	if dir.Ino == q.root {
		hideParent(&res, dir.Ino)
	}
	return res, err
}

// hideParent makes ".." of an export's root the root itself, as LOOKUP has it:
// neither number nor handle of what lies above it is for the client.
func hideParent(res *vfs.ReadDirResult, root vfs.Ino) {
	for i := range res.Entries {
		e := &res.Entries[i]
		if e.Name != ".." {
			continue
		}
		e.Ino, e.Attr = root, vfs.Attr{}
		if res.HasDir {
			e.Attr = res.Dir
		}
		return
	}
}

// smallestEntry is the size of an entry with a name of up to four bytes.
func smallestEntry(plus bool) int {
	if plus {
		return entrySize + nameMin + plusSize
	}
	return entrySize + nameMin
}

// entries appends entries until one would not end by end, and returns how many
// it appended.
func (q *request) entries(entries []vfs.Dirent, end int, plus bool) int {
	for i := range entries {
		start := q.w.Len()
		q.dirent(&entries[i], plus)
		if q.w.Len() > end {
			q.w.Truncate(start)
			return i
		}
	}
	return len(entries)
}

// dirent appends an entry3 or entryplus3.
func (q *request) dirent(e *vfs.Dirent, plus bool) {
	q.w.Bool(true)
	q.w.Uint64(uint64(e.Ino))
	q.w.String(e.Name)
	q.w.Uint64(uint64(e.Cookie))
	if plus {
		known := e.Attr.Ino != 0
		q.postOp(known, &e.Attr)
		q.postFH(known, e.Attr.Ref)
	}
}
