// Package matrix brings every single fault and every pair of faults upon a cluster of real processes, and holds what clients see against what must
// be so.
//
// # Purpose
//
// A [Row] is a situation in terms of roles: each of leader, other data node and witness is up, down, on a hung disk, paused, cut off from one, cut off
// from both, or behind. [Rows] makes all of them, with at most two faults; rows that come to the same links and nodes are one. [Expect] computes from a
// row what each gateway must do. A [Runner] brings the rows about one after the other, and [Document] writes what it measured as a page.
//
// # Contract
//
// The rule of Expect is the whole expectation; no row has one of its own. A gateway that must refuse answers no call that was begun after [Grace]. One
// that must serve does so again within the goal of the row; a run fails only beyond [Slack] times that, since what it measures it measures on a machine
// that may be busy, and reports the pause beside the goal. Whatever the row: everything acknowledged is there afterwards, nothing stale was read, no change
// was made twice, no call is left without an answer when the faults are gone, and both nodes' digests agree.
//
// # Concurrency
//
// A Runner is for one goroutine. Each lab that works on rows has one.
package matrix
