package main

import (
	"fmt"
	"time"

	"twofold/replica"
	"twofold/replica/state"
)

// integrityStatus tells how sound the answering node's copy is.
type integrityStatus struct {
	Agreed     uint64            `json:"agreed_index"` // both nodes had the same digest there
	Mismatches uint64            `json:"mismatches"`   // since the node started
	Disputed   uint64            `json:"disputed_index,omitempty"`
	Quarantine *state.Quarantine `json:"quarantine,omitempty"`
	Refetch    string            `json:"refetch,omitempty"` // how the copy comes along that replaces a damaged one
	Refetched  uint64            `json:"refetched"`         // damaged copies that were replaced since the node started
	Scrub      *scrubReply       `json:"scrub,omitempty"`   // the scan that runs, or ran last
}

// scrubReply is the answer to /scrub.
type scrubReply struct {
	Running    bool      `json:"running"`
	Began      time.Time `json:"began"`
	Ended      time.Time `json:"ended,omitzero"`
	Records    uint64    `json:"records"`
	Bytes      uint64    `json:"bytes"`
	Expected   uint64    `json:"expected_bytes"`
	Index      uint64    `json:"index"`
	Damaged    int       `json:"damaged_buckets"`
	Quarantine string    `json:"quarantine,omitempty"`
	Problem    string    `json:"problem,omitempty"`
}

// integrity tells of this node's copy, or nothing if there is none.
func (p *nodeParts) integrity() *integrityStatus {
	if p.store == nil {
		return nil
	}
	i := p.store.Integrity()
	s := &integrityStatus{Agreed: i.Agreed, Mismatches: i.Mismatches, Disputed: i.Disputed, Quarantine: i.Quarantine, Refetch: i.Refetch, Refetched: i.Refetched}
	if !i.Scrub.Began.IsZero() {
		s.Scrub = scrubOf(&i)
	}
	return s
}

func scrubOf(i *replica.IntegrityStatus) *scrubReply {
	s := &i.Scrub
	r := &scrubReply{
		Running: s.Running, Began: s.Began, Ended: s.Ended, Records: s.Records, Bytes: s.Bytes, Expected: s.Expected,
		Index: s.Index, Damaged: s.Damaged, Problem: s.Err,
	}
	if i.Quarantine != nil {
		r.Quarantine = i.Quarantine.Detail
	}
	return r
}

// judge says what is wrong and what to do about it.
func (i *integrityStatus) judge(s *clusterStatus) {
	if i.Disputed != 0 && i.Quarantine == nil {
		s.problem("the copies of the data nodes differ at entry %d: they are being read to find out which one is damaged, or one is out of use already; ask the other node too", i.Disputed)
	}
	q := i.Quarantine
	if q == nil {
		return
	}
	what := "it is damaged, and this node serves through the other data node until it has another copy (docs/operations/integrity.md)"
	if i.Refetch != "" {
		what += ": " + i.Refetch
	}
	if !q.Cause.Damaged() {
		what = "nothing shows which copy is wrong, and none is replaced: a person has to decide, see docs/operations/integrity.md"
	}
	s.problem("the copy of the volume at %s is out of use (%s): %s; %s", s.Node, q.Cause, q.Detail, what)
}

// line is the integrity in a few words.
func (i *integrityStatus) line() string {
	text := fmt.Sprintf("both copies were alike at entry %d, differences %d", i.Agreed, i.Mismatches)
	if i.Agreed == 0 {
		text = fmt.Sprintf("the copies were not compared yet since this node started, differences %d", i.Mismatches)
	}
	switch r := i.Scrub; {
	case r == nil:
		return text
	case r.Running:
		return text + fmt.Sprintf("; a scan has read %s of about %s", humanBytes(r.Bytes), humanBytes(r.Expected))
	case r.Problem != "":
		return text + "; the last scan was not made: " + r.Problem
	default:
		return text + fmt.Sprintf("; the last scan found %d damaged buckets at entry %d, %s", r.Damaged, r.Index, r.Ended.Format(statusTime))
	}
}
