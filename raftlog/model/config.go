package model

// Config is what a search covers, and what is planted in it.
type Config struct {
	Bug Bug
	// Promise is P and Margin the margin, in ticks.
	Promise, Margin uint8
	// Slow lets each clock fall behind the others by one tick, once.
	Slow bool
	// Terms, Entries, Messages, Changes and Crashes bound how far a run goes: the highest term (3 at most), the longest log (4 at
	// most), the messages on their way at once (4 at most), the changes that clients ask for, and the restarts.
	Terms, Entries, Messages, Changes, Crashes uint8
	// Damages bounds how often a log loses its end, in a restart.
	Damages uint8
	// DelayAcks, DelayVotes and DelayAsks let time pass between a request and its answer (for asks: before the leader has the
	// request). Without them the second half of the round trip takes no time, or is lost.
	DelayAcks, DelayVotes, DelayAsks bool
	// DelayApply lets time pass before an entry that may be applied is. Without it that happens at once, which is the worst case
	// for every lemma but 3: what was shown counts for more nodes.
	DelayApply bool
	// Overtake lets two AppendEntries from one member to another be on their way at once.
	Overtake bool
	// Heartbeats sends AppendEntries without entries too.
	Heartbeats bool
	// Transfers bounds how often leadership is handed over, Requests how many read leases may be asked for if they can be
	// returned; 0 means that they cannot, and that the follower asks without a bound.
	Transfers, Requests uint8
	// Reads lets clients read at both nodes, Index without a lease.
	Reads, Index bool
	// WitnessLeads begins with the witness as leader of term 1, instead of a.
	WitnessLeads bool
	// Limit is the most states visited.
	Limit int
}

// cluster is the system of leases, leader change, visibility and reads (Lemmas 1 to 10 and 13 to 15).
type cluster struct {
	Config
	lossy bool // an answer that takes no time is lost
}

// Search visits every state of the cluster within the bounds.
func Search(c Config) Result { return search[state](&cluster{Config: c}, c.Limit) }

func (c *cluster) initial() []state {
	var s state
	first := uint8(nodeA)
	if c.WitnessLeads {
		first = nodeW
	}
	for p := range s.n {
		s.n[p].term = 1
		s.n[p].voted = 1 + first
	}
	s.n[first].role = leader
	s.elected = 1 << 1
	s.ops, s.crashes, s.damages, s.transfer = c.Changes, c.Crashes, c.Damages, c.Transfers
	if c.Slow {
		s.slow = 1<<nodes - 1
	}
	return []state{s}
}

// lease is how long a leader lease runs from its send time.
func (c *cluster) lease() uint8 {
	if c.Bug == BugLeaseNoMargin {
		return c.Promise
	}
	return c.Promise - c.Margin
}
