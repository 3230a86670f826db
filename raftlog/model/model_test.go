package model_test

import (
	"flag"
	"testing"
	"time"

	"twofold/raftlog/model"
)

var wide = flag.Bool("wide", false, "search the larger bounds too: some minutes, some gigabytes")

// limit is the most states of one search, far above what the bounds below need.
const limit = 300_000_000

// base is what the searches begin with: P of three ticks, a margin of one.
var base = model.Config{Promise: 3, Margin: 1, Terms: 2, Entries: 2, Messages: 2, Changes: 1, Limit: limit}

func with(c model.Config, f func(*model.Config)) model.Config { f(&c); return c }

// searches are the bounds. None covers all; each lets happen together what the others leave out.
var searches = map[string]model.Config{
	"leases":   base,
	"drift":    with(base, func(c *model.Config) { c.Slow, c.Changes, c.Entries = true, 0, 1 }),
	"gate":     with(base, func(c *model.Config) { c.Slow, c.Terms, c.Entries = true, 1, 1 }),
	"restart":  with(base, func(c *model.Config) { c.Crashes, c.Changes, c.Entries = 1, 0, 1 }),
	"rejoin":   with(base, func(c *model.Config) { c.Crashes, c.Messages = 1, 1 }),
	"delays":   with(base, func(c *model.Config) { c.DelayAcks, c.DelayVotes, c.DelayAsks, c.Entries = true, true, true, 1 }),
	"transfer": with(base, func(c *model.Config) { c.Transfers, c.Changes, c.Entries, c.Messages = 1, 0, 1, 3 }),
	"handover": with(base, func(c *model.Config) { c.Transfers, c.Crashes, c.Changes, c.Entries, c.Messages = 1, 1, 0, 1, 1 }),
	"return":   with(base, func(c *model.Config) { c.Requests, c.Terms, c.Entries, c.Messages = 2, 1, 1, 3 }),
	"reads":    with(base, func(c *model.Config) { c.Reads, c.DelayApply, c.Terms, c.Entries = true, true, 1, 1 }),
	"index":    with(base, func(c *model.Config) { c.Index, c.Promise, c.Margin, c.Messages = true, 1, 0, 1 }),
	"witness":  with(base, func(c *model.Config) { c.WitnessLeads = true }),
	"damage":   with(base, func(c *model.Config) { c.Damages, c.Messages = 1, 1 }),
	"late":     with(base, func(c *model.Config) { c.Damages, c.DelayAcks, c.Promise, c.Margin = 1, true, 1, 0 }),
	"early": with(base, func(c *model.Config) {
		c.Damages, c.Messages, c.Changes, c.Entries, c.Promise, c.Margin = 1, 1, 2, 3, 1, 0
	}),
	"terms": with(base, func(c *model.Config) { c.Terms, c.Messages = 3, 1 }),
}

// wideSearches are for an hour in which nobody waits.
var wideSearches = map[string]model.Config{
	"heartbeats": with(base, func(c *model.Config) { c.Crashes, c.Messages, c.Heartbeats = 1, 1, true }),
	"handover":   with(base, func(c *model.Config) { c.Transfers, c.Crashes, c.Messages = 1, 1, 1 }),
	"crossing":   with(base, func(c *model.Config) { c.Transfers, c.Crashes, c.Changes, c.Entries = 1, 1, 0, 1 }),
	"index":      with(base, func(c *model.Config) { c.Index, c.Promise, c.Margin = true, 1, 0 }),
	"entries":    with(base, func(c *model.Config) { c.Changes, c.Entries = 2, 3 }),
	"overtake":   with(base, func(c *model.Config) { c.Overtake, c.Heartbeats = true, true }),
	"delays":     with(base, func(c *model.Config) { c.DelayAcks, c.DelayVotes, c.DelayAsks = true, true, true }),
	"reads":      with(base, func(c *model.Config) { c.Reads, c.DelayApply, c.Messages = true, true, 1 }),
	"drift":      with(base, func(c *model.Config) { c.Slow, c.Messages = true, 1 }),
	"damage":     with(base, func(c *model.Config) { c.Damages, c.Messages, c.Terms = 1, 1, 3 }),
	"long":       with(base, func(c *model.Config) { c.Promise, c.Messages = 5, 1 }),
}

// planted says which search finds which bug.
var planted = []struct {
	bug    model.Bug
	name   string
	search string
}{
	{model.BugNoPromise, "NoPromise", "leases"},
	{model.BugPromiseAtReceipt, "PromiseAtReceipt", "delays"},
	{model.BugNoSelfPromise, "NoSelfPromise", "leases"},
	{model.BugCampaignInPromise, "CampaignInPromise", "leases"},
	{model.BugFlagBypassesPromise, "FlagBypassesPromise", "leases"},
	{model.BugAnyTermAnswer, "AnyTermAnswer", "leases"},
	{model.BugNoGate, "NoGate", "leases"},
	{model.BugAckAtCommit, "AckAtCommit", "leases"},
	{model.BugGrantBehind, "GrantBehind", "leases"},
	{model.BugGrantBeforeBarrier, "GrantBeforeBarrier", "heartbeats"},
	{model.BugGrantUnlocked, "GrantUnlocked", "leases"},
	{model.BugLeaseBeforeCall, "LeaseBeforeCall", "reads"},
	{model.BugIndexBeforeLease, "IndexBeforeLease", "reads"},
	{model.BugSnapshotBeforeWait, "SnapshotBeforeWait", "reads"},
	{model.BugLeaseFromReceipt, "LeaseFromReceipt", "delays"},
	{model.BugLeaseNoMargin, "LeaseNoMargin", "drift"},
	{model.BugGrantBeyondLease, "GrantBeyondLease", "leases"},
	{model.BugGrantFromReceipt, "GrantFromReceipt", "leases"},
	{model.BugGrantNoMargin, "GrantNoMargin", "drift"},
	{model.BugLeaseAcrossTerms, "LeaseAcrossTerms", "transfer"},
	{model.BugGateNoMargin, "GateNoMargin", "gate"},
	{model.BugNoStartWait, "NoStartWait", "restart"},
	{model.BugTransferKeepsLease, "TransferKeepsLease", "transfer"},
	{model.BugTransferRenewsLease, "TransferRenewsLease", "transfer"},
	{model.BugTransferEarly, "TransferEarly", "transfer"},
	{model.BugTransferFreesAll, "TransferFreesAll", "handover"},
	{model.BugGateDropped, "GateDropped", "leases"},
	{model.BugOldRound, "OldRound", "index"},
	{model.BugNoBarrierRead, "NoBarrierRead", "index"},
	{model.BugFollowerReads, "FollowerReads", "index"},
	{model.BugWitnessGrants, "WitnessGrants", "witness"},
	{model.BugReturnUnnumbered, "ReturnUnnumbered", "return"},
	{model.BugReturnTakesOldGrant, "ReturnTakesOldGrant", "return"},
	{model.BugApplyUncommitted, "ApplyUncommitted", "leases"},
	{model.BugVoteForgotten, "VoteForgotten", "restart"},
	{model.BugDamagedVotes, "DamagedVotes", "damage"},
	{model.BugDamagedEarly, "DamagedEarly", "early"},
	{model.BugDamagedAsks, "DamagedAsks", "damage"},
}

// TestModel_Finds demands a violation for each rule that is taken out.
func TestModel_Finds(t *testing.T) {
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			c, ok := searches[p.search]
			if !ok {
				c = wideSearches[p.search]
			}
			c.Bug = p.bug
			mustFind(t, func(limit int) model.Result { c.Limit = limit; return model.Search(c) })
		})
	}
}

// TestModel_Holds demands that no order of events, within the bounds, violates a lemma.
func TestModel_Holds(t *testing.T) {
	for name, c := range searches {
		t.Run(name, func(t *testing.T) {
			mustHold(t, func(limit int) model.Result { c.Limit = limit; return model.Search(c) })
		})
	}
	if !*wide {
		return
	}
	for name, c := range wideSearches {
		t.Run("wide_"+name, func(t *testing.T) {
			mustHold(t, func(limit int) model.Result { c.Limit = limit; return model.Search(c) })
		})
	}
}

func mustFind(t *testing.T, search func(limit int) model.Result) {
	t.Helper()
	max := limit
	if raceDetector {
		max = 60_000
	}
	r := search(max)
	switch {
	case r.Violation != "":
		t.Logf("%d states: %s\n%s", r.States, r.Violation, r.Trace)
	case raceDetector && !r.Complete:
		t.Skip("the search takes too long under the race detector; without it, it goes on to the end")
	default:
		t.Errorf("%d states, and no violation", r.States)
	}
}

func mustHold(t *testing.T, search func(limit int) model.Result) {
	t.Helper()
	if raceDetector {
		t.Skip("the search takes too long under the race detector, and is one goroutine; make test-unit runs it without")
	}
	at := time.Now()
	r := search(limit)
	t.Logf("%d states, %d deep, in %v", r.States, r.Depth, time.Since(at).Round(time.Millisecond))
	if r.Violation != "" {
		t.Errorf("%s\n%s", r.Violation, r.Trace)
	} else if !r.Complete {
		t.Errorf("the search ended at its limit of %d states", limit)
	}
}
