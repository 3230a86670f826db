// Package model lets a machine check the argument of docs/consistency.md.
//
// # Purpose
//
// Promises, leases, the grant of read leases, transfer, visibility and reads are written down here as two small systems of states and
// events. A search visits every state that any order of events can reach within stated bounds, and checks in each what the lemmas say.
// The shortest way to a violation is told event by event.
//
// Each rule can be left out, or done wrongly, by a [Bug]. The tests demand a violation for each of them, and none without.
//
// # Contract
//
// A [Result] that is complete and has no violation means: within the bounds of the [Config] no order of events breaks a lemma. It says
// nothing of what is beyond the bounds, nor of whether the code does what is written down here; the simulation looks at that.
//
// # The cluster
//
// [Search] has two data nodes, a and b, and the witness w. They campaign, vote, append, commit, apply, grant and return leases, hand
// leadership over, answer clients and read, as design and code do. Any message may be lost, delayed and overtaken; any process may
// stand still between two steps, which is no event: the others go on. A restart forgets what is not on disk.
//
// Clocks are countdowns in ticks. A tick passes at all members, or at all but one, whose clock so falls behind; each clock once, which
// is what the margin of one tick allows. There are no dates, so that time has no bound.
//
// A log is the terms of its entries. An entry that some data node applied counts as acknowledged and as shown, at once: someone may
// have waited for it there. Every entry stands for a change, barriers too.
//
// # What is simpler than the code, and why that hides nothing
//
//   - A leader sends its whole log. A message that does not fit a follower's log is one that was lost.
//   - A candidate asks one member. Two votes are a quorum, and the third member's request is one that was lost.
//   - There is no pre-vote and no election time-out: anyone may campaign at any time, unless a rule forbids it.
//   - A leader learns of a later term without a message as soon as any member has one.
//   - Unless the bounds say otherwise, an answer takes no time or is lost, and what may be applied is applied at once. The Delay bounds
//     lift that.
//
// Membership does not change here, and there are no snapshots.
//
// # The table
//
// [SearchTable] has one data node, its log, its table of touched keys, its apply and a LOOKUP, in the steps that they really have.
// Lemma 2 is taken for granted there; the cluster shows it.
//
// # Concurrency
//
// A search is one goroutine. It knows states again by 64 bits of hash: see search.
package model
