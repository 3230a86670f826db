package main

import (
	"context"
	"errors"
	"time"
)

// serversTimeout bounds the end of the servers for people.
const serversTimeout = 2 * time.Second

// close stops a node in the order that its clients notice least: it drains the
// node, and only then leaves the log.
func (n *node) close() error {
	if err := n.stalled(); err != nil {
		close(n.stopping)
		n.refuse(refusalStopping)
		return n.closeStalled(err)
	}
	errs := []error{n.stopServing()}
	if n.store != nil {
		n.store.Stop()
	}
	if p := n.parts.Load(); p != nil {
		errs = append(errs, p.raft.Close())
	}
	errs = append(errs, within(serversTimeout, n.http.Shutdown), within(serversTimeout, n.admin.close))
	errs = append(errs, n.closeFiles())
	n.running.Wait()
	return errors.Join(errs...)
}

// stopServing drains the node for good.
func (n *node) stopServing() error {
	close(n.stopping) // a drain under way waits no longer than it must
	n.front.Lock()
	defer n.front.Unlock()
	drained := !n.serving()
	n.refuse(refusalStopping)
	d := drainer{node: n}
	if !drained {
		d.delay(nil)
	}
	// If nobody takes the lead the others elect a leader by themselves, a little
	// later. A drained node may have been elected again.
	_ = d.handOver()
	if n.nfs == nil || drained {
		return nil
	}
	err := d.closeClients()
	d.giveUpLease() // for good
	return err
}

// within calls f with a bound.
func within(limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return f(ctx)
}

// closeFiles closes what openNode opened. It is safe on a node that is only
// half open.
func (n *node) closeFiles() error {
	var errs []error
	if n.mount != nil {
		errs = append(errs, n.mount.Close())
	}
	if n.groups != nil {
		errs = append(errs, n.groups.Close())
	}
	if n.exports != nil {
		errs = append(errs, n.exports.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.mux != nil {
		errs = append(errs, n.mux.Close())
	}
	if n.dir != nil {
		errs = append(errs, n.dir.Close())
	}
	// These are closed already if their servers ran.
	if n.httpListener != nil {
		_ = n.httpListener.Close()
	}
	if n.nfsListener != nil {
		_ = n.nfsListener.Close()
	}
	return errors.Join(errs...)
}
