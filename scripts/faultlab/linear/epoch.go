package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"twofold/nfs/client"
	"twofold/replica/vfs"
	"twofold/scripts/faultlab/caller"
	"twofold/scripts/faultlab/probe"
)

// What an epoch has.
const (
	fileCount = 4
	dirCount  = 2
	// clients are half at each node. Of each four, two wait, one moves, and one leaves.
	clients    = 8
	firstOwner = 1000
	nameFormat = "n%d"
)

func nameOf(i int) string { return fmt.Sprintf(nameFormat, i) }

// Epoch is some seconds of random clients.
type Epoch struct {
	History *History

	addrs   [2]string
	files   []client.FH
	dirs    []client.FH
	began   time.Time
	serial  atomic.Uint64
	workers []*worker
	stop    atomic.Bool
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Start makes what an epoch works at, in names that begin with prefix, and starts its clients.
func Start(ctx context.Context, addrs [2]string, prefix string, seed uint64) (*Epoch, error) {
	e := &Epoch{addrs: addrs, History: &History{Files: fileCount}}
	if err := e.prepare(ctx, prefix); err != nil {
		return nil, err
	}
	e.began = time.Now()
	ctx, e.cancel = context.WithCancel(ctx)
	habits := [4]caller.Habit{caller.Waits, caller.Moves, caller.Leaves, caller.Waits}
	for i := range clients {
		w := &worker{
			epoch: e, number: i, node: i % 2, caller: caller.New(addrs, i%2, habits[i/2%4]),
			rng: rand.New(rand.NewPCG(seed, uint64(i))),
		}
		e.workers = append(e.workers, w)
		e.running.Go(func() { w.run(ctx) })
	}
	return e, nil
}

// prepare makes the files and directories.
func (e *Epoch) prepare(ctx context.Context, prefix string) error {
	root, err := probe.Mount(ctx, e.addrs)
	if err != nil {
		return err
	}
	c := caller.New(e.addrs, 0, caller.Moves)
	defer c.Close()
	for i := range fileCount + dirCount {
		name := fmt.Sprintf("%s-%d", prefix, i)
		var fh client.FH
		st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
			var res client.CreateRes
			var err error
			if i < fileCount {
				res, err = c.Create(ctx, root, name, client.CreateHow{Mode: vfs.CreateGuarded, Attr: client.SetAttr{Mode: client.Ptr(uint32(firstMode))}})
			} else {
				res, err = c.Mkdir(ctx, root, name, client.SetAttr{Mode: client.Ptr(uint32(0o777))})
			}
			fh = res.FH
			return res.Status, err
		})
		if err == nil {
			err = st.Err()
		}
		if err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		if i < fileCount {
			e.files = append(e.files, fh)
		} else {
			e.dirs = append(e.dirs, fh)
		}
	}
	return nil
}

// Stop ends the epoch when all calls are answered, and tells what was wrong: clients that met an answer that makes no sense, or that none came within
// the limit.
func (e *Epoch) Stop(limit time.Duration) (problems []string) {
	e.stop.Store(true)
	done := make(chan struct{})
	go func() {
		e.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		problems = append(problems, fmt.Sprintf("HUNG: not every client had its answer within %s", limit))
		e.cancel()
		<-done
	}
	e.cancel()
	for _, w := range e.workers {
		if w.err != nil {
			problems = append(problems, w.err.Error())
		}
	}
	return problems
}

// Look reads everything at both nodes, as operations of the history. It is for an epoch that has stopped, with all faults gone.
func (e *Epoch) Look(ctx context.Context) error {
	for node := range e.addrs {
		w := &worker{epoch: e, number: clients + node, node: node, caller: caller.New(e.addrs, node, caller.Waits)}
		defer w.caller.Close()
		for object := range fileCount + dirCount {
			kinds := []Kind{Read, Getattr}
			if object >= fileCount {
				kinds = []Kind{Readdir, ReaddirPlus}
			}
			for _, k := range kinds {
				if err := w.operation(ctx, Input{Object: object, Kind: k}); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

// Repeats counts the calls that were sent again under their XID. It is for an epoch that has stopped.
func (e *Epoch) Repeats() (n int) {
	for _, w := range e.workers {
		n += w.caller.Repeats
	}
	return n
}

// Jukeboxes counts the answers NFS3ERR_JUKEBOX. It is for an epoch that has stopped.
func (e *Epoch) Jukeboxes() (n int) {
	for _, w := range e.workers {
		n += w.caller.Jukeboxes
	}
	return n
}
