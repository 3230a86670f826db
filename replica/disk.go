package replica

import (
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// diskWatch knows whether the file system under a directory is nearly full.
type diskWatch struct {
	dir     string
	reserve uint64
	logger  *slog.Logger
	isFull  atomic.Bool
	free    atomic.Uint64
}

func (d *diskWatch) full() bool { return d.isFull.Load() }

// run looks every half second until stop is closed. Open has looked before.
func (d *diskWatch) run(stop <-chan struct{}) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.look()
		case <-stop:
			return
		}
	}
}

func (d *diskWatch) look() {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		d.logger.Error("cannot tell the free disk space", "dir", d.dir, "err", err)
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	d.free.Store(free)
	full := free < d.reserve
	if d.isFull.Swap(full) != full {
		d.logger.Warn("disk space", "full", full, "free", free, "reserve", d.reserve)
	}
}
