package state

import (
	"fmt"

	"twofold/replica/vfs"
)

// maxPointDeletes is how many blocks are deleted one by one. Beyond it one
// range deletion is cheaper, though every later read pays a little for it.
const maxPointDeletes = 16

// blockCount returns how many blocks a file of size bytes can have.
func (t *txn) blockCount(size uint64) uint64 {
	bs := uint64(t.super.BlockSize)
	return (size + bs - 1) / bs
}

// checksumLen is the length of the checksum with which a block's value begins:
// the hash of what follows it. It is checked whenever the block is read.
const checksumLen = len(Digest{})

// openBlock returns what a block's value holds.
func openBlock(key, value []byte) ([]byte, error) {
	if len(value) <= checksumLen || hash(value[checksumLen:]) != Digest(value) {
		return nil, corruptBlock(key, value)
	}
	return value[checksumLen:], nil
}

func corruptBlock(key, value []byte) error {
	if len(key) != entryKeyLen {
		return corrupt(key, "key of %d bytes", len(key))
	}
	return fmt.Errorf("%w: inode %d, block %d: %d stored bytes have not the checksum with which they were written",
		vfs.ErrCorrupt, be.Uint64(key[prefixLen:]), be.Uint64(key[prefixLen+8:]), len(value))
}

// storedSums returns what the digest has of a stored block. It goes by the
// checksum that was written: what has become of the content does not matter
// where it is replaced or removed.
func storedSums(key, value []byte) (extent, error) {
	if len(value) <= checksumLen {
		return extent{}, corruptBlock(key, value)
	}
	return extent{bytes: uint64(len(value) - checksumLen), sum: blockSum(key, Digest(value))}, nil
}

// storedBlocks returns the number from which on no block is stored.
func (t *txn) storedBlocks(n *node) uint64 {
	if n.stored == nil || n.stored.Used == 0 {
		return 0
	}
	return t.blockCount(n.stored.Size)
}

// deleteRecords deletes the blocks or the extents in [from, to).
func (c *dataChange) deleteRecords(makeKey func([]byte, uint32, vfs.Ino, uint64) []byte, from, to uint64) error {
	if from < to && to-from > maxPointDeletes {
		lower := makeKey(nil, c.super.ID, c.n.Ino, from)
		return c.b.DeleteRange(lower, makeKey(nil, c.super.ID, c.n.Ino, to), nil)
	}
	for number := from; number < to; number++ {
		c.keyBuf = makeKey(c.keyBuf[:0], c.super.ID, c.n.Ino, number)
		if err := c.b.Delete(c.keyBuf, nil); err != nil {
			return err
		}
	}
	return nil
}

// block returns what is stored of one block: nil for a hole, and never more
// than lies before the file's end. The slice must not be changed.
func (t *txn) block(n *node, number uint64) []byte {
	if data, ok := n.blocks[number]; ok {
		return data
	}
	if number >= n.cut || number >= t.storedBlocks(n) {
		return nil
	}
	data, err := t.readBlock(n, number)
	if err != nil {
		t.fail(err)
	}
	return data
}

// readBlock reads a stored block, and keeps its sums for when it is replaced.
func (t *txn) readBlock(n *node, number uint64) ([]byte, error) {
	t.keyBuf = blockKey(t.keyBuf[:0], t.super.ID, n.Ino, number)
	v, err := t.s.get(t.keyBuf)
	if err != nil {
		return nil, err
	}
	if n.replaced == nil {
		n.replaced = make(map[uint64]extent)
	}
	if v == nil {
		n.replaced[number] = extent{}
		return nil, nil
	}
	data, err := openBlock(t.keyBuf, v)
	if err != nil {
		return nil, err
	}
	n.replaced[number], err = storedSums(t.keyBuf, v)
	return data, err
}

// blockLen returns the length of what block returns, without reading it if the
// file has no holes.
func (t *txn) blockLen(n *node, number uint64) uint64 {
	if n.dense() {
		return blockEnd(n.Size, number, uint64(t.super.BlockSize))
	}
	return uint64(len(t.block(n, number)))
}

// blockEnd returns how many bytes of a file of size bytes lie in a block.
func blockEnd(size, number, bs uint64) uint64 {
	start := number * bs
	if start >= size {
		return 0
	}
	return min(bs, size-start)
}

// setBlock puts data, which must not change any more, in place of old bytes.
func (t *txn) setBlock(n *node, number uint64, data []byte, old uint64) {
	if n.blocks == nil {
		n.blocks = make(map[uint64][]byte)
	}
	if _, ok := n.blocks[number]; !ok {
		n.order = append(n.order, number)
	}
	n.blocks[number] = data
	t.addUsed(n, uint64(len(data))-old)
}

// addUsed counts stored bytes; delta may be negative, as two's complement.
func (t *txn) addUsed(n *node, delta uint64) {
	n.edit().Used += delta
	t.super.bytes += delta
}

// writeData puts data at off. A command's data is not copied where it covers
// whole blocks.
func (t *txn) writeData(n *node, off uint64, data []byte) {
	bs := uint64(t.super.BlockSize)
	for len(data) > 0 && t.err == nil {
		number, at := off/bs, off%bs
		part := data[:min(uint64(len(data)), bs-at)]
		end := at + uint64(len(part))
		old := t.blockLen(n, number)
		if at == 0 && end >= old {
			t.setBlock(n, number, part, old)
		} else {
			merged := make([]byte, max(old, end))
			copy(merged, t.block(n, number))
			copy(merged[at:], part)
			t.setBlock(n, number, merged, old)
		}
		// The size follows each block, since blockLen of a file without holes
		// relies on it.
		if off+uint64(len(part)) > n.Size {
			n.edit().Size = off + uint64(len(part))
		}
		off, data = off+uint64(len(part)), data[len(part):]
	}
}

// resize sets a file's size. A shorter file loses its blocks and the tail of
// its last one, so that growing again shows zeros.
func (t *txn) resize(n *node, size uint64) {
	if size < n.Size {
		t.shrink(n, size)
	}
	n.edit().Size = size
}

func (t *txn) shrink(n *node, size uint64) {
	bs := uint64(t.super.BlockSize)
	first := t.blockCount(size)
	cutBytes := t.bytesFrom(n, first, size)
	if tail := size % bs; tail != 0 {
		number := first - 1
		if old := t.blockLen(n, number); old > tail {
			t.setBlock(n, number, t.block(n, number)[:tail:tail], old)
		}
	}
	n.dropBlocks(first)
	t.addUsed(n, -cutBytes)
}

// dropBlocks forgets the blocks from first on, written in this txn or before.
func (n *node) dropBlocks(first uint64) {
	kept := n.order[:0]
	for _, number := range n.order {
		if number < first {
			kept = append(kept, number)
		} else {
			delete(n.blocks, number)
		}
	}
	n.order, n.cut = kept, min(n.cut, first)
}

// bytesFrom returns the bytes stored in blocks from first on. Nothing is read
// if all go or the file has no holes; only a file with holes that is cut in
// the middle has its extents counted, and the blocks of one.
func (t *txn) bytesFrom(n *node, first, size uint64) uint64 {
	bs := uint64(t.super.BlockSize)
	switch {
	case size == 0 || n.Used == 0:
		return n.Used
	case n.dense():
		return n.Size - min(n.Size, first*bs)
	}
	var sum uint64
	for _, number := range n.order {
		if number >= first {
			sum += uint64(len(n.blocks[number]))
		}
	}
	end := min(n.cut, t.storedBlocks(n))
	if first >= end {
		return sum
	}
	stored, err := t.storedBytes(n, first, end)
	if err != nil {
		t.fail(err)
	}
	return sum + stored
}
