// Faultlab runs clusters of real processes to which faults happen, and finds out what clients notice.
//
// # Purpose
//
// "faultlab matrix" brings every single fault and every pair of faults about and measures the pauses; docs/failure-matrix.md is what it wrote.
// "faultlab soak" has random clients at both nodes while faults come and go, and checks that what they saw is linearizable. "faultlab pauses" measures
// one fault many times over. Package lab has the cluster.
//
// # Contract
//
// It needs root, and says so and does nothing without it; with CI=true that is an error. Progress goes to stdout. The exit code is 1 if anything was
// wrong with the cluster. Results and the nodes' logs go to a directory below bin.
//
// # Concurrency
//
// Several labs may work at a time, each with one goroutine. matrixRun.mu guards the results that they share.
package main
