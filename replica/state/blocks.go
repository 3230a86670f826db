package state

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

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

// fillBlocks removes the stored blocks that are void, then writes the new ones.
func (t *txn) fillBlocks(b *pebble.Batch, n *node) error {
	from := n.cut
	if n.gone {
		from = 0
	}
	if to := t.blockCount(n.storedSize); n.storedUsed > 0 && from < to {
		if err := t.deleteBlocks(b, n.Ino, from, to); err != nil {
			return err
		}
	}
	for _, number := range n.order {
		t.keyBuf = blockKey(t.keyBuf[:0], t.super.ID, n.Ino, number)
		if err := b.Set(t.keyBuf, n.blocks[number], nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) deleteBlocks(b *pebble.Batch, ino vfs.Ino, from, to uint64) error {
	if to-from > maxPointDeletes {
		lower := blockKey(t.keyBuf[:0], t.super.ID, ino, from)
		t.keyBuf = lower
		t.valueBuf = blockKey(t.valueBuf[:0], t.super.ID, ino, to)
		return b.DeleteRange(lower, t.valueBuf, nil)
	}
	for number := from; number < to; number++ {
		t.keyBuf = blockKey(t.keyBuf[:0], t.super.ID, ino, number)
		if err := b.Delete(t.keyBuf, nil); err != nil {
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
	if number >= n.cut || n.storedUsed == 0 || number >= t.blockCount(n.storedSize) {
		return nil
	}
	data, err := t.s.get(blockKey(nil, t.super.ID, n.Ino, number))
	if err != nil {
		t.fail(err)
	}
	return data
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

// dropBlocks forgets the blocks from first on, written in this entry or before.
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
// the middle has its blocks counted.
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
	end := min(n.cut, t.blockCount(n.storedSize))
	if n.storedUsed == 0 || first >= end {
		return sum
	}
	stored, err := t.storedBytes(n, first, end)
	if err != nil {
		t.fail(err)
	}
	return sum + stored
}

// storedBytes adds up the stored blocks in [first, end) that this entry did
// not write.
func (t *txn) storedBytes(n *node, first, end uint64) (sum uint64, err error) {
	it, err := t.s.db.NewIter(&pebble.IterOptions{
		LowerBound: blockKey(nil, t.super.ID, n.Ino, first),
		UpperBound: blockKey(nil, t.super.ID, n.Ino, end),
	})
	if err != nil {
		return 0, asCorrupt(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var number uint64
		if number, err = lastPart(it.Key()); err != nil {
			break
		}
		if _, rewritten := n.blocks[number]; !rewritten {
			var v []byte
			v, err = it.ValueAndErr()
			sum += uint64(len(v))
		}
	}
	return sum, errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}
