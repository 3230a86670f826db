package state

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// walkNames looks at the directory entries, and counts names.
func (c *check) walkNames() error {
	return c.scan(tableDirent, tableDirent+1, func(key, value []byte) error {
		if len(key) <= prefixLen+8 {
			c.find(FindRecord, "name key of %d bytes", len(key))
			return nil
		}
		dir, name := vfs.Ino(be.Uint64(key[prefixLen:])), string(key[prefixLen+8:])
		d, err := decodeDirent(key, value)
		if !c.decoded(err) {
			return nil
		}
		c.names[d.ino]++
		c.entries[dir]++
		if err := c.checkName(dir, name, d); err != nil {
			return err
		}
		back, err := readRecord(c.db, cookieKey(nil, c.super.ID, dir, d.cookie))
		if err == nil && string(back) != string(appendCookie(nil, d.ino, name)) {
			c.find(FindCookie, "%q in directory %d has cookie %d, which is not its own", name, dir, d.cookie)
		}
		return c.stored(err)
	})
}

// checkName holds one name against the inodes on both sides of it.
func (c *check) checkName(dir vfs.Ino, name string, d dirent) error {
	parent, err := c.directory(dir)
	if err != nil {
		return err
	}
	switch {
	case parent == nil || !parent.isDir():
		c.find(FindName, "%q is a name in inode %d, which is no directory", name, dir)
	case d.cookie >= parent.nextCookie:
		c.find(FindCookie, "%q in directory %d has cookie %d, the next one is %d", name, dir, d.cookie, parent.nextCookie)
	}
	child, err := c.inode(d.ino)
	switch {
	case err != nil:
		return err
	case child == nil:
		c.find(FindName, "%q in directory %d is a name of inode %d, which is not there", name, dir, d.ino)
	case child.isDir():
		c.subdirs[dir]++
		if child.parent != dir {
			c.find(FindParent, "directory %d is %q in directory %d, and says that it is in %d", d.ino, name, dir, child.parent)
		}
	}
	return nil
}

func (c *check) walkCookies() error {
	return c.scan(tableCookie, tableCookie+1, func(key, value []byte) error {
		cookie, err := lastPart(key)
		if !c.decoded(err) {
			return nil
		}
		ino, name, err := decodeCookie(key, value)
		if !c.decoded(err) {
			return nil
		}
		dir := vfs.Ino(be.Uint64(key[prefixLen:]))
		v, err := readRecord(c.db, direntKey(nil, c.super.ID, dir, name))
		if err == nil && string(v) != string(appendDirent(nil, dirent{ino, vfs.Cookie(cookie)})) {
			c.find(FindCookie, "cookie %d of directory %d is for %q, which has not this cookie", cookie, dir, name)
		}
		return c.stored(err)
	})
}

// walkInodes looks at the inodes, and beside each at its data.
func (c *check) walkInodes() error {
	blocks, err := c.beside(tableBlock)
	if err != nil {
		return c.stored(err)
	}
	extents, err := c.beside(tableExtent)
	if err != nil {
		return errors.Join(c.stored(err), blocks.it.Close())
	}
	err = c.scan(tableInode, tableInode+1, func(key, value []byte) error {
		if len(key) != inodeKeyLen {
			c.find(FindRecord, "inode key of %d bytes", len(key))
			return nil
		}
		ino := vfs.Ino(be.Uint64(key[prefixLen:]))
		n, err := decodeInode(key, ino, value)
		if !c.decoded(err) {
			n = nil
		} else {
			c.checkInode(n)
		}
		return c.checkData(ino, n, blocks, extents)
	})
	c.checkVolume()
	if err == nil {
		err = c.checkData(^vfs.Ino(0), nil, blocks, extents) // what is left
	}
	return errors.Join(err, c.stored(errors.Join(blocks.close(), extents.close())))
}

// checkInode holds an inode against the names.
func (c *check) checkInode(n *inode) {
	c.Inodes++
	if n.Type == vfs.TypeReg {
		c.Bytes += n.Used
	}
	want := c.names[n.Ino]
	if n.isDir() {
		c.parents[n.Ino] = n.parent
		if want > 1 {
			c.find(FindParent, "directory %d has %d names", n.Ino, want)
		}
		want = 2 + c.subdirs[n.Ino]
	}
	if c.names[n.Ino] == 0 && n.Ino != vfs.RootIno {
		c.find(FindOrphan, "inode %d has no name", n.Ino)
	} else if n.Nlink != want {
		c.find(FindLinks, "inode %d has link count %d, it should have %d", n.Ino, n.Nlink, want)
	}
	if n.entries != c.entries[n.Ino] {
		c.find(FindCount, "directory %d counts %d entries, it has %d", n.Ino, n.entries, c.entries[n.Ino])
	}
	if n.Ino >= c.super.nextIno {
		c.find(FindVolume, "inode %d is there, and the volume says that the next one is %d", n.Ino, c.super.nextIno)
	}
}

func (c *check) checkVolume() {
	if c.Inodes != c.super.inodes || c.Bytes != c.super.bytes {
		c.find(FindVolume, "the volume counts %d inodes and %d bytes, there are %d and %d", c.super.inodes, c.super.bytes, c.Inodes, c.Bytes)
	}
}

// beside is an iterator over the records of a table that belong to inodes, which is
// led along the inodes.
type beside struct {
	it *pebble.Iterator
	ok bool
}

func (c *check) beside(table byte) (*beside, error) {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return nil, asCorrupt(err)
	}
	return &beside{it: it, ok: it.First()}, nil
}

func (b *beside) close() error { return asCorrupt(errors.Join(b.it.Error(), b.it.Close())) }

// upTo calls f for each record of an inode up to this one.
func (c *check) upTo(b *beside, ino vfs.Ino, f func(owner vfs.Ino, key, value []byte)) error {
	for b.ok {
		key := b.it.Key()
		if len(key) >= prefixLen+8 && vfs.Ino(be.Uint64(key[prefixLen:])) > ino {
			return nil
		}
		v, err := b.it.ValueAndErr()
		if err != nil {
			b.ok = false
			return c.stored(asCorrupt(err))
		}
		at := &c.scanned[bucketOf(key)]
		*at = at.Plus(recordSum(key, v))
		if len(key) != entryKeyLen {
			c.find(FindRecord, "key %x of %d bytes", key, len(key))
		} else {
			f(vfs.Ino(be.Uint64(key[prefixLen:])), key, v)
		}
		if err := c.p.read(len(key) + len(v)); err != nil {
			return err
		}
		b.ok = b.it.Next()
	}
	return nil
}

// checkData holds the data of an inode against it, and finds data of no inode before
// it. n is nil if the inode does not decode.
func (c *check) checkData(ino vfs.Ino, n *inode, blocks, extents *beside) error {
	var used uint64
	var data Digest
	bs := uint64(c.super.BlockSize)
	byExtent := map[uint64]extent{} // of this file: one for each 256 blocks
	err := c.upTo(blocks, ino, func(owner vfs.Ino, key, v []byte) {
		if owner != ino {
			c.find(FindOrphan, "a block is of inode %d, which is not there", owner)
			return
		}
		number := be.Uint64(key[prefixLen+8:])
		content, err := openBlock(key, v)
		if err != nil {
			c.find(FindBlock, "%v", err)
		}
		if n != nil && err == nil && (n.Type != vfs.TypeReg || bs == 0 || uint64(len(content)) > blockEnd(n.Size, number, bs)) {
			c.find(FindBlock, "inode %d, block %d: %d bytes lie beyond the end of the file", ino, number, len(content))
		}
		sums, err := storedSums(key, v)
		if err != nil {
			return
		}
		used, data = used+sums.bytes, data.Plus(sums.sum)
		if number >= extentBlocks {
			byExtent[number/extentBlocks] = byExtent[number/extentBlocks].plus(sums)
		}
	})
	if err != nil {
		return err
	}
	err = c.upTo(extents, ino, func(owner vfs.Ino, key, v []byte) {
		number := be.Uint64(key[prefixLen+8:])
		e, err := decodeExtent(key, v)
		switch {
		case owner != ino:
			c.find(FindOrphan, "sums over data are of inode %d, which is not there", owner)
			return
		case !c.decoded(err):
		case e != byExtent[number] || e.isZero():
			c.find(FindSums, "inode %d, extent %d: the sums are not those of its blocks", ino, number)
		}
		delete(byExtent, number)
		data = data.Plus(recordSum(key, v))
	})
	if err != nil || n == nil {
		return err
	}
	for number := range byExtent {
		c.find(FindSums, "inode %d, extent %d has no sums", ino, number)
	}
	if n.Type == vfs.TypeReg && n.Used != used {
		c.find(FindUsed, "inode %d counts %d bytes of data, it has %d", ino, n.Used, used)
	}
	if n.data != data {
		c.find(FindSums, "inode %d: the sum over its data is %v, it should be %v", ino, data, n.data)
	}
	return nil
}

// ancestry finds directories from which no way leads to the root.
func (c *check) ancestry() error {
	good := map[vfs.Ino]bool{vfs.RootIno: true}
	if _, ok := c.parents[vfs.RootIno]; !ok && c.super.formatted() {
		c.find(FindParent, "the volume has no root directory")
		return nil
	}
	var way []vfs.Ino
	bad := map[vfs.Ino]bool{}
	for ino := range c.parents {
		way = way[:0]
		at := ino
		for ok := true; ok && !good[at] && !bad[at]; at, ok = c.up(at) {
			way = append(way, at)
			bad[at] = true // unless the root is found: whoever comes here again goes around
		}
		if !good[at] {
			c.find(FindParent, "no way leads from directory %d to the root", ino)
			continue
		}
		for _, d := range way {
			good[d] = true
			delete(bad, d)
		}
	}
	return nil
}

// up returns the directory that has this one.
func (c *check) up(ino vfs.Ino) (vfs.Ino, bool) {
	p, ok := c.parents[ino]
	return p, ok
}
