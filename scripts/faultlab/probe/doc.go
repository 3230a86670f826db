// Package probe asks both data nodes for service every few milliseconds, measures how long each answer takes, and finds out what is lost, stale or
// done twice.
//
// # Purpose
//
// What a fault means for clients is a pause at each node, for reads, for writes and for changes of names, and that nothing is wrong afterwards. A
// [Round] has a probe of each [Kind] at each data node. They measure and check at the same time.
//
// # Contract
//
// A probe repeats a call under its XID until the node answers, so each probe's calls are answered one after the other, and what was acknowledged is
// always a number:
//
//   - a write appends the next record of 64 bytes to the probe's file, so that a lost one leaves a hole for ever;
//   - a change of names is the next of RENAME n(i) to n(i+1), CREATE k(j), REMOVE k(j), each of which fails if it is run twice or if the one
//     before is lost;
//   - a read looks at what the other four change, at its own node, by READ, GETATTR, READDIR or LOOKUP: it must see everything that was acknowledged,
//     and everything that any read had seen, before the read was sent, and nothing that was never asked for.
//
// [Round.Problems] tells what was wrong, [Round.Verify] compares everything with what both nodes show.
//
// # Concurrency
//
// Each probe is one goroutine, started by Start and joined by Stop. What probes know of each other are atomic numbers. Probe.mu guards what a probe
// measured, which others ask for.
package probe
