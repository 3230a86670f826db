package model

// Bug is a rule that is left out, or done wrongly, so that the search has a violation to find. Each belongs to a lemma of
// docs/consistency.md.
type Bug uint8

// The planted bugs of the cluster.
const (
	None Bug = iota

	// Lemma 1.
	BugNoPromise           // R1: a voter promises nothing.
	BugPromiseAtReceipt    // R1: the check is made when the request for a vote arrives, not when the answer leaves.
	BugNoSelfPromise       // R1: the leader itself promises nothing.
	BugCampaignInPromise   // R1: a node asks for votes while it promises.
	BugFlagBypassesPromise // R1: a request that bears raft's transfer flag is answered in spite of a promise.
	BugAnyTermAnswer       // R3: an answer that was no success, of a later term, counts for the lease.

	// Lemma 2.
	BugNoGate             // R7: visible means committed.
	BugAckAtCommit        // R8: a change is acknowledged when it is committed.
	BugGrantBehind        // R5: a lease is granted to a follower that lacks visible entries.
	BugGrantBeforeBarrier // R5: a lease is granted before the barrier of the term is applied.
	BugGrantUnlocked      // R5: between looking at the follower's acknowledgements and noting the grant an entry may become visible.

	// Lemma 3.
	BugLeaseBeforeCall    // R10: the lease is looked at before the call arrives.
	BugIndexBeforeLease   // R10: the last index is taken before the lease is looked at.
	BugSnapshotBeforeWait // R10: the snapshot is taken before the wait.

	// Lemma 4.
	BugLeaseFromReceipt // R3: the lease runs from the receipt of the answer.
	BugLeaseNoMargin    // R3: the lease is as long as the promise.

	// Lemma 5.
	BugGrantBeyondLease // R4: a read lease may be longer than what is left of the leader's.
	BugGrantFromReceipt // R4: the follower counts from the receipt of the answer.
	BugGrantNoMargin    // R4: a read lease may be as long as what is left of the leader's own promise.
	BugLeaseAcrossTerms // R4: a read lease is used in a later term.
	BugGateNoMargin     // R7: the leader takes a read lease for over without the margin.

	// Lemma 6.
	BugNoStartWait // R2: a node votes as soon as it has started.

	// Lemma 7.
	BugTransferKeepsLease  // R6: the leader keeps its lease while it hands over.
	BugTransferRenewsLease // R6: the leader takes its lease up again when the transfer did not succeed.
	BugTransferEarly       // R6: the leader hands over to the third member while the other data node has a read lease.
	BugTransferFreesAll    // R6: the voters are told to drop their promise, for whichever candidate.

	// Lemma 9.
	BugGateDropped // R7: a leader that steps down forgets what it granted.

	// Lemma 10.
	BugOldRound      // the round of a read index was sent before the read began.
	BugNoBarrierRead // the commit index is taken before the barrier of the term is applied.
	BugFollowerReads // a follower without a lease reads its own copy.

	// Lemma 11; these and the next are for SearchTable.
	BugTableAfterStore  // R9: the keys are put in after the entry was acknowledged.
	BugTableBeforeApply // R9: the keys are taken out before the effect is in the state.
	BugTableNotRebuilt  // R9: after a start the table is empty, and a lease is asked for.
	BugTableMissesKey   // R9: a rename does not list the name.

	// Lemma 12.
	BugChildNotRechecked    // R10: a key that was found while reading is read without a wait.
	BugChildFromOldSnapshot // R10: after the wait for it the old snapshot is read.
	BugChildFromTwo         // R10: after the wait the name is from the old snapshot and the file from the new one.

	// Lemma 13.
	BugWitnessGrants // W4: a witness that leads grants a read lease.

	// Lemma 14.
	BugReturnUnnumbered    // what a follower returns does not name the request.
	BugReturnTakesOldGrant // a follower takes an answer to a request from before it returned its lease.

	// Lemma 15.
	BugApplyUncommitted // an entry is applied before it is known to be committed.
	BugVoteForgotten    // A5: a vote is lost in a crash.

	// Lemma 16.
	BugDamagedVotes // M3: a node whose log was damaged votes at once.
	BugDamagedEarly // M3: it votes as soon as its log ends in the term that the damage was found in.
	BugDamagedAsks  // M3: it asks for a read lease at once.
)
