package state

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// SetRecord writes one raw record, to plant damage and foreign versions.
func (s *State) SetRecord(key, value []byte) error {
	if value == nil {
		return s.db.Delete(key, pebble.NoSync)
	}
	return s.db.Set(key, value, pebble.NoSync)
}

// Record reads one raw record.
func (s *State) Record(key []byte) ([]byte, error) { return s.get(key) }

// Keys for SetRecord and Record.
func FormatKey() []byte                       { return localKey(nil, localFormat) }
func AppliedKey() []byte                      { return localKey(nil, localApplied) }
func SuperKey() []byte                        { return superKey(nil, 1) }
func InodeKey(ino vfs.Ino) []byte             { return inodeKey(nil, 1, ino) }
func AnswerKey(n uint64) []byte               { return answerKey(nil, 1, n) }
func ExtentKey(ino, n uint64) []byte          { return extentKey(nil, 1, vfs.Ino(ino), n) }
func DirentKey(d vfs.Ino, name string) []byte { return direntKey(nil, 1, d, name) }
func BlockKey(ino, n uint64) []byte           { return blockKey(nil, 1, vfs.Ino(ino), n) }
func ExportsKey() []byte                      { return exportsKey(nil, 1) }
func ExportKey(place uint32) []byte           { return exportKey(nil, 1, place) }
func MemberKey(name string) []byte            { return memberKey(nil, 1, name) }
func MountKey(t vfs.Time) []byte              { return mountKey(nil, 1, t) }
func BucketKey(bucket int) []byte             { return bucketKey(nil, bucket) }
func BucketOf(key []byte) int                 { return bucketOf(key) }
func Checksum(b []byte) Digest                { return hash(b) }
func RecordSum(k, v []byte) Digest            { return recordSum(k, v) }
func DropInode(s *State, i vfs.Ino)           { s.cache.Remove(i) }
func CachedInodes(s *State) int               { return s.cache.Len() }
func LocalForeignKey() []byte                 { return localKey(nil, 200) }
func ReservedKeys() (keys [][]byte) {
	for _, t := range reservedTables() {
		keys = append(keys, appendPrefix(nil, t, 1))
	}
	return keys
}

// Records calls f for each replicated record.
func (s *State) Records(f func(key, value []byte) error) error {
	return scanRange(s.db, []byte{tableLocal + 1}, []byte{tableEnd}, f)
}

// BucketRecords calls f for each record of a bucket.
func (s *State) BucketRecords(bucket int, f func(key, value []byte) error) error {
	snap := s.db.NewSnapshot()
	return errors.Join(scanBucket(snap, bucket, f), snap.Close())
}

// Check reads every record and verifies what holds between them.
func (s *State) Check() error {
	c := checker{s: s, names: map[vfs.Ino]uint32{}, subdirs: map[vfs.Ino]uint32{}, used: map[vfs.Ino]uint64{}, entries: map[vfs.Ino]uint64{},
		data: map[vfs.Ino]Digest{}, extents: map[[2]uint64]extent{}}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = c.record(append([]byte(nil), it.Key()...), v)
		}
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return err
	}
	if err := c.tables(); err != nil {
		return err
	}
	if err := c.digests(); err != nil {
		return err
	}
	if err := nameCacheProblem(s.names, func(dir vfs.Ino, name string) (dirent, error) {
		return s.storedDirent(s.mu.super.ID, dir, name)
	}); err != nil {
		return err
	}
	return c.inodes()
}

// digests compares the running digests with the records, and what is in memory
// of them with what a restart would read.
func (c *checker) digests() error {
	scan, err := c.s.ScanDigest()
	if err != nil {
		return err
	}
	if scan.Running != scan.Scanned {
		return fmt.Errorf("the running digest %v is not the scanned one %v", scan.Running, scan.Scanned)
	}
	if err := scan.Err(); err != nil {
		return err
	}
	now, err := c.s.BucketDigests()
	if err != nil {
		return err
	}
	stored, err := readDigests(c.s.db)
	if err != nil {
		return err
	}
	if d, index, term := c.s.RunningDigest(); d != stored.Total || index != stored.Index || term != stored.Term {
		return fmt.Errorf("the digest is %v at %d in memory, %v at %d in the store", d, index, stored.Total, stored.Index)
	}
	if !slices.Equal(now.Buckets, stored.Buckets) {
		return errors.New("the buckets' digests in memory are not those in the store")
	}
	return nil
}

// tables compares what is in memory with what a restart would read.
func (c *checker) tables() error {
	fresh := &State{db: c.s.db}
	if err := fresh.loadTables(); err != nil {
		return err
	}
	if !reflect.DeepEqual(fresh.mu.exports, c.s.mu.exports) && fresh.mu.exports.Version+c.s.mu.exports.Version > 0 {
		return fmt.Errorf("exports are %+v in memory, %+v in the store", c.s.mu.exports, fresh.mu.exports)
	}
	if !reflect.DeepEqual(fresh.mu.members, c.s.mu.members) {
		return fmt.Errorf("members are %+v in memory, %+v in the store", c.s.mu.members, fresh.mu.members)
	}
	var now, stored []mountEntry
	for at := c.s.mounts.order.Front(); at != nil; at = at.Next() {
		now = append(now, at.Value.(mountEntry))
	}
	for at := fresh.mounts.order.Front(); at != nil; at = at.Next() {
		stored = append(stored, at.Value.(mountEntry))
	}
	if !slices.Equal(now, stored) {
		return fmt.Errorf("mounts are %+v in memory, %+v in the store", now, stored)
	}
	return nil
}

type checker struct {
	s       *State
	names   map[vfs.Ino]uint32
	subdirs map[vfs.Ino]uint32
	entries map[vfs.Ino]uint64
	answers uint64
	used    map[vfs.Ino]uint64
	data    map[vfs.Ino]Digest
	extents map[[2]uint64]extent
	all     []*inode
}

func (c *checker) record(key, v []byte) error {
	id := c.s.mu.super.ID
	switch key[0] {
	case tableLocal, tableSuper:
		return nil
	case tableInode:
		n, err := decodeInode(key, vfs.Ino(be.Uint64(key[prefixLen:])), v)
		c.all = append(c.all, n)
		return err
	case tableDirent:
		dir, name := vfs.Ino(be.Uint64(key[prefixLen:])), string(key[prefixLen+8:])
		d, err := decodeDirent(key, v)
		if err != nil {
			return err
		}
		back, err := c.s.get(cookieKey(nil, id, dir, d.cookie))
		if err != nil {
			return err
		}
		if string(back) != string(appendCookie(nil, d.ino, name)) {
			return fmt.Errorf("dirent %d/%q and its cookie differ", dir, name)
		}
		return c.dirent(dir, d)
	case tableCookie:
		ino, name, err := decodeCookie(key, v)
		if err != nil {
			return err
		}
		dir := vfs.Ino(be.Uint64(key[prefixLen:]))
		d, err := c.s.storedDirent(id, dir, name)
		if err != nil {
			return err
		}
		if d.ino != ino || uint64(d.cookie) != be.Uint64(key[prefixLen+8:]) {
			return fmt.Errorf("cookie of %d/%q has no dirent", dir, name)
		}
		return nil
	case tableBlock:
		ino, number := vfs.Ino(be.Uint64(key[prefixLen:])), be.Uint64(key[prefixLen+8:])
		sums, err := storedSums(key, v)
		if err != nil {
			return err
		}
		v, err = openBlock(key, v)
		if err != nil {
			return err
		}
		c.used[ino] += uint64(len(v))
		c.data[ino] = c.data[ino].Plus(sums.sum)
		if number >= extentBlocks {
			id := [2]uint64{uint64(ino), number / extentBlocks}
			c.extents[id] = c.extents[id].plus(sums)
		}
		n, err := c.s.inode(id, ino)
		if err != nil {
			return err
		}
		if n == nil || len(v) == 0 || uint64(len(v)) > blockEnd(n.Size, number, uint64(c.s.mu.super.BlockSize)) {
			return fmt.Errorf("block %d of inode %d has %d bytes: %+v", number, ino, len(v), n)
		}
		return nil
	case tableExtent:
		e, err := decodeExtent(key, v)
		ino, number := vfs.Ino(be.Uint64(key[prefixLen:])), be.Uint64(key[prefixLen+8:])
		if want := c.extents[[2]uint64{uint64(ino), number}]; err == nil && (e != want || e.isZero()) {
			err = fmt.Errorf("extent %d of inode %d is %+v, its blocks have %+v", number, ino, e, want)
		}
		delete(c.extents, [2]uint64{uint64(ino), number})
		c.data[ino] = c.data[ino].Plus(recordSum(key, v))
		return err
	case tableExport, tableMember, tableMount:
		return nil // checker.tables
	case tableDuplicate:
		return c.answer(key, v)
	default:
		return fmt.Errorf("unknown key %x", key)
	}
}

// answer checks that the index has a record, where it is.
func (c *checker) answer(key, v []byte) error {
	c.answers++
	call, _, result, err := decodeAnswer(key, v)
	if err != nil {
		return err
	}
	if seq, ok := c.s.calls.Find(call); !ok || seq != be.Uint64(key[prefixLen:]) {
		return fmt.Errorf("answer %x: the index says %d, %t", key, seq, ok)
	}
	_, err = command.DecodeResult(result)
	return err
}

func (c *checker) dirent(dir vfs.Ino, d dirent) error {
	child, err := c.s.inode(c.s.mu.super.ID, d.ino)
	if err != nil {
		return err
	}
	parent, err := c.s.inode(c.s.mu.super.ID, dir)
	if err != nil {
		return err
	}
	if child == nil || parent == nil || d.cookie >= parent.nextCookie {
		return fmt.Errorf("dirent %+v in %d: child %v, parent %v", d, dir, child, parent)
	}
	c.names[d.ino]++
	c.entries[dir]++
	if child.isDir() {
		c.subdirs[dir]++
		if child.parent != dir {
			return fmt.Errorf("directory %d is in %d and says %d", d.ino, dir, child.parent)
		}
	}
	return nil
}

func (c *checker) inodes() error {
	var bytes uint64
	for _, n := range c.all {
		cached, err := c.s.inode(c.s.mu.super.ID, n.Ino)
		if err != nil {
			return err
		}
		if string(appendInode(nil, cached)) != string(appendInode(nil, n)) {
			return fmt.Errorf("inode %d: cache and store differ:\n%+v\n%+v", n.Ino, cached, n)
		}
		want := c.names[n.Ino]
		if n.isDir() {
			want = 2 + c.subdirs[n.Ino]
		}
		if n.Nlink != want || n.entries != c.entries[n.Ino] || n.isDir() && n.Ino != vfs.RootIno && c.names[n.Ino] != 1 {
			return fmt.Errorf("inode %d: nlink %d, want %d; entries %d, want %d", n.Ino, n.Nlink, want, n.entries, c.entries[n.Ino])
		}
		if n.Used != c.used[n.Ino] || n.Ino >= c.s.mu.super.nextIno {
			return fmt.Errorf("inode %d: used %d, want %d", n.Ino, n.Used, c.used[n.Ino])
		}
		if n.data != c.data[n.Ino] {
			return fmt.Errorf("inode %d: the sum of its data is %v, want %v", n.Ino, n.data, c.data[n.Ino])
		}
		bytes += n.Used
		delete(c.used, n.Ino)
	}
	if v := c.s.mu.super; v.inodes != uint64(len(c.all)) || v.bytes != bytes || len(c.used) != 0 {
		return fmt.Errorf("volume says %d inodes and %d bytes, there are %d and %d", v.inodes, v.bytes, len(c.all), bytes)
	}
	if len(c.extents) != 0 {
		return fmt.Errorf("%d extents have no record", len(c.extents))
	}
	if d := c.s.Duplicates(); d.Records != c.answers || d.Bytes != c.s.calls.Bytes() || d.Records != uint64(c.s.calls.Len()) {
		return fmt.Errorf("%d answers are stored: %+v", c.answers, d)
	}
	return nil
}
