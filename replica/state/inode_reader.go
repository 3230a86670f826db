package state

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// inodeReader reads the inodes that a listing names. Files that were made one after the other have inode numbers and names in
// that order, so most of them are next to each other: one iterator finds the next for a fraction of what a look-up costs. What
// it reads does not enter the cache of inodes, which a listing of a large directory would otherwise sweep clean.
type inodeReader struct {
	view
	it  *pebble.Iterator
	key []byte
}

// must reads an inode that a directory entry names.
func (r *inodeReader) must(ino vfs.Ino) (*inode, error) {
	if n, ok := r.cache.Peek(ino); ok {
		return n, nil
	}
	r.key = inodeKey(r.key[:0], r.super.ID, ino)
	if err := r.seek(); err != nil {
		return nil, err
	}
	v, err := r.it.ValueAndErr()
	if err != nil {
		return nil, asCorrupt(err)
	}
	return decodeInode(r.key, ino, v)
}

// seek puts the iterator on the key, which must be there.
func (r *inodeReader) seek() error {
	if r.it == nil {
		it, err := r.db.NewIter(&pebble.IterOptions{
			LowerBound: inodeKey(nil, r.super.ID, 0),
			UpperBound: appendPrefix(nil, tableInode+1, 0),
		})
		if err != nil {
			return asCorrupt(err)
		}
		r.it = it
	}
	if seek(r.it, r.key) {
		return nil
	}
	if err := r.it.Error(); err != nil {
		return asCorrupt(err)
	}
	return corrupt(r.key, "no inode for a name")
}

// seek puts an iterator on a key, which is often the next one, and reports
// whether it is there.
func seek(it *pebble.Iterator, key []byte) bool {
	if it.Valid() && it.Next() && bytes.Equal(it.Key(), key) {
		return true
	}
	return it.SeekGE(key) && bytes.Equal(it.Key(), key)
}

func (r *inodeReader) close(err error) error {
	if r.it == nil {
		return err
	}
	return errors.Join(err, asCorrupt(r.it.Close()))
}
