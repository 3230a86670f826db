package modelfs

// content holds the bytes of a regular file as whole blocks, by block number.
// A block that is absent reads as zeros, so that a file with one byte at 1 TiB
// is small. Bytes past the end of the file are zero in every block.
type content map[uint64][]byte

// readAt fills buf from off. Nothing here knows the file's size.
func (c content) readAt(buf []byte, off uint64, blockSize uint32) {
	bs := uint64(blockSize)
	for done := 0; done < len(buf); {
		pos := off + uint64(done)
		part := buf[done:min(len(buf), done+int(bs-pos%bs))]
		if block, ok := c[pos/bs]; ok {
			copy(part, block[pos%bs:])
		} else {
			clear(part)
		}
		done += len(part)
	}
}

// writeAt puts data at off and makes the blocks that it needs.
func (c content) writeAt(data []byte, off uint64, blockSize uint32) {
	bs := uint64(blockSize)
	for done := 0; done < len(data); {
		pos := off + uint64(done)
		block, ok := c[pos/bs]
		if !ok {
			block = make([]byte, bs)
			c[pos/bs] = block
		}
		done += copy(block[pos%bs:], data[done:])
	}
}

// truncate forgets everything from size on.
func (c content) truncate(size uint64, blockSize uint32) {
	bs := uint64(blockSize)
	for number, block := range c {
		switch {
		case number*bs >= size:
			delete(c, number)
		case number == size/bs:
			clear(block[size%bs:])
		}
	}
}
