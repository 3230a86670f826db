package duplicate

// slabShift is the binary logarithm of a chunk's length.
const slabShift = 10

// slab is a table that grows without moving what is in it, so that no single
// call pays for a copy of the whole. It holds types without pointers: the
// garbage collector passes over them. Place 0 is never given out.
type slab[T any] struct {
	chunks [][]T
	used   uint32 // places that were given out at least once, and place 0
	free   []uint32
}

func newSlab[T any]() slab[T] {
	return slab[T]{chunks: [][]T{make([]T, 1<<slabShift)}, used: 1}
}

// at returns a place. It stays where it is.
func (s *slab[T]) at(i uint32) *T {
	return &s.chunks[i>>slabShift][i&(1<<slabShift-1)]
}

// take returns a place whose value is to be set.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.used
	if int(i>>slabShift) == len(s.chunks) {
		s.chunks = append(s.chunks, make([]T, 1<<slabShift))
	}
	s.used++
	return i
}

func (s *slab[T]) release(i uint32) { s.free = append(s.free, i) }
