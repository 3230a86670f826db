package replica

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"twofold/metrics"
	"twofold/replica/peer"
)

const (
	// spaceEvery is how often a node looks at its disk, and tells the other
	// data nodes what it found.
	spaceEvery = 500 * time.Millisecond
	// spaceLimit bounds one such exchange.
	spaceLimit = 2 * time.Second
	// spaceLife is how long a node that is silent still counts. A node that is
	// away takes no data meanwhile, and must not stop the other one for ever.
	spaceLife = 10 * time.Second
)

// unknownSpace stands for the room on a disk that nobody could ask.
const unknownSpace = math.MaxUint64

// diskWatch knows how much room the fuller of the data nodes has: what is free on
// the disk without what the node keeps for itself (Config.ReserveBytes).
type diskWatch struct {
	name    string // of this node
	free    func() (uint64, error)
	reserve uint64
	logger  *slog.Logger
	metrics *metrics.Replica

	mu struct {
		sync.Mutex
		own   uint64
		peers map[string]peerSpace
		full  bool // as it was said in the log last
	}
}

// peerSpace is what another data node said of itself.
type peerSpace struct {
	free  uint64
	heard time.Time
}

func newDiskWatch(cfg *Config) *diskWatch {
	d := &diskWatch{
		name: cfg.Self.Name, free: cfg.FreeBytes, reserve: cfg.ReserveBytes,
		logger: cfg.Logger, metrics: cfg.Metrics,
	}
	d.mu.own = unknownSpace
	d.mu.peers = make(map[string]peerSpace)
	for _, p := range cfg.Peers {
		d.mu.peers[p] = peerSpace{free: unknownSpace}
	}
	d.look()
	return d
}

// freeBytes asks the file system that holds dir.
func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// full reports that one of the data nodes has no room.
func (d *diskWatch) full() bool { return d.room(time.Now()) == 0 }

// room returns the bytes that fit on the fuller of the data nodes that were
// heard of lately, or unknownSpace.
func (d *diskWatch) room(now time.Time) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	least := d.mu.own
	for _, p := range d.mu.peers {
		if now.Sub(p.heard) < spaceLife {
			least = min(least, p.free)
		}
	}
	return least
}

// own returns what this node tells the others.
func (d *diskWatch) own() peer.Space {
	d.mu.Lock()
	defer d.mu.Unlock()
	return peer.Space{Free: d.mu.own}
}

// heard notes what another data node said. Names that are not configured are
// left out, so that there are never more than those.
func (d *diskWatch) heard(name string, s peer.Space, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.mu.peers[name]; ok {
		d.mu.peers[name] = peerSpace{free: s.Free, heard: now}
	}
}

// run looks at the disk until stop is closed. Open has looked before.
func (d *diskWatch) run(stop <-chan struct{}) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.look()
			d.report(time.Now())
		case <-stop:
			return
		}
	}
}

// look asks for the free space of this node. If that cannot be told, what was
// known holds on.
func (d *diskWatch) look() {
	free, err := d.free()
	if err != nil {
		d.logger.Error("cannot tell the free disk space", "err", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.own = free - min(free, d.reserve)
}

// report brings what is known into the metrics and, when the verdict changes,
// into the log.
func (d *diskWatch) report(now time.Time) {
	room := d.room(now)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.metrics.SetFree(d.name, d.mu.own, d.mu.own != unknownSpace)
	for name, p := range d.mu.peers {
		d.metrics.SetFree(name, p.free, p.free != unknownSpace && now.Sub(p.heard) < spaceLife)
	}
	if full := room == 0; full != d.mu.full {
		d.mu.full = full
		d.logger.Warn("disk space", "full", full, "own", d.mu.own, "fuller", room, "reserve", d.reserve)
	}
}

// runSpace exchanges the free space with one other data node.
func (s *Store) runSpace(name string) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), spaceLimit)
		got, err := s.peers.Space(ctx, name, s.disk.own())
		cancel()
		if err == nil {
			s.disk.heard(name, got, time.Now())
		}
		select {
		case <-tick.C:
		case <-s.stopped:
			return
		}
	}
}

// HandleSpace notes the free space of another data node and tells this one's
// (peer.Handler).
func (s *Store) HandleSpace(from string, theirs peer.Space) peer.Space {
	s.disk.heard(from, theirs, time.Now())
	return s.disk.own()
}
