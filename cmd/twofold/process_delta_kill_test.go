//go:build process

package main

import (
	"testing"

	"twofold/raftlog"
	"twofold/replica/catchup"
)

const (
	killFiles    = 96
	killFileSize = 32 << 10
	// sumsBytes is what the sums of all buckets take, with their frames and a margin.
	sumsBytes = 1200 << 10
)

// deltaKill is a process that is killed while the node that lacks a state stands
// before a step.
type deltaKill struct {
	step   string
	nth    int64
	source bool // the leader is killed, otherwise the node itself
}

// installing tells that what was sent is on disk and complete at this step.
func (k deltaKill) installing() bool {
	switch k.step {
	case catchup.StepReady, raftlog.StepPending, raftlog.StepSwap, raftlog.StepMarker, raftlog.StepReset:
		return true
	}
	return false
}

// The processes are killed at every stage of a transfer, the one that takes the
// state and the one that gives it: while the stage is made, the sums are compared,
// the records come, the stage is completed, it is ready, the marker is pending, the
// state swapped, the marker written, the log emptied. Each time the node is in sync
// in the end, with all that was acknowledged, and what was complete is not sent
// again.
//
// Seen red: with a stage that counts records which it does not write and is not
// verified (replica/state, Stage.fill and Verify), with a start that forgets the
// pending marker though the state was swapped, and with one that takes it though the
// state was not (raftlog, settleInstall).
func TestProcess_DeltaKilledAtEachStage(t *testing.T) {
	c := newDeltaCluster(t, seam{KeepLog: 64 << 10, MaxLog: 512 << 10}, killFiles, killFileSize, nil)
	c.rewrite("a")
	for _, k := range []deltaKill{
		{step: catchup.StepStage, nth: 1},
		{step: catchup.StepCompare, nth: 1},
		{step: catchup.StepChange, nth: 1},
		{step: catchup.StepChange, nth: 3},
		{step: catchup.StepFinish, nth: 1},
		{step: catchup.StepReady, nth: 1},
		{step: raftlog.StepPending, nth: 1},
		{step: raftlog.StepSwap, nth: 1},
		{step: raftlog.StepMarker, nth: 1},
		{step: raftlog.StepReset, nth: 1},
		{step: catchup.StepCompare, nth: 1, source: true},
		{step: catchup.StepChange, nth: 3, source: true},
		{step: catchup.StepReady, nth: 1, source: true},
		{step: raftlog.StepSwap, nth: 1, source: true},
		{step: raftlog.StepReset, nth: 1, source: true},
	} {
		c.killAt(k)
		if t.Failed() {
			t.FailNow()
		}
	}
	c.killAfter()
	c.loseSource()
	c.stopAll()
}

// loseSource kills the leader when the other node's state is complete and in place,
// before its log is: that node leads then, with the witness, and has everything.
func (c *deltaCluster) loseSource() {
	t := c.t
	t.Helper()
	leader, away := c.outage()
	held := c.startHeld(away, raftlog.StepReset, 1)
	c.awaitHeld(held, away+" has a new state")
	c.kill(leader)
	remove(t, held)
	eventually(t, away+" leads with the witness", func() bool {
		s := c.status(away)
		return s != nil && s.Ready && s.Leader == away
	})
	c.verifyAt(away)
	c.rewrite(away)
	c.start(leader)
	c.awaitInSync(leader)
	c.verify()
}

// killAt is one outage with one kill.
func (c *deltaCluster) killAt(k deltaKill) {
	t := c.t
	t.Helper()
	leader, away := c.outage()
	before, _ := c.running[leader].given(t)
	held := c.startHeld(away, k.step, k.nth)
	c.awaitHeld(held, away+" is at "+k.step)
	victim := away
	if k.source {
		victim = leader
	}
	c.kill(victim)
	c.start(victim)
	if k.source {
		c.awaitAnswer(victim)
		remove(t, held)
	}
	c.awaitInSync(away)
	c.verify()
	sent, transfers := c.running[leader].given(t)
	if !k.source {
		sent -= before
	}
	t.Logf("%s %s (%d.), %s killed: %d bytes by %s in %d transfers", away, k.step, k.nth, victim, sent, leader, transfers)
	// The bytes of a transfer that had not ended are gone with a source.
	need := uint64(killFiles*killFileSize) * 11 / 10
	limit := 2*sumsBytes + 2*need
	switch {
	case k.source && k.installing():
		limit = sumsBytes // newer sums at most
	case k.installing():
		limit = 2*sumsBytes + need
	}
	if sent > limit {
		t.Errorf("%s at %s: %d bytes were sent, more than %d", victim, k.step, sent, limit)
	}
}

// awaitAnswer waits until a node says how it is.
func (c *deltaCluster) awaitAnswer(name string) {
	c.t.Helper()
	eventually(c.t, name+" answers", func() bool { return c.status(name) != nil })
}

// killAfter kills the node when its new state is in place and its log has not
// reached it yet, or has just reached it.
func (c *deltaCluster) killAfter() {
	t := c.t
	t.Helper()
	leader, away := c.outage()
	c.start(away)
	eventually(t, away+" has a new state", func() bool { return c.running[away].installed() > 0 })
	c.kill(away)
	c.start(away)
	c.awaitInSync(away)
	c.verify()
	if _, transfers := c.running[leader].given(t); transfers == 0 {
		t.Error("no state was brought")
	}
}
