package main

import (
	"errors"
	"fmt"
	"time"
)

// stalledTimeout bounds the end of a node whose disk does not answer, after which
// the process exits.
const stalledTimeout = 4 * time.Second

// stalled tells that this node stands aside because its disk does not answer.
func (n *node) stalled() error {
	if p := n.parts.Load(); p != nil {
		return p.raft.Stalled()
	}
	return nil
}

// closeStalled ends a node whose disk does not answer: whatever touches a file may
// never return, so that only the network is closed. Clients get a FIN now. The
// kernel closes nothing of a process that it cannot end while a thread of it
// waits for the disk.
func (n *node) closeStalled(why error) error {
	err := bounded(stalledTimeout, func() error {
		var errs []error
		if n.nfs != nil {
			errs = append(errs, within(serversTimeout, n.nfs.Shutdown))
		}
		return errors.Join(append(errs, within(serversTimeout, n.http.Shutdown), n.mux.Close())...)
	})
	if err != nil {
		n.log.Warn("the end of a node whose disk does not answer", "err", err)
	}
	return fmt.Errorf("%w: the process ends without its files being closed; nothing acknowledged is lost", why)
}
