package raftlog

import "time"

// prober writes to the log's disk whenever the log itself has not for an interval:
// a disk that hangs is found before somebody's change has to wait for it. A write
// may never return, and then this goroutine does not: there is one write at a time,
// and so one thread at most that a disk that hangs holds on the prober's account.
//
// A write that fails was answered. Whether the node can go on is decided by the log's
// own writes.
func (n *Node) prober() {
	defer close(n.probed)
	interval := n.cfg.Timing.ProbeInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	failed := false
	for {
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			return
		}
		wait := interval - n.stalls.quiet()
		if wait <= 0 {
			wait = interval
			end := n.stalls.begin(opProbe)
			err := n.probe.Write()
			end()
			if err != nil && !failed {
				n.log.Error("the disk of the log answers the probe with an error; look at the disk and at the kernel's messages", "err", err)
			}
			failed = err != nil
		}
		timer.Reset(wait)
	}
}

// quiet returns for how long the log was not written: not at all while it is.
func (s *stalls) quiet() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.mu.begun {
		if b.op == opLog {
			return 0
		}
	}
	return time.Since(s.mu.wrote)
}
