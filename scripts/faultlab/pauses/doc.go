// Package pauses measures how long clients of the surviving node wait when something befalls a cluster, many times over, and how long a node takes to
// come back.
//
// # Purpose
//
// The figures that the project states about itself: medians and maxima over many trials of a few rows of the matrix ([Faults]), and the time until a node
// that missed something is in sync again ([Return]).
//
// # Contract
//
// A trial of a fault is a row of the matrix with all of its checks; one in which something is wrong ends the measuring with an error, a slow one does not.
// [Table] and [ReturnTable] write Markdown, with the goals beside.
//
// # Concurrency
//
// The functions are for one goroutine. Return has clients of its own at work, which it joins.
package pauses
