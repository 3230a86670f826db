package raftlog

import (
	"strings"
	"time"
)

// leaderlessAfter is how many HeartbeatTimeouts without a leader are more than an
// election.
const leaderlessAfter = 5

// quorumWatch says, once each, when the quorum is lost and when it is back.
type quorumWatch struct {
	since time.Time // when a leader was last known; zero before the first look
	said  bool
}

// look is called at every change of the state, and often besides. The other
// members' silence is named, since that is what there is to mend.
func (q *quorumWatch) look(n *Node, leader string, now time.Time) {
	if leader != "" || q.since.IsZero() {
		if q.said {
			n.cfg.Metrics.Leaderless(false)
			n.log.Warn("the quorum is back", "leader", leader, "after", now.Sub(q.since).Round(time.Millisecond))
		}
		q.since, q.said = now, false
		return
	}
	if q.said || now.Sub(q.since) < leaderlessAfter*n.cfg.Timing.HeartbeatTimeout {
		return
	}
	q.said = true
	n.cfg.Metrics.Leaderless(true)
	n.log.Warn("no quorum: no leader is known, so that nothing is read or written; start the members that are silent, or mend the network between them and this node",
		"for", now.Sub(q.since).Round(time.Millisecond), "silent", strings.Join(n.silentMembers(), ","))
}

// silentMembers are those that did not answer for some pings.
func (n *Node) silentMembers() []string {
	var names []string
	for _, k := range n.peers() {
		if s := n.peerStatus(k); !s.Reachable {
			names = append(names, s.Name)
		}
	}
	return names
}
