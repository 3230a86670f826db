package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// MaxDirents bounds the entries of one ReadDir, whatever the caller asks for.
const MaxDirents = 4096

// ReadDir lists a directory in the order of its cookies, after a cookie.
func (s *State) ReadDir(cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, limit int) (vfs.ReadDirResult, error) {
	v, err := s.view()
	if err != nil {
		return vfs.ReadDirResult{}, err
	}
	defer v.done()
	r, err := v.readDir(cred, dir, after, plus, min(max(limit, 0), MaxDirents))
	if err != nil {
		return vfs.ReadDirResult{}, fmt.Errorf("state.ReadDir: inode %d: %w", dir.Ino, err)
	}
	return r, nil
}

func (v view) readDir(cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, limit int) (vfs.ReadDirResult, error) {
	d, err := v.find(dir)
	if err != nil || d == nil {
		return vfs.ReadDirResult{Kind: vfs.Stale}, err
	}
	r := vfs.ReadDirResult{HasDir: true, Dir: d.attr()}
	switch {
	case !d.isDir():
		r.Kind = vfs.NotDir
		return r, nil
	case !vfs.Allowed(cred, &d.Attr, vfs.WantRead):
		r.Kind = vfs.Access
		return r, nil
	}
	if err := v.list(d, after, limit, &r); err != nil {
		return r, err
	}
	if plus {
		err = v.addAttrs(r.Entries, vfs.Allowed(cred, &d.Attr, vfs.WantExec))
	}
	return r, err
}

// list fills in names and cookies, and whether more follow.
func (v view) list(d *inode, after vfs.Cookie, limit int, r *vfs.ReadDirResult) error {
	for _, dot := range []vfs.Dirent{
		{Name: ".", Ino: d.Ino, Cookie: vfs.CookieDot},
		{Name: "..", Ino: d.parent, Cookie: vfs.CookieDotDot},
	} {
		if dot.Cookie <= after {
			continue
		}
		if len(r.Entries) == limit {
			return nil
		}
		r.Entries = append(r.Entries, dot)
	}
	after = max(after, vfs.CookieDotDot)
	if after >= d.nextCookie-1 {
		r.EOF = true // Later cookies were never given out.
		return nil
	}
	it, err := v.db.NewIter(&pebble.IterOptions{
		LowerBound: cookieKey(nil, v.super.ID, d.Ino, after+1),
		UpperBound: cookieKey(nil, v.super.ID, d.Ino, d.nextCookie),
	})
	if err != nil {
		return asCorrupt(err)
	}
	ok := it.First()
	for ; ok && err == nil && len(r.Entries) < limit; ok = it.Next() {
		var e vfs.Dirent
		if e, err = direntAt(it); err == nil {
			r.Entries = append(r.Entries, e)
		}
	}
	r.EOF = !ok
	return errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}

func direntAt(it *pebble.Iterator) (vfs.Dirent, error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return vfs.Dirent{}, err
	}
	cookie, err := lastPart(it.Key())
	if err != nil {
		return vfs.Dirent{}, err
	}
	ino, name, err := decodeCookie(it.Key(), v)
	return vfs.Dirent{Name: name, Ino: ino, Cookie: vfs.Cookie(cookie)}, err
}

// addAttrs fills in attributes. A caller who may not search the directory could
// not look the names up and learns no more than them (compose_entry_fh,
// fs/nfsd/nfs3xdr.c).
func (v view) addAttrs(entries []vfs.Dirent, maySearch bool) error {
	r := inodeReader{view: v}
	for i := range entries {
		if !maySearch && !isDots(entries[i].Name) {
			continue
		}
		n, err := r.must(entries[i].Ino)
		if err != nil {
			return r.close(err)
		}
		entries[i].Attr = n.attr()
	}
	return r.close(nil)
}
