package main

import "twofold/raftlog/logstore"

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
// disk is full it ends, and the data nodes go on without it.
func (n *node) watchDisk() {
	free, err := freeBytes(n.cfg.Dir)
	if err != nil {
		n.log.Error("cannot tell the free disk space", "err", err)
		return
	}
	n.metrics.raft.SetDiskFree(uint64(free))
	if short := free < n.cfg.Reserve; n.store == nil && n.short.Swap(short) != short {
		n.log.Warn("the free disk space of this witness crosses its reserve: without space it ends, and the volume is then not protected; make room",
			"short", short, "free", humanBytes(uint64(free)), "reserve", n.cfg.Reserve)
	}
}
