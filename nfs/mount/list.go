package mount

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/pace"
	"twofold/replica/vfs"
)

// Limits of the work on the list of mounts, which goes on in the background.
const (
	maxQueue   = 1024             // changes that wait
	changeTime = 10 * time.Second // for one change
	dumpTime   = 10 * time.Second // for reading the list
)

// recorder hands changes of the cluster's list of mounts on, one after
// another, so that no mount waits for the list or fails because of it.
type recorder struct {
	list vfs.MountList // nil: nobody keeps a list
	log  *slog.Logger
	pace rate.Sometimes

	queue  chan func(context.Context) error
	cancel context.CancelFunc
	ended  chan struct{} // closed when the goroutine has ended
}

func newRecorder(list vfs.MountList, log *slog.Logger) *recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{
		list: list, log: log, cancel: cancel,
		pace:  rate.Sometimes{Interval: linePause},
		queue: make(chan func(context.Context) error, maxQueue), ended: make(chan struct{}),
	}
	go r.run(ctx)
	return r
}

// run makes the changes.
func (r *recorder) run(ctx context.Context) {
	defer close(r.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case change := <-r.queue:
			cctx, cancel := context.WithTimeout(ctx, changeTime)
			err := change(cctx)
			cancel()
			if err != nil && ctx.Err() == nil && pace.Due(&r.pace) {
				r.log.Warn("the list of mounts, which showmount shows, misses a change", "err", err)
			}
		}
	}
}

// close ends the goroutine. What waits in the queue is lost.
func (r *recorder) close() {
	r.cancel()
	<-r.ended
}

// put queues a change.
func (r *recorder) put(change func(context.Context) error) {
	if r.list == nil {
		return
	}
	select {
	case r.queue <- change:
	default:
		if pace.Due(&r.pace) {
			r.log.Warn("the list of mounts, which showmount shows, misses changes: too many at once", "limit", maxQueue)
		}
	}
}

func (r *recorder) add(m vfs.Mount) {
	r.put(func(ctx context.Context) error { return r.list.AddMount(ctx, m) })
}

func (r *recorder) remove(m vfs.Mount) {
	r.put(func(ctx context.Context) error { return r.list.RemoveMount(ctx, m) })
}

func (r *recorder) removeAll(host string) {
	r.put(func(ctx context.Context) error { return r.list.RemoveMounts(ctx, host) })
}

// all returns the list.
func (r *recorder) all(ctx context.Context) ([]vfs.Mount, error) {
	if r.list == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dumpTime)
	defer cancel()
	return r.list.Mounts(ctx)
}
