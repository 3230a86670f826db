package main

import (
	"path/filepath"
	"time"

	"twofold/replica"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// volumeDir holds the state of a data node below its directory.
const volumeDir = "volume"

// openStore opens the copy of the volume. A witness has none.
func (n *node) openStore() error {
	if !n.cfg.isData() {
		return nil
	}
	v := n.cfg.Volume
	var err error
	cfg := replica.Config{
		Dir:   filepath.Join(n.cfg.Dir, volumeDir),
		Self:  vfs.Member{Name: n.cfg.Node, ID: n.id.NodeID},
		Peers: otherData(n.memberList(), n.cfg.Node),
		State: state.Options{
			Logger:        n.log,
			CacheBytes:    int64(n.cfg.Memory.Cache),
			MemTableBytes: uint64(n.cfg.Memory.Memtable),
		},
		Format: command.Format{
			BlockSize: uint32(v.BlockSize),
			RootUID:   v.RootUID,
			RootGID:   v.RootGID,
			RootMode:  uint32(v.RootMode),
		},
		WaitLimit:      time.Duration(n.cfg.NFS.WaitLimit),
		ReserveBytes:   uint64(n.cfg.Reserve),
		DuplicateBytes: uint64(n.cfg.Duplicates),
		CatchUpRate:    int64(n.cfg.CatchUpRate),
		DigestEvery:    time.Duration(n.cfg.Digests.Every),
		ScrubRate:      uint64(n.cfg.Digests.ScrubRate),
		Logger:         n.log,
		Metrics:        n.metrics.replica,
	}
	if n.cfg.tuneStore != nil {
		n.cfg.tuneStore(&cfg)
	}
	n.store, err = replica.Open(cfg)
	return err
}
