package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// What a check finds wrong.
const (
	FindFormat  = "format"     // of the state, or a key that no table has
	FindStore   = "store"      // the store itself cannot be read
	FindRecord  = "record"     // a record does not decode
	FindName    = "name"       // a name leads to no inode, or lies in no directory
	FindCookie  = "cookie"     // a name and its cookie do not fit
	FindParent  = "parent"     // a directory is not where it says, or is cut off from the root
	FindLinks   = "link count" // not the number of names
	FindCount   = "count"      // of a directory's entries
	FindOrphan  = "orphan"     // an inode without a name, or data without an inode
	FindBlock   = "block"      // a block without its checksum, or beyond its file's end
	FindUsed    = "used"       // not the bytes that a file's blocks have
	FindSums    = "data sum"   // not the sum over a file's data
	FindVolume  = "volume"     // the volume's own counts
	FindTable   = "table"      // exports, members, mounts
	FindAnswers = "answers"    // the duplicate request cache
	FindDigest  = "digest"     // the records are not those that apply summed up
	maxFindings = 100          // that are kept; the others are counted
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind string // one of the Find constants
	What string
}

// Report is what a check found.
type Report struct {
	Format        uint32
	Index, Term   uint64 // that was applied
	Inodes, Bytes uint64 // that are there
	Records       uint64
	Digest        Digest // of the records
	Findings      []Finding
	TotalFindings int // may be more
}

// CheckDir walks the state in dir, of a node that does not run, and changes nothing
// in it. An error says that it could not be walked; what is wrong with it is in the
// report. It keeps about 100 bytes for each inode in memory.
func CheckDir(ctx context.Context, dir string, o Options, so ScanOptions) (Report, error) {
	const op = "state.CheckDir"
	o = o.withDefaults()
	if _, err := o.FS.Stat(dir); err != nil {
		return Report{}, fmt.Errorf("%s: %w", op, err)
	}
	p := o.pebbleOptions(newFailure(o.Logger))
	p.ReadOnly = true
	db, err := pebble.Open(dir, p)
	c := newCheck(ctx, db, so)
	if err != nil {
		if err = asCorrupt(err); errors.Is(err, vfs.ErrCorrupt) {
			c.find(FindStore, "%v", err)
			return c.Report, nil
		}
		return Report{}, fmt.Errorf("%s: %s: %w", op, dir, err)
	}
	err = c.run()
	if err = errors.Join(err, db.Close()); err != nil {
		return c.Report, fmt.Errorf("%s: %w", op, err)
	}
	return c.Report, nil
}

// check is one walk.
type check struct {
	Report
	db      *pebble.DB
	p       *pacer
	super   super
	scanned []Digest

	names   map[vfs.Ino]uint32 // of an inode
	entries map[vfs.Ino]uint64 // of a directory
	subdirs map[vfs.Ino]uint32
	parents map[vfs.Ino]vfs.Ino // of directories, as they say
	last    *inode              // that was read by its number
}

func newCheck(ctx context.Context, db *pebble.DB, o ScanOptions) *check {
	return &check{
		db: db, p: newPacer(ctx, o), scanned: make([]Digest, DigestBuckets),
		names: map[vfs.Ino]uint32{}, entries: map[vfs.Ino]uint64{}, subdirs: map[vfs.Ino]uint32{}, parents: map[vfs.Ino]vfs.Ino{},
	}
}

func (c *check) find(kind, format string, args ...any) {
	c.TotalFindings++
	if len(c.Findings) < maxFindings {
		c.Findings = append(c.Findings, Finding{kind, fmt.Sprintf(format, args...)})
	}
}

// run makes the walk. Its error is none about the state.
func (c *check) run() error {
	for _, step := range []func() error{c.local, c.volume, c.walkNames, c.walkCookies, c.walkInodes, c.others, c.ancestry, c.digests} {
		if err := step(); err != nil {
			return err
		}
	}
	c.p.done()
	c.Records = c.p.records
	return nil
}

// scan calls f for each record of a table, and counts it in the digest. What the
// store itself cannot read is found, and ends the table.
func (c *check) scan(from, to byte, f func(key, value []byte) error) error {
	err := scanRange(c.db, []byte{from}, []byte{to}, func(key, value []byte) error {
		if from > tableLocal {
			at := &c.scanned[bucketOf(key)]
			*at = at.Plus(recordSum(key, value))
		}
		if err := f(key, value); err != nil {
			return err
		}
		return c.p.read(len(key) + len(value))
	})
	return c.stored(err)
}

// stored keeps damage of the store as a finding.
func (c *check) stored(err error) error {
	if errors.Is(err, vfs.ErrCorrupt) {
		c.find(FindStore, "%v", err)
		return nil
	}
	return err
}

// decoded reports whether a record could be decoded.
func (c *check) decoded(err error) bool {
	if err != nil {
		c.find(FindRecord, "%v", err)
	}
	return err == nil
}

func (c *check) local() error {
	v, err := readRecord(c.db, localKey(nil, localFormat))
	if err != nil {
		return c.stored(err)
	}
	if len(v) != 4 {
		c.find(FindFormat, "the record of the state's format has %d bytes", len(v))
		return nil
	}
	if c.Format = be.Uint32(v); c.Format != FormatVersion {
		return fmt.Errorf("%w: the state has format %d and this program reads %d", ErrFormat, c.Format, FormatVersion)
	}
	return nil
}

// volume reads the volume's own record.
func (c *check) volume() error {
	return c.scan(tableSuper, tableSuper+1, func(key, value []byte) error {
		v, err := decodeSuper(key, value)
		if c.decoded(err) && c.super.formatted() {
			c.find(FindFormat, "there is a second volume, %d", v.ID)
		} else if err == nil {
			c.super = v
		}
		return nil
	})
}

// inode reads an inode by its number; nil if there is none that decodes.
func (c *check) inode(ino vfs.Ino) (*inode, error) {
	if c.last != nil && c.last.Ino == ino {
		return c.last, nil
	}
	key := inodeKey(nil, c.super.ID, ino)
	v, err := readRecord(c.db, key)
	if v == nil || err != nil {
		return nil, c.stored(err)
	}
	n, err := decodeInode(key, ino, v)
	if err != nil {
		return nil, nil // walkInodes finds it
	}
	return n, nil
}

// directory is inode for the directory of many names in a row.
func (c *check) directory(ino vfs.Ino) (*inode, error) {
	n, err := c.inode(ino)
	c.last = n
	return n, err
}

// others looks at the tables beside the file system.
func (c *check) others() error {
	known := map[byte]bool{
		tableSuper: true, tableInode: true, tableDirent: true, tableCookie: true, tableBlock: true, tableExtent: true,
		tableDuplicate: true, tableExport: true, tableMember: true, tableMount: true,
	}
	err := c.scan(tableExtent+1, tableEnd, func(key, _ []byte) error {
		if !known[key[0]] {
			c.find(FindFormat, "key %x is of a table that this version does not know", key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fresh := &State{db: c.db, calls: duplicate.New()}
	fresh.mu.super = c.super
	if err := fresh.loadTables(); err != nil {
		c.find(FindTable, "%v", err)
	}
	if err := fresh.loadAnswers(); err != nil {
		c.find(FindAnswers, "%v", err)
	}
	return nil
}

// digests compares the records with the digests that apply kept of them.
func (c *check) digests() error {
	running, err := readDigests(c.db)
	if err != nil {
		if !errors.Is(err, vfs.ErrCorrupt) {
			return err
		}
		c.find(FindDigest, "%v", err)
		return nil
	}
	c.Index, c.Term = running.Index, running.Term
	for i := range c.scanned {
		c.Digest = c.Digest.Plus(c.scanned[i])
		if c.scanned[i] != running.Buckets[i] {
			c.find(FindDigest, "the records of bucket %d sum up to %v, apply wrote %v", i, c.scanned[i], running.Buckets[i])
		}
	}
	return nil
}
