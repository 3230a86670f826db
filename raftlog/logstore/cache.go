package logstore

import "github.com/hashicorp/raft"

// cache holds the last entries, so that a leader reads an entry that it just
// wrote from memory for each of its followers. It is bounded by count and by
// bytes. raft.LogCache counts entries only.
type cache struct {
	logs  [cacheEntries]raft.Log // at Index % cacheEntries; Index 0 is empty
	bytes int
	low   uint64 // nothing below is held
}

func (c *cache) put(l *raft.Log) {
	slot := &c.logs[l.Index%cacheEntries]
	c.bytes += len(l.Data) - len(slot.Data)
	*slot = *l
	if c.low == 0 {
		c.low = l.Index
	}
	for c.bytes > cacheBytes && c.low < l.Index {
		c.drop(c.low)
		c.low++
	}
}

func (c *cache) drop(index uint64) {
	slot := &c.logs[index%cacheEntries]
	if slot.Index == index {
		c.bytes -= len(slot.Data)
		*slot = raft.Log{}
	}
}

func (c *cache) get(index uint64, l *raft.Log) bool {
	slot := &c.logs[index%cacheEntries]
	if slot.Index != index || index == 0 {
		return false
	}
	*l = *slot
	return true
}

// clear empties the cache; after a deletion that is simpler than to be exact.
func (c *cache) clear() { *c = cache{} }
