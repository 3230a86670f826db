package state

import (
	"math"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"twofold/replica/vfs"
)

// nameCost is about what a cached name takes beside its bytes.
const nameCost = 192

// nameCache keeps directory entries decoded: those that there are, and names that
// have none. It knows of how many entries of a directory it has, so that a directory
// whose entries are all in it can be asked for any name. Such are directories that were
// made or filled not long ago, where nearly every CREATE goes.
//
// It holds what is committed, and changes with it under State.mu: a reader, who
// holds that lock, puts in what it read. It may be used by several goroutines.
type nameCache struct {
	mu struct {
		sync.Mutex
		lru     *simplelru.LRU[entryName, dirent]
		present map[vfs.Ino]uint64 // how many entries of a directory are in lru
		bytes   int
	}
	limit int // of bytes
}

func newNameCache(limit int) *nameCache {
	c := &nameCache{limit: limit}
	c.mu.present = make(map[vfs.Ino]uint64)
	// Bytes are the limit, and NewLRU accepts any positive number.
	c.mu.lru, _ = simplelru.NewLRU(math.MaxInt, c.goneLocked)
	return c
}

// get returns the entry of a name in a directory that has so many, the zero value if
// there is certainly none, and false if that is not known.
func (c *nameCache) get(dir vfs.Ino, entries uint64, name string) (dirent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.mu.lru.Get(entryName{dir, name}); ok {
		return d, true
	}
	return dirent{}, c.mu.present[dir] == entries
}

// put keeps what a name in a directory is now: an entry, or none.
func (c *nameCache) put(dir vfs.Ino, name string, d dirent) {
	id := entryName{dir, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.mu.lru.Get(id); ok {
		c.countLocked(dir, before, -1)
	} else {
		id.name = strings.Clone(name) // the caller's may be a part of something large
		c.mu.bytes += nameCost + len(name)
	}
	c.countLocked(dir, d, 1)
	c.mu.lru.Add(id, d)
	for c.mu.bytes > c.limit {
		c.mu.lru.RemoveOldest()
	}
}

// goneLocked is told of what leaves the cache.
func (c *nameCache) goneLocked(id entryName, d dirent) {
	c.mu.bytes -= nameCost + len(id.name)
	c.countLocked(id.dir, d, -1)
}

// countLocked counts one entry more or less of a directory, if there is one.
func (c *nameCache) countLocked(dir vfs.Ino, d dirent, by int) {
	if !d.exists() {
		return
	}
	n := c.mu.present[dir] + uint64(by)
	if n == 0 {
		delete(c.mu.present, dir)
		return
	}
	c.mu.present[dir] = n
}

// purge forgets all.
func (c *nameCache) purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.lru.Purge()
}
