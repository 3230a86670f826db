package nfs

import (
	"math/bits"
	"sync"
)

// Buffers come in size classes, each twice the one before, from the size of a
// GETATTR to that of a WRITE of 1 MiB with its headers. Larger ones are left to
// the garbage collector.
const (
	smallestBits = 9  // 512 bytes
	classCount   = 11 // 512 B to 512 KiB; one more class is largest
	largest      = 1<<20 + 16<<10
)

// buffer is a byte slice that goes back into a pool. Its holder may put a larger
// slice into b.
type buffer struct{ b []byte }

// pool hands out buffers. The zero pool is ready.
type pool struct {
	classes [classCount + 1]sync.Pool
}

// get returns an empty buffer with room for n bytes.
func (p *pool) get(n int) *buffer {
	c := classFor(n)
	if c < 0 {
		return &buffer{b: make([]byte, 0, n)}
	}
	if buf, ok := p.classes[c].Get().(*buffer); ok {
		buf.b = buf.b[:0]
		return buf
	}
	return &buffer{b: make([]byte, 0, classSize(c))}
}

// roomFor returns the capacity of the buffer that get(n) gives, which is what
// the budgets count.
func roomFor(n int) int {
	if c := classFor(n); c >= 0 {
		return classSize(c)
	}
	return n
}

// put takes a buffer back. Neither it nor its bytes may be used any more.
func (p *pool) put(buf *buffer) {
	if c := classOf(cap(buf.b)); c >= 0 {
		p.classes[c].Put(buf)
	}
}

func classSize(c int) int {
	if c == classCount {
		return largest
	}
	return 1 << (smallestBits + c)
}

// classFor returns the smallest class with room for n bytes, or -1.
func classFor(n int) int {
	if n > classSize(classCount-1) {
		if n > largest {
			return -1
		}
		return classCount
	}
	return max(0, bits.Len(uint(max(n, 1)-1))-smallestBits)
}

// classOf returns the largest class whose size a buffer of capacity n has, or
// -1 if it is too small for any, or so large that keeping it would be a waste.
func classOf(n int) int {
	switch {
	case n < classSize(0) || n > 2*largest:
		return -1
	case n >= largest:
		return classCount
	}
	return min(bits.Len(uint(n))-1-smallestBits, classCount-1)
}
