package main

import (
	"context"
	"errors"
	"time"
)

// Bounds of a planned stop. Together they stay below what supervisors allow.
const (
	drainTimeout    = 4 * time.Second
	transferTimeout = 2 * time.Second
	serversTimeout  = 2 * time.Second
)

// close stops a node in the order that its clients notice least: it says that
// it is not ready, answers the calls in flight, hands leadership over, and only
// then leaves the log.
func (n *node) close() error {
	n.draining.Store(true)
	if err := n.stalled(); err != nil {
		return n.closeStalled(err)
	}
	var errs []error
	if n.nfs != nil {
		errs = append(errs, within(withdrawTimeout, n.mapper.stop))
		errs = append(errs, within(drainTimeout, n.nfs.Shutdown))
	}
	// If it fails the others elect a leader by themselves, a little later.
	switch err := within(transferTimeout, n.transferLeadership); {
	case errors.Is(err, errPeerGone):
		n.log.Info("leadership is not handed over: " + errPeerGone.Error())
	case err != nil:
		n.log.Warn("leadership was not handed over", "err", err)
	}
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
