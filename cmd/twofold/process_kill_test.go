//go:build process

package main

import (
	"syscall"
	"testing"
	"time"
)

const (
	// maxPause is the longest that a change may take at a node that was not
	// killed. An election is due 500 ms after the last heartbeat and takes a
	// few messages and two disk writes; the goal is stated as 3 s, and it
	// is kept here even though clients and three servers share two processors:
	// measured there are 0.5 to 0.8 s, and 1.4 s with three busy loops beside.
	maxPause = 3 * time.Second
	// minInFlight is how many clients must have had a change out at the moment
	// of a kill, at each node that serves clients. Nearly always it is all of
	// them, but one entry of the log answers many at once.
	minInFlight = 1
	// outAtKill is how many changes must be out at each node for the kill to
	// be sent; some may be answered before it arrives.
	outAtKill = 3
	// hungFor is how long the others hang before the leader is killed: less
	// than it takes the leader to notice (400 ms), and enough to acknowledge a
	// hundred changes that nobody else has.
	hungFor = 150 * time.Millisecond
	// warmUp is how many changes are answered at each node before a kill.
	warmUp = 300
	// afterwards is how many are answered after it, before the next step.
	afterwards = 200
)

// killRound is one way to lose a process.
type killRound struct {
	role string
	hung bool // the other two hang for a moment before, so that the victim is alone with what it took
}

var killRounds = []killRound{
	{"leader", false}, {"leader", true}, {"leader", false}, {"follower", false}, {"witness", false},
}

// Each process is killed in turn under load, started again, and joins again.
// After each of these rounds, every file has at both nodes what was acknowledged.
//
// Seen red: with an entry that counts as committed once the leader alone has it
// (the median of the match indexes in hashicorp/raft's commitment.go replaced by
// their maximum), in 3 of 3 runs in the round with the others hung, in 1 of 3
// without that round: acknowledged files were gone, or had older contents.
func TestProcess_KillEachInTurn(t *testing.T) {
	c := newProcCluster(t)
	l := newLoad(t, c)
	for _, r := range killRounds {
		leader := c.awaitHealthy()
		victim := map[string]string{"leader": leader, "follower": other(leader), "witness": "w"}[r.role]
		l.start()
		l.progress(warmUp, 0, 1)
		if r.hung {
			c.signal(syscall.SIGSTOP, other(leader), "w")
			time.Sleep(hungFor) // nothing may happen that could be waited for
		}
		l.awaitOut(outAtKill)
		killed := c.kill(victim)
		if r.hung {
			c.signal(syscall.SIGCONT, other(leader), "w")
		}
		for i, name := range dataNames {
			if name != victim {
				l.progress(afterwards, i)
			}
		}
		c.start(victim)
		c.awaitHealthy()
		l.progress(afterwards, 0, 1)
		l.end()
		l.checkRound(r, victim, killed)
		l.verify(t)
		c.checkDigests()
		if t.Failed() {
			t.FailNow()
		}
	}
	l.logRepetitions()
	c.stopAll()
}

// checkRound proves that changes were in flight at the kill, and measures the
// pause of the others' clients.
func (l *load) checkRound(r killRound, victim string, killed time.Time) {
	l.t.Helper()
	for i, name := range dataNames {
		flight := l.inFlight(i, killed)
		longest, changes := l.pause(i)
		l.t.Logf("%s (%s, others hung %t) killed: %d clients of %s had a change out, of %d changes there the slowest took %s",
			victim, r.role, r.hung, flight, name, changes, longest.Round(time.Millisecond))
		if flight < minInFlight {
			l.t.Errorf("at %s %d clients had a change out when %s was killed, want at least %d", name, flight, victim, minInFlight)
		}
		if name != victim && longest > maxPause {
			l.t.Errorf("clients of %s waited %s when %s (%s) was killed, more than %s", name, longest, victim, r.role, maxPause)
		}
	}
}

// All three processes die at one moment, as in a power cut that spares the
// disks' caches. Then they stop in an orderly way, and start once more.
//
// Seen red: with a log store that drops its last three entries when it opens a
// log, as if their write had never reached the disk, in 2 of 2 runs.
func TestProcess_KillAllAtOnce(t *testing.T) {
	c := newProcCluster(t)
	l := newLoad(t, c)
	for range 2 {
		c.awaitHealthy()
		l.start()
		l.progress(warmUp, 0, 1)
		l.awaitOut(outAtKill)
		killed := c.kill("a", "b", "w")
		c.startAll()
		l.progress(afterwards, 0, 1)
		l.end()
		for i, name := range dataNames {
			flight := l.inFlight(i, killed)
			longest, _ := l.pause(i)
			t.Logf("all killed: %d clients of %s had a change out, the slowest took %s with the restart", flight, name, longest.Round(time.Millisecond))
			if flight < minInFlight {
				t.Errorf("at %s %d clients had a change out at the kill, want at least %d", name, flight, minInFlight)
			}
		}
		c.awaitHealthy()
		l.verify(t)
		c.checkDigests()
	}
	l.logRepetitions()
	c.stopAll()
	c.startAll()
	l.verify(t)
	c.checkDigests()
	c.stopAll()
}

// The leader hangs past an election, under load: its clients wait, those of the
// other node do not for long, and reads at either show what was acknowledged.
//
// Seen red: with a leader that takes its own applied index for the read index
// without asking anybody (replica, readIndex), in 3 of 3 runs.
func TestProcess_PausedLeaderUnderLoad(t *testing.T) {
	c := newProcCluster(t)
	l := newLoad(t, c)
	for range 2 {
		leader := c.awaitHealthy()
		l.start()
		l.progress(warmUp, 0, 1)
		c.signal(syscall.SIGSTOP, leader)
		l.progress(afterwards, dataIndex(other(leader)))
		c.signal(syscall.SIGCONT, leader)
		l.progress(afterwards, 0, 1)
		l.end()
		longest, _ := l.pause(dataIndex(other(leader)))
		t.Logf("%s paused: the slowest change at %s took %s", leader, other(leader), longest.Round(time.Millisecond))
		if longest > maxPause {
			t.Errorf("clients of %s waited %s while %s was paused, more than %s", other(leader), longest, leader, maxPause)
		}
		c.awaitHealthy()
		l.verify(t)
		c.checkDigests()
	}
	l.logRepetitions()
	c.stopAll()
}
