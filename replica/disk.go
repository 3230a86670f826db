package replica

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"twofold/metrics"
	"twofold/replica/command"
	"twofold/replica/peer"
)

const (
	// spaceEvery is how often a node looks at its disk, and tells the other
	// data nodes what it found.
	spaceEvery = 500 * time.Millisecond
	// spaceLimit bounds one such exchange. A connection on which it is not answered
	// by then is given up (peer.Client.Space).
	spaceLimit = time.Second
	// spaceLife is how long a node that is silent still counts. A node that is
	// away takes no data meanwhile, and must not stop the other one for ever.
	spaceLife = 10 * time.Second
)

// How short a data node is of space. A level begins when no more than its share of
// the reserve is free, and ends with spaceSlack more, so that it does not change to
// and fro with every file.
const (
	levelRoomy = 0
	levelFull  = 1 // the reserve is all there is: nothing that needs space
	levelShort = 2 // half of it is used: nothing that the log must carry much of
)

// spaceSlack is the part of the reserve by which a level ends later than it began.
const spaceSlack = 16

// spendFactor is what a byte of an entry may take on a disk before the next look:
// once in the log, and twice while the state is written and merged.
const spendFactor = 3

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

	// spent are the bytes proposed since the last look at this node's disk.
	spent atomic.Uint64

	mu struct {
		sync.Mutex
		own    peerSpace
		peers  map[string]peerSpace
		before uint64 // spent between the last two looks
		level  uint8  // as it was said in the log last
	}
}

// peerSpace is what a data node said of itself.
type peerSpace struct {
	free  uint64
	level uint8
	heard time.Time
}

func newDiskWatch(cfg *Config) *diskWatch {
	d := &diskWatch{
		name: cfg.Self.Name, free: cfg.FreeBytes, reserve: cfg.ReserveBytes,
		logger: cfg.Logger, metrics: cfg.Metrics,
	}
	d.mu.own.free = unknownSpace
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

// spend notes that an entry goes to all disks. What the last look found does not
// show it.
func (d *diskWatch) spend(bytes int) { d.spent.Add(uint64(bytes)) }

// verdict is what a leader has to say of space to the commands that it proposes.
func (d *diskWatch) verdict() command.Flags {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	room, level := d.fullerLocked(now)
	switch {
	case level >= levelShort:
		return command.FlagNoSpace | command.FlagNoWrite
	case level == levelFull || room/spendFactor < d.mu.before+d.spent.Load():
		return command.FlagNoSpace
	}
	return 0
}

// room returns the bytes that fit on the fuller of the data nodes that were
// heard of lately, or unknownSpace.
func (d *diskWatch) room(now time.Time) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	room, _ := d.fullerLocked(now)
	return room
}

func (d *diskWatch) fullerLocked(now time.Time) (room uint64, level uint8) {
	room, level = d.mu.own.free, d.mu.own.level
	for _, p := range d.mu.peers {
		if now.Sub(p.heard) < spaceLife {
			room, level = min(room, p.free), max(level, p.level)
		}
	}
	return room, level
}

// tight reports that this node's own disk is down to its reserve.
func (d *diskWatch) tight() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.own.level > levelRoomy
}

// own returns what this node tells the others.
func (d *diskWatch) own() peer.Space {
	d.mu.Lock()
	defer d.mu.Unlock()
	return peer.Space{Free: d.mu.own.free, Level: d.mu.own.level, Wall: time.Now().UnixNano()}
}

// heard notes what another data node said. Names that are not configured are
// left out, so that there are never more than those.
func (d *diskWatch) heard(name string, s peer.Space, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.mu.peers[name]; ok {
		d.mu.peers[name] = peerSpace{free: s.Free, level: s.Level, heard: now}
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
	d.mu.before = d.spent.Swap(0)
	d.mu.own.level = d.level(free, d.mu.own.level)
	d.mu.own.free = 0
	if d.mu.own.level == levelRoomy {
		d.mu.own.free = free - min(free, d.reserve)
	}
}

// level returns how short this node is with free bytes, if it was at old before.
func (d *diskWatch) level(free uint64, old uint8) uint8 {
	slack := d.reserve / spaceSlack
	for _, l := range []struct {
		level uint8
		bound uint64
	}{{levelShort, d.reserve / 2}, {levelFull, d.reserve}} {
		bound := l.bound
		if old >= l.level {
			bound += slack
		}
		if free <= bound {
			return l.level
		}
	}
	return levelRoomy
}

// report brings what is known into the metrics and, when the verdict changes,
// into the log.
func (d *diskWatch) report(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	room, level := d.fullerLocked(now)
	d.metrics.SetFree(d.name, d.mu.own.free, d.mu.own.free != unknownSpace)
	for name, p := range d.mu.peers {
		d.metrics.SetFree(name, p.free, p.free != unknownSpace && now.Sub(p.heard) < spaceLife)
	}
	if level == d.mu.level {
		return
	}
	d.mu.level = level
	what := [...]string{
		levelRoomy: "there is disk space again: all changes are taken",
		levelFull:  "a data node's disk is down to its reserve: changes that need space are refused until files are removed or its disk has room",
		levelShort: "a data node's disk is down to half of its reserve: all writes are refused until files are removed or its disk has room",
	}[min(level, levelShort)]
	d.logger.Warn(what, "own_free", d.mu.own.free, "own_level", d.mu.own.level, "fuller_free", room, "reserve", d.reserve)
}

// runSpace exchanges the free space and the time with one other data node, until
// gone is closed.
func (s *Store) runSpace(name string, gone <-chan struct{}) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), spaceLimit)
		sent := time.Now()
		got, err := s.peers.Space(ctx, name, s.disk.own())
		cancel()
		if now := time.Now(); err == nil {
			s.disk.heard(name, got, now)
			s.skew.heard(name, got.Wall, sent, now)
		}
		s.skew.expire(time.Now())
		select {
		case <-tick.C:
		case <-gone:
			return
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
