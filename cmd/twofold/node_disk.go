package main

import (
	"fmt"

	"twofold/raftlog/logstore"
)

// segmentShare is which part of the reserve one segment of the log may be: it is
// allocated whole, also while the reserve is all that is left.
const segmentShare = 8

// logSegment is the size of a segment of the log.
func logSegment(reserve byteSize) int {
	return int(min(reserve/segmentShare, logstore.DefaultSegmentBytes))
}

// diskTight reports that this node's disk is down to its reserve.
func (n *node) diskTight() bool {
	if n.store != nil {
		return n.store.DiskTight()
	}
	return n.short.Load()
}

// watchDisk looks at the disk. A data node says itself when it is short; a witness
// has nothing to refuse, and only the log to cut, so that it can but warn. When its
// disk is full it ends, and the data nodes go on without it: whatever they
// acknowledge is at both of them, but there is no third machine for a quorum.
func (n *node) watchDisk() {
	free, err := freeBytes(n.cfg.Dir)
	if err != nil {
		n.log.Error("cannot tell the free disk space", "err", err)
		return
	}
	n.metrics.raft.SetDiskFree(uint64(free))
	if short := free < n.cfg.Reserve; n.store == nil && n.short.Swap(short) != short {
		n.log.Warn("the free disk space of this witness crosses its reserve: without space it ends, and the loss of a data node then stops the volume; make room",
			"short", short, "free", humanBytes(uint64(free)), "reserve", n.cfg.Reserve)
	}
}

// ofDisk adds to an error of the log that the disk is full, if it is. If a new
// segment finds no space, it is the next write to the sealed one whose error ends
// the node, and that does not name the cause any more. A segment is less than what has
// to be free at a start, so that no write fails for want of space above that.
func (n *node) ofDisk(err error) error {
	free, statErr := freeBytes(n.cfg.Dir)
	if statErr != nil || free >= n.cfg.Reserve/startReserveShare {
		return err
	}
	return fmt.Errorf("directory %s: its disk is full, %s are free: make room, and start the node again: %w", n.cfg.Dir, humanBytes(uint64(free)), err)
}
