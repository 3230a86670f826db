// Package transporttest makes certificates for tests and for trying things out.
//
// # Purpose
//
// [NewCA] makes an authority in a directory and [CA.Issue] the certificates of
// members, all as PEM files that a node's configuration can name.
//
// # Contract
//
// The keys are good for a trial, not for a cluster that matters: the authority's
// key exists in memory only, so that no further certificate can be made once the
// process has ended, and everything expires after [Lifetime].
//
// # Concurrency
//
// A CA is not safe for concurrent use. There are no goroutines.
package transporttest
