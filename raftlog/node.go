package raftlog

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// closeWait bounds how long Close waits for proposals that are in flight.
const closeWait = 5 * time.Second

// Node is one member of the cluster.
type Node struct {
	cfg     Config
	log     *slog.Logger
	sm      StateMachine // nil on a witness
	members []Member     // founders, by name

	vote       *logstore.Vote
	store      *logstore.Store
	markers    *markers
	fsm        *fsm
	stalls     *stalls
	probe      *logstore.Probe
	probed     chan struct{} // closed when the prober has ended
	queue      *delivery     // nil on a witness
	leases     *leases
	promises   *promises
	doubt      *doubt
	trans      *transport
	raft       *raft.Raft
	control    *controlServer
	peerSet    atomic.Pointer[peerSet]
	membership *membership
	changing   sync.Mutex // held while the members are changed

	watch     watch
	rounds    rounds
	signals   chan raft.Observation
	kick      chan struct{} // 1: the watched state may have changed
	readyTerm atomic.Uint64 // the term whose barrier was delivered here
	fired     time.Time     // observer's: the contact that the watchdog fired for

	pins    pins
	marking marking
	started atomic.Bool // what belongs to the node is complete

	slots        chan struct{} // one per proposal in flight
	transferring atomic.Bool

	fatal  chan error // buffered for the one error
	failed atomic.Bool

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	tasks  struct {
		sync.Mutex
		wg     sync.WaitGroup
		closed bool // no task may start any more
	}
	downOnce  sync.Once
	down      raft.Future
	closeOnce sync.Once
	closeErr  error
}

// spawn runs f as a goroutine that Close waits for. It returns false if the
// node is closed.
func (n *Node) spawn(f func()) bool {
	n.tasks.Lock()
	defer n.tasks.Unlock()
	if n.tasks.closed {
		return false
	}
	n.tasks.wg.Go(f)
	return true
}

// sleep returns false if the node is closed meanwhile.
func (n *Node) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-n.ctx.Done():
		return false
	}
}

// link returns the link to another member, nil if there is none.
func (n *Node) link(name string) *link {
	for _, k := range n.peers() {
		if k.peer.Name == name {
			return k
		}
	}
	return nil
}

// Fatal delivers the error after which this node must not go on: a write to the
// log that failed, or an integrity error. The node has stopped taking part in
// the cluster by then; the process should end.
func (n *Node) Fatal() <-chan error { return n.fatal }

// fail stops the node's part in the cluster and reports why.
func (n *Node) fail(err error) {
	if !n.failed.CompareAndSwap(false, true) {
		return
	}
	n.log.Error("cannot go on", "err", err)
	n.fatal <- err
	n.spawn(func() {
		// Not by the caller, which may be one of raft's own goroutines, and not
		// before there is a raft.
		if n.trans.wait() {
			n.shutdown()
		}
	})
}

// shutdown stops raft. Only raft's first future of it waits.
func (n *Node) shutdown() raft.Future {
	n.downOnce.Do(func() { n.down = n.raft.Shutdown() })
	return n.down
}

// Close gives back a lease that another node granted, so that the leader waits for
// nothing of this node, takes the node out of the cluster and returns when all its goroutines
// have ended, or with ErrStalled if the disk does not answer: then goroutines
// are left behind, and the process has to end.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Node) close() error {
	n.returnLease()
	n.cancel()
	// Proposals are given the chance to end by themselves: raft forgets the
	// futures that are queued for the state machine when it is shut down, and
	// whoever waits for one would wait for ever. Without a quorum they end when
	// the leader's lease does.
	n.tasks.Lock()
	n.tasks.closed = true
	n.tasks.Unlock()
	idle := make(chan struct{})
	go func() {
		n.tasks.wg.Wait()
		close(idle)
	}()
	waited := n.untilStalled(idle, closeWait)
	if !waited {
		n.log.Warn("proposals in flight are given up")
	}
	down := n.shutdown()
	err := n.trans.Close() // ends the calls that raft's goroutines are in
	err = errors.Join(err, n.control.close())
	n.refreshClosed()
	var diskErr error
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if n.queue != nil {
			n.queue.close() // raft may wait in it
		}
		diskErr = down.Error()
		if waited {
			<-idle
		}
		<-n.probed
		diskErr = errors.Join(diskErr, n.probe.Close(), n.store.Close(), n.vote.Close())
		close(n.stalls.stop)
	}()
	if !n.untilStalled(closed, math.MaxInt64) {
		return errors.Join(err, n.stalls.refuse())
	}
	<-n.stalls.stopped
	return errors.Join(err, diskErr)
}

// untilStalled waits for done, and returns false if the limit passes or the disk
// hangs first.
func (n *Node) untilStalled(done <-chan struct{}, limit time.Duration) bool {
	tick := time.NewTicker(n.cfg.Timing.stallTick())
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-done:
			return true
		case <-tick.C:
			if n.stalls.late.Load() || time.Since(begin) > limit {
				return false
			}
		}
	}
}

// refreshClosed leaves watchers with a state that leads nothing.
func (n *Node) refreshClosed() {
	n.watch.mu.Lock()
	defer n.watch.mu.Unlock()
	n.watch.mu.state.IsLeader, n.watch.mu.state.Ready, n.watch.mu.state.Leader = false, false, ""
	close(n.watch.mu.ch)
	n.watch.mu.ch = make(chan struct{})
}
