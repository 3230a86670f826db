// Package soak has random clients at both nodes while faults from the matrix come and go, for as long as is asked for.
//
// # Purpose
//
// The matrix brings faults about in a settled cluster, one row at a time. Here the next ones come whether or not the cluster has recovered, and what
// clients saw is checked for linearizability (package linear). Two hours of it are run before a release; make test has two minutes.
//
// # Contract
//
// [Run] works in epochs of some seconds, and after each writes its [Totals], so that a run that was stopped goes on where it was. An epoch ends with
// all faults gone: then every call must be answered, everything is read at both nodes, and both digests must agree. At the first epoch in which something is wrong
// it saves the history and ends with an error that says where it is and how to look at it. What was planned follows from a
// seed, but no run is like another: times are real.
//
// # Concurrency
//
// Run has one goroutine for the faults; those of the clients are package linear's.
package soak
