package state

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// extentBlocks is how many blocks are an extent. The sums over each extent of a
// file but the first have a record, so that cutting a file in the middle reads
// no more of its data than lies in one extent, and small files have none of
// these records. To change the number is to change the format of the state.
const extentBlocks = 256

// extent has sums over some blocks of a file.
type extent struct {
	bytes uint64 // of their content
	sum   Digest // of their records
}

func (e extent) isZero() bool { return e == extent{} }

func (e extent) plus(o extent) extent { return extent{e.bytes + o.bytes, e.sum.Plus(o.sum)} }

func (e extent) minus(o extent) extent { return extent{e.bytes - o.bytes, e.sum.Minus(o.sum)} }

func appendExtent(b []byte, e extent) []byte {
	return append(be.AppendUint64(b, e.bytes), e.sum[:]...)
}

func decodeExtent(key, b []byte) (extent, error) {
	if len(b) != 8+checksumLen {
		return extent{}, corrupt(key, "extent of %d bytes", len(b))
	}
	return extent{bytes: be.Uint64(b), sum: Digest(b[8:])}, nil
}

// dataChange writes what one txn does to the data of one file: its blocks, its
// extents, and what the digest makes of them.
type dataChange struct {
	*txn
	b    *pebble.Batch
	n    *node
	end  uint64 // no block is stored from here on
	kept uint64 // below this number, stored blocks are valid
	data Digest // what the sum over all records of the file's data gains

	extents []extentChange
	it      *pebble.Iterator
}

type extentChange struct {
	number      uint64
	stored, now extent
}

// extent returns the change of an extent. It is valid until the next call.
func (c *dataChange) extent(number uint64) (*extentChange, error) {
	for i := len(c.extents) - 1; i >= 0; i-- {
		if c.extents[i].number == number {
			return &c.extents[i], nil
		}
	}
	e := extentChange{number: number}
	if number*extentBlocks < c.kept {
		var err error
		if e.stored, err = c.storedExtent(number); err != nil {
			return nil, err
		}
	}
	e.now = e.stored
	c.extents = append(c.extents, e)
	return &c.extents[len(c.extents)-1], nil
}

func (c *dataChange) storedExtent(number uint64) (extent, error) {
	c.keyBuf = extentKey(c.keyBuf[:0], c.super.ID, c.n.Ino, number)
	v, err := c.s.get(c.keyBuf)
	if v == nil || err != nil {
		return extent{}, err
	}
	return decodeExtent(c.keyBuf, v)
}

// count adds to the sums of the block's extent.
func (c *dataChange) count(block uint64, gain, loss extent) error {
	c.data = c.data.Plus(gain.sum).Minus(loss.sum)
	if block < extentBlocks {
		return nil
	}
	e, err := c.extent(block / extentBlocks)
	if err != nil {
		return err
	}
	e.now = e.now.plus(gain).minus(loss)
	return nil
}

// cut removes the stored blocks that are void.
func (c *dataChange) cut() error {
	if c.kept >= c.end {
		return nil
	}
	first, end := wholeExtents(c.kept), (c.end-1)/extentBlocks+1
	if c.kept == 0 {
		c.data = c.data.Minus(c.n.stored.data)
	} else if err := c.uncount(first, end); err != nil {
		return err
	}
	if err := c.deleteRecords(blockKey, c.kept, c.end); err != nil {
		return err
	}
	return c.deleteRecords(extentKey, first, end)
}

// wholeExtents returns the first extent with a record that has no block below
// this one.
func wholeExtents(block uint64) uint64 { return max(1, (block+extentBlocks-1)/extentBlocks) }

// uncount takes the blocks from c.kept on out of the sums: one by one in the
// extent that is cut in two, by their sums in those from first on.
func (c *dataChange) uncount(first, end uint64) error {
	err := c.scanSums(c.kept, min(c.end, first*extentBlocks), func(number uint64, e extent) error {
		return c.count(number, extent{}, e)
	})
	if err != nil {
		return err
	}
	from, to := extentKey(nil, c.super.ID, c.n.Ino, first), extentKey(nil, c.super.ID, c.n.Ino, end)
	return scanRange(c.s.db, from, to, func(key, value []byte) error {
		e, err := decodeExtent(key, value)
		c.data = c.data.Minus(e.sum).Minus(recordSum(key, value))
		return err
	})
}

// scanSums calls f with the sums of each stored block in [from, to).
func (c *dataChange) scanSums(from, to uint64, f func(number uint64, e extent) error) error {
	return scanRange(c.s.db, blockKey(nil, c.super.ID, c.n.Ino, from), blockKey(nil, c.super.ID, c.n.Ino, to),
		func(key, value []byte) error {
			number, err := lastPart(key)
			if err != nil {
				return err
			}
			e, err := storedSums(key, value)
			if err != nil {
				return err
			}
			return f(number, e)
		})
}

// write writes the new blocks.
func (c *dataChange) write() error {
	for _, number := range c.n.order {
		var old extent
		if number < c.kept {
			var err error
			if old, err = c.old(number); err != nil {
				return err
			}
		}
		content := c.n.blocks[number]
		c.keyBuf = blockKey(c.keyBuf[:0], c.super.ID, c.n.Ino, number)
		checksum := hash(content)
		// The content of a command's block is copied here, once.
		d := c.b.SetDeferred(len(c.keyBuf), checksumLen+len(content))
		copy(d.Key, c.keyBuf)
		copy(d.Value[copy(d.Value, checksum[:]):], content)
		if err := d.Finish(); err != nil {
			return err
		}
		now := extent{bytes: uint64(len(content)), sum: blockSum(c.keyBuf, checksum)}
		if err := c.count(number, now, old); err != nil {
			return err
		}
	}
	return nil
}

// old returns the sums of a stored block that is valid, or none for a hole.
func (c *dataChange) old(number uint64) (extent, error) {
	if e, ok := c.n.replaced[number]; ok {
		return e, nil
	}
	if c.it == nil {
		var err error
		c.it, err = c.s.db.NewIter(&pebble.IterOptions{
			LowerBound: blockKey(nil, c.super.ID, c.n.Ino, 0),
			UpperBound: blockKey(nil, c.super.ID, c.n.Ino, c.kept),
		})
		if err != nil {
			return extent{}, asCorrupt(err)
		}
	}
	c.keyBuf = blockKey(c.keyBuf[:0], c.super.ID, c.n.Ino, number)
	if found := seek(c.it, c.keyBuf); !found {
		return extent{}, asCorrupt(c.it.Error())
	}
	v, err := c.it.ValueAndErr()
	if err != nil {
		return extent{}, asCorrupt(err)
	}
	return storedSums(c.keyBuf, v)
}

// fillExtents writes the extents that have changed.
func (c *dataChange) fillExtents() error {
	for i := range c.extents {
		e := &c.extents[i]
		if e.now == e.stored {
			continue
		}
		c.keyBuf = extentKey(c.keyBuf[:0], c.super.ID, c.n.Ino, e.number)
		if !e.stored.isZero() {
			c.valueBuf = appendExtent(c.valueBuf[:0], e.stored)
			c.data = c.data.Minus(recordSum(c.keyBuf, c.valueBuf))
		}
		c.valueBuf = appendExtent(c.valueBuf[:0], e.now)
		var err error
		if e.now.isZero() {
			err = c.b.Delete(c.keyBuf, nil)
		} else {
			c.data = c.data.Plus(recordSum(c.keyBuf, c.valueBuf))
			err = c.b.Set(c.keyBuf, c.valueBuf, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *dataChange) close() error {
	if c.it == nil {
		return nil
	}
	return asCorrupt(c.it.Close())
}

// fillBlocks removes the stored blocks that are void, then writes the new ones.
func (t *txn) fillBlocks(b *pebble.Batch, n *node) error {
	c := dataChange{txn: t, b: b, n: n, end: t.storedBlocks(n), kept: n.cut}
	if n.gone {
		c.kept = 0
	}
	c.kept = min(c.kept, c.end)
	for _, step := range []func() error{c.cut, c.write, c.fillExtents} {
		if err := step(); err != nil {
			return errors.Join(err, c.close())
		}
	}
	if !c.data.IsZero() {
		t.sums.add(bucketOf(inodeKey(t.keyBuf[:0], t.super.ID, n.Ino)), c.data)
		if !n.gone {
			n.edit().data = n.data.Plus(c.data)
		}
	}
	return c.close()
}

// storedBytes adds up the stored blocks in [first, end) that this txn did not
// write: by their extents, where those lie between the two.
func (t *txn) storedBytes(n *node, first, end uint64) (sum uint64, err error) {
	c := dataChange{txn: t, n: n}
	one := func(number uint64, e extent) error {
		if _, rewritten := n.blocks[number]; !rewritten {
			sum += e.bytes
		}
		return nil
	}
	from, to := wholeExtents(first), end/extentBlocks
	if from >= to {
		return sum, c.scanSums(first, end, one)
	}
	err = errors.Join(c.scanSums(first, from*extentBlocks, one), c.scanSums(to*extentBlocks, end, one))
	if err != nil {
		return 0, err
	}
	err = scanRange(t.s.db, extentKey(nil, t.super.ID, n.Ino, from), extentKey(nil, t.super.ID, n.Ino, to),
		func(key, value []byte) error {
			e, err := decodeExtent(key, value)
			sum += e.bytes
			return err
		})
	if err != nil {
		return 0, err
	}
	for _, number := range n.order {
		if number < from*extentBlocks || number >= to*extentBlocks {
			continue
		}
		err := c.scanSums(number, number+1, func(_ uint64, e extent) error {
			sum -= e.bytes
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}
