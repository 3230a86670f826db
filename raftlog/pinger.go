package raftlog

import "time"

// pinger asks the other members for their state once per PingInterval, and feeds
// the metrics. It is apart from the keeper, which waits for the disk and for
// proposals: a node whose disk hangs goes on to know the others, and to be seen.
func (n *Node) pinger() {
	tick := time.NewTicker(n.cfg.Timing.PingInterval)
	defer tick.Stop()
	for {
		for _, l := range n.peers() {
			l.expire()
			l.ping(func(pong, error) {}) // the link remembers the answer
		}
		n.report()
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}
