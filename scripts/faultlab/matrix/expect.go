package matrix

import (
	"time"

	"twofold/scripts/faultlab/lab"
)

// Service is what a gateway owes its clients.
type Service int

// The kinds of service.
const (
	Silent  Service = iota // its process is down or paused
	May                    // its disk hangs: it may serve by way of the other, or refuse
	Stalls                 // a disk that hangs is needed: it must change nothing, and may answer reads while a lease lasts
	Refuses                // it must not answer
	Serves                 // it must answer
	Either                 // exactly one of the two must answer, the other must not
)

// String is the service as tables name it.
func (s Service) String() string {
	return [...]string{"silent", "may serve", "changes nothing", "refuses", "serves", "one serves"}[s]
}

// Goals for a pause, as the project states them. Restart is for a node that has to come up and fetch what it lacks.
const (
	GoalLost    = 500 * time.Millisecond // the other data node or the witness is lost
	GoalLeader  = time.Second            // the leader is lost
	GoalHung    = 2 * time.Second        // the leader's disk hangs
	GoalRestart = 3 * time.Second
	GoalDrained = 100 * time.Millisecond // a node stops as it was asked to
	// Slack is how many times its goal a pause may last on a busy machine before a run fails.
	// No goal is so short that a pause of LeastBound is a failure.
	Slack      = 5
	LeastBound = 3 * time.Second
	// Grace is how long after the faults a gateway may go on before it must refuse: calls that were begun later must have no answer. A lease lasts about a
	// third of it.
	Grace = time.Second
)

// Expectation is what must be seen in a situation.
type Expectation struct {
	Service [2]Service       // of the gateways of Leader and Follower
	Goal    [2]time.Duration // for the pause, where Service is Serves or Either
}

// Bound is the pause beyond which a run fails.
func Bound(goal time.Duration) time.Duration { return max(Slack*goal, LeastBound) }

// Expect is what must be seen in a row.
func (r Row) Expect() Expectation {
	e := Expect(r.Situation)
	if r.Drained {
		e.Goal[1-r.Victim] = GoalDrained
	}
	return e
}

// usable reports that a role can vote and answer.
func usable(s lab.Situation, r Role) bool {
	return s.Nodes[r] == lab.Up || s.Nodes[r] == lab.Behind
}

func linked(s lab.Situation, x, y Role) bool { return s.Linked(lab.Node(x), lab.Node(y)) }

// canLead reports that a data node can have a quorum: two of three, itself included.
func canLead(s lab.Situation, r Role) bool {
	if !usable(s, r) {
		return false
	}
	for other := range Role(roles) {
		if other != r && usable(s, other) && linked(s, r, other) {
			return true
		}
	}
	return false
}

// hangs reports that a gateway has no quorum only because a disk hangs: the members still talk, so that a lease may last, for reads alone.
func hangs(s lab.Situation, r Role) bool {
	for other := range Role(roles) {
		talks := other != r && linked(s, r, other) && s.Nodes[other] != lab.Down && s.Nodes[other] != lab.Paused
		if talks && (s.Nodes[r] == lab.Hung || s.Nodes[other] == lab.Hung) {
			return true
		}
	}
	return false
}

// Expect is the rule. A data node that is usable and has a usable member that it can talk with can lead. A gateway that can lead, or can talk with the one
// that does, serves; any other refuses. If both can lead but cannot talk with each other, one does, and the other refuses.
func Expect(s lab.Situation) (e Expectation) {
	data := [2]Role{Leader, Follower}
	lead := [2]bool{canLead(s, Leader), canLead(s, Follower)}
	for i, r := range data {
		other := 1 - i
		switch {
		case s.Nodes[r] == lab.Down || s.Nodes[r] == lab.Paused:
			e.Service[i] = Silent
		case !lead[0] && !lead[1] && hangs(s, r):
			e.Service[i] = Stalls
		case !lead[0] && !lead[1]:
			e.Service[i] = Refuses
		case s.Nodes[r] == lab.Hung:
			e.Service[i] = May
		case lead[i] && lead[other] && !linked(s, Leader, Follower):
			e.Service[i] = Either
		case lead[i] || lead[other] && linked(s, Leader, Follower):
			e.Service[i] = Serves
		default:
			e.Service[i] = Refuses
		}
		e.Goal[i] = goal(s, r)
	}
	return e
}

// goal is the longest pause that the clients of a role's gateway should see.
func goal(s lab.Situation, r Role) time.Duration {
	g := GoalLost
	if !canLead(s, Leader) || r == Follower && !linked(s, Leader, Follower) {
		g = GoalLeader
	}
	if s.Nodes[Leader] == lab.Hung {
		g = GoalHung
	}
	for x := range Role(roles) {
		// The node itself has to start; or the one that the quorum needs, with all that it lacks.
		if s.Nodes[x] == lab.Behind && (x == r || faultsBeside(s, x)) {
			g = max(g, GoalRestart)
		}
	}
	return g
}

// faultsBeside reports that something else is wrong besides a node that is behind.
func faultsBeside(s lab.Situation, r Role) bool {
	s.Nodes[r] = lab.Up
	return !s.Healthy()
}
