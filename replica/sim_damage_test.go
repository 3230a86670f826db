package replica_test

import (
	"context"
	"sync"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// names are the members of a simulated cluster.
var simNames = []string{"a", "b", "w"}

// simStreams are the streams that something happens to: all of them, or one kind.
var simStreams = [][]raftlog.StreamKind{nil, {raftlog.StreamRaft}, {raftlog.StreamControl}}

// damage does so many things to the cluster, one after the other. What is broken
// may stay so while the next thing happens.
func (s *sim) damage(n int) {
	for range n {
		s.sleep(s.shape.breath)
		s.count.faults++
		victim := s.victim()
		from, to := victim, simNames[s.rng.IntN(3)]
		if s.rng.IntN(2) == 0 {
			from, to = to, from
		}
		switch s.rng.IntN(20) {
		case 0:
			s.net.Hold(from, to, simStreams[s.rng.IntN(3)]...)
		case 1:
			s.net.Between(s.net.Hold, victim, others(victim)...)
		case 2:
			s.net.Between(s.net.Cut, victim, others(victim)[s.rng.IntN(2)])
		case 3:
			s.net.Delay(from, to, time.Duration(s.rng.IntN(120))*time.Millisecond)
		case 4:
			s.restart(victim)
		case 5:
			s.crashAtStep(victim)
		case 6:
			s.hang(victim)
		case 7:
			s.blackout()
		case 8:
			s.stopStart(victim)
		case 9:
			s.transfer()
		case 10:
			s.pause(victim)
		case 11:
			s.rates()
		case 12:
			s.holdMessages(from, to)
		case 13, 14, 15, 16, 17:
			s.aimed()
		default:
			s.heal()
		}
	}
}

// victim is the leader in half of the cases: most of what can go wrong does so
// there.
func (s *sim) victim() string {
	if lead := s.lead(); lead != "" && s.rng.IntN(2) == 0 {
		return lead
	}
	return simNames[s.rng.IntN(3)]
}

// lead returns who leads now; empty for nobody.
func (s *sim) lead() string {
	for _, name := range simNames {
		if n := s.pair.nodes[name]; n != nil {
			if st, _ := n.Watch(); st.Ready {
				return name
			}
		}
	}
	return ""
}

// lasts waits for up to so many milliseconds, in a short simulation less.
func (s *sim) lasts(ms int) { s.sleep(1 + int(s.shape.part*float64(ms))) }

// holdMessages keeps one kind of raft's messages, or the answers to it, so that what
// is said later is heard earlier.
func (s *sim) holdMessages(from, to string) {
	kind := rafttest.Message(s.rng.IntN(int(rafttest.RequestPreVote) + 1))
	if s.rng.IntN(2) == 0 {
		s.net.HoldMessages(from, to, kind)
	} else {
		s.net.HoldAnswers(from, to, kind)
	}
}

// sleep waits for up to so many milliseconds.
func (s *sim) sleep(ms int) { time.Sleep(time.Duration(s.rng.IntN(ms)) * time.Millisecond) }

func others(name string) []string {
	var o []string
	for _, n := range simNames {
		if n != name {
			o = append(o, n)
		}
	}
	return o
}

func (s *sim) up(name string) bool { return s.pair.nodes[name] != nil }

// restart crashes a node, and starts it again after a while.
func (s *sim) restart(name string) {
	s.crash(name)
	s.lasts([]int{50, 1500}[s.rng.IntN(2)]) // a restart within the length of a promise matters most
	s.mustOpen(name)
}

// crashAtStep has the power fail at one of the next steps of a node's log.
func (s *sim) crashAtStep(name string) {
	disk := s.logs[name]
	disk.CutAfter(1 + s.rng.IntN(60))
	for end := time.Now().Add(2 * time.Second); !disk.Off() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	s.restart(name)
}

// hang has a node's log stop to answer for a while.
func (s *sim) hang(name string) {
	s.logs[name].Hang()
	s.lasts(3000)
	s.logs[name].Answer()
}

// pause stops a process for a while.
func (s *sim) pause(name string) {
	s.stopProcess(name)
	s.lasts(2000)
	s.resumeProcess(name)
}

func (s *sim) stopProcess(name string) {
	s.pauses[name].begin()
	s.logs[name].Hang()
	s.net.Between(s.net.Hold, name, others(name)...)
}

func (s *sim) resumeProcess(name string) {
	s.net.Between(s.net.Release, name, others(name)...)
	s.logs[name].Answer()
	s.pauses[name].over()
}

// rates lets the clocks run apart, by less than the margin of the leases.
func (s *sim) rates() {
	for _, name := range simNames {
		if s.plant == plantClock {
			continue
		}
		s.clocks[name].SetRate([]float64{0.96, 1, 1.04}[s.rng.IntN(3)])
	}
}

// blackout takes the power from all nodes at once.
func (s *sim) blackout() {
	s.crash(simNames...)
	s.lasts(500)
	for _, name := range simNames {
		s.mustOpen(name)
		s.lasts(100)
	}
}

func (s *sim) stopStart(name string) {
	s.offer(name, nil)
	s.referee.knows(name, nil)
	s.stop(name)
	s.lasts(1000)
	s.mustOpen(name)
}

// transfer hands the lead to a data node, if someone leads who can. What the leader
// says to the others may be held meanwhile.
func (s *sim) transfer() {
	for name, n := range s.pair.nodes {
		if st, _ := n.Watch(); !st.Ready {
			continue
		}
		to, held := []string{"a", "b"}[s.rng.IntN(2)], others(name)[s.rng.IntN(2)]
		hold := s.rng.IntN(2) == 0
		var holds sync.WaitGroup
		if hold {
			after := time.Duration(s.rng.IntN(5000)) * time.Microsecond
			holds.Go(func() {
				time.Sleep(after)
				s.net.Hold(name, held, raftlog.StreamRaft)
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = n.TransferLeadership(ctx, to) // It may well fail.
		cancel()
		if hold {
			s.lasts(400)
			holds.Wait() // A transfer may be over sooner: a hold after the release would last for ever.
			s.net.Release(name, held, raftlog.StreamRaft)
		}
	}
}

// heal mends the network. A short delay is left: without one nothing ever overlaps
// in virtual time.
func (s *sim) heal() {
	for _, from := range simNames {
		for _, to := range simNames {
			s.net.Release(from, to)
			for kind := range rafttest.RequestPreVote + 1 {
				s.net.ReleaseMessages(from, to, kind)
				s.net.ReleaseAnswers(from, to, kind)
			}
			s.net.Heal(from, to)
			s.net.Delay(from, to, time.Duration(s.rng.IntN(2000))*time.Microsecond)
		}
	}
}

// repair mends all.
func (s *sim) repair() {
	s.heal()
	for _, m := range rafttest.Trio {
		if !s.up(m.Name) {
			s.mustOpen(m.Name)
		}
	}
}
