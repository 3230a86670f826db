package replica

import (
	"fmt"
	"maps"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/state"
)

// scanAgain is the pause before a scan that could not be made, or was under way, is
// begun again.
const scanAgain = time.Second

// disputed returns a copy of what is known of the difference at an entry.
func (in *integrity) disputed(index raftlog.Index) (d dispute, agreed raftlog.Index, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.dispute == nil || in.mu.dispute.index != index {
		return dispute{}, 0, false
	}
	d = *in.mu.dispute
	d.scans, d.replays = maps.Clone(d.scans), maps.Clone(d.replays)
	return d, in.mu.agreed, true
}

// scanForDispute finds out whether this node's records are those that its apply
// wrote, and tells the other node.
func (s *Store) scanForDispute(index raftlog.Index) {
	r, err := s.scrub()
	for err != nil && !s.quarantined() {
		s.logger.Error("the scan after a difference is not made yet", "err", err)
		select {
		case <-time.After(scanAgain):
		case <-s.stopped:
			return
		}
		r, err = s.scrub()
	}
	op := command.Integrity{Step: command.ScanSound, Node: s.cfg.Self.Name, Index: uint64(index), Digest: r.Scanned}
	if s.quarantined() { // scrub has seen to that
		op.Step = command.ScanDamaged
	}
	s.insist(op)
}

// insist says something until it is said.
func (s *Store) insist(op command.Integrity) {
	for !s.say(op) {
		select {
		case <-s.stopped:
			return
		default:
		}
	}
}

// settled reports, and says, that a node found its copy to be the wrong one.
func (s *Store) settled(index raftlog.Index, answers map[string]command.IntegrityStep, wrong command.IntegrityStep, why string) bool {
	for node, step := range answers {
		if step == wrong {
			s.logger.Error("the difference is settled: the copy of a node is out of use, this one is sound", "damaged", node, "why", "its copy "+why, "index", index)
			return true
		}
	}
	return false
}

// judgeScans goes on if neither copy is other than what was written.
func (s *Store) judgeScans(index raftlog.Index) {
	d, agreed, ok := s.integrity.disputed(index)
	if !ok || s.quarantined() {
		return
	}
	if s.settled(index, d.scans, command.ScanDamaged, "is damaged") {
		return
	}
	s.background(func() { s.replayForDispute(index, agreed) })
}

// replayForDispute applies the log once more to the copy that both nodes agreed on,
// and tells the other node what came of it.
func (s *Store) replayForDispute(index, agreed raftlog.Index) {
	own, ok := s.integrity.ownMark(index)
	op := command.Integrity{Step: command.ReplayNone, Node: s.cfg.Self.Name, Index: uint64(index)}
	if ok {
		digest, err := s.replay(index)
		switch {
		case err != nil:
			s.logger.Error("the log could not be applied once more to decide which copy is wrong", "from", agreed, "to", index, "err", err)
		case digest == own.digest:
			op.Step, op.Digest = command.ReplaySound, digest
		default:
			op.Step, op.Digest = command.ReplayDamaged, digest
			s.setQuarantine(state.CauseReplay, fmt.Errorf("at entry %d the digest was %v, the log leads to %v", index, own.digest, digest))
		}
	}
	s.insist(op)
}

// judgeReplays ends what cannot be decided: the follower, which found the difference,
// stops serving from its copy, and nothing is overwritten.
func (s *Store) judgeReplays(index raftlog.Index) {
	d, _, ok := s.integrity.disputed(index)
	if !ok || s.quarantined() {
		return
	}
	if s.settled(index, d.replays, command.ReplayDamaged, "is not what the log leads to") {
		return
	}
	if d.follower == s.cfg.Self.Name {
		s.setQuarantine(state.CauseUndecided, fmt.Errorf("the two copies differ at entry %d, and both are what was written and what the log leads to, as far as that could be tried", index))
		return
	}
	s.logger.Error("the copies differ and nothing shows which one is wrong: the other node stops serving from its own, a person has to decide", "index", index, "other", d.follower)
}
