package replica_test

import (
	"context"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// aimed does one of the things that a rule of the leases is there for, if a data
// node leads. Chance alone seldom finds them.
func (s *sim) aimed() {
	lead := s.lead()
	if lead == "" || lead == "w" {
		return
	}
	ways := []func(lead, follower string){s.usurp, s.abandon, s.stepDown, s.isolate, s.lateTransfer, s.transferToStarter}
	ways[s.rng.IntN(len(ways))](lead, other(lead))
	if s.rng.IntN(3) > 0 {
		s.heal()
	}
}

// usurp has the follower look for a new leader while the old one has its lease by
// the witness's promise (rule R1), which the witness may forget by a restart (R2).
func (s *sim) usurp(lead, follower string) {
	s.net.Between(s.net.Hold, lead, follower)
	s.sleep(250)
	s.net.Between(s.net.Hold, lead, "w")
	if s.rng.IntN(2) == 0 {
		s.crash("w")
		s.mustOpen("w")
	}
	s.sleep(600)
}

// abandon has the follower look for a new leader while the old one has its lease by
// the follower's own promise: the witness made none lately.
func (s *sim) abandon(lead, follower string) {
	s.net.Between(s.net.Hold, lead, "w")
	time.Sleep(raftlog.DefaultPromise)
	s.sleep(200)
	s.net.Between(s.net.Hold, lead, follower)
	if s.rng.IntN(3) == 0 {
		s.crash(follower)
		s.mustOpen(follower)
	}
	s.sleep(600)
}

// isolate cuts a data node off for longer than its lease lasts, while the others enter
// a later term.
func (s *sim) isolate(lead, follower string) {
	victim := []string{lead, follower}[s.rng.IntN(2)]
	s.net.Between(s.net.Hold, victim, others(victim)...)
	if victim == follower {
		s.crash(lead)
		s.mustOpen(lead)
	}
	time.Sleep(raftlog.DefaultPromise)
	s.sleep(500)
}

// stepDown takes the lead from a node that has committed, with the witness, what the
// follower lacks, while the follower has a lease (rule R7).
func (s *sim) stepDown(lead, follower string) {
	s.net.HoldMessages(lead, follower, rafttest.AppendEntries)
	s.sleep(60)
	s.net.Between(s.net.Hold, lead, "w")
	s.sleep(400)
	s.net.Between(s.net.Release, lead, "w")
	s.sleep(400)
	s.net.ReleaseMessages(lead, follower, rafttest.AppendEntries)
}

// lateTransfer holds the message that hands the lead over until the transfer has
// failed, and perhaps until others have led (rule R6).
func (s *sim) lateTransfer(lead, follower string) {
	s.net.HoldMessages(lead, follower, rafttest.TimeoutNow)
	s.handOver(lead, follower)
	if s.rng.IntN(2) == 0 {
		s.net.Between(s.net.Hold, lead, others(lead)...)
		s.sleep(800)
		s.net.Between(s.net.Release, lead, others(lead)...)
		s.sleep(300)
	}
	s.net.ReleaseMessages(lead, follower, rafttest.TimeoutNow)
	s.sleep(100)
}

// transferToStarter hands the lead to a node that does not know what its last
// process promised (rule R2).
func (s *sim) transferToStarter(lead, follower string) {
	s.crash(follower)
	s.mustOpen(follower)
	s.sleep(40)
	s.handOver(lead, follower)
}

func (s *sim) handOver(from, to string) {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_ = s.pair.nodes[from].TransferLeadership(ctx, to) // It may well fail.
}
